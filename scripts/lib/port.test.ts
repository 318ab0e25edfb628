import { createServer } from 'node:net';
import { expect, it } from 'vitest';
import { assertPortFree, freePort, isPortFree } from './port.ts';

it('tells a free port from a taken one, and says what to do', async () => {
  const port = await freePort();
  expect(await isPortFree(port)).toBe(true);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  await expect(assertPortFree(port)).rejects.toThrow(`Port ${port} is taken`);
  await expect(assertPortFree(port)).rejects.toThrow(`--port ${port + 1}`);
  await new Promise((resolve) => server.close(resolve));
  await expect(assertPortFree(port)).resolves.toBeUndefined();
});
