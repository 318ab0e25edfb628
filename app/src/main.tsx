import { createClient } from '@export-jobs/client';
import { ExportsProvider } from '@export-jobs/client/react';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app.tsx';
import { accessKey } from './lib/access.ts';
import { startTheme } from './lib/theme.ts';
import './styles/tokens.css';
import './styles/base.css';
import './styles/layout.css';
import './styles/monitor.css';
import './styles/inspector.css';
import './styles/job.css';
import './styles/history.css';

startTheme();
const client = createClient({ getToken: accessKey });
const root = document.querySelector('#root');
if (root === null) throw new Error('The page has no #root');
createRoot(root).render(
  <StrictMode>
    <ExportsProvider client={client}>
      <App />
    </ExportsProvider>
  </StrictMode>,
);
