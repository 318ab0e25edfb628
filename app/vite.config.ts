import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const worker = 'http://localhost:8787';

export default defineConfig({
  plugins: [react()],
  build: { target: 'es2022', assetsInlineLimit: 0 },
  server: { proxy: { '/api': { target: worker, ws: true }, '/healthz': worker } },
});
