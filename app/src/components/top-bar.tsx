import { useTheme, type Theme } from '../lib/theme.ts';
import { Icon, type IconName } from './icon.tsx';

const THEME_ICONS: Record<Theme, IconName> = { auto: 'auto', light: 'sun', dark: 'moon' };

export function TopBar({ onNew }: { onNew: () => void }) {
  const [theme, nextTheme] = useTheme();
  return (
    <header className="top">
      <a className="brand" href="#/">
        <span className="bars" aria-hidden="true" />
        Export
      </a>
      <nav aria-label="Page">
        <a className="quiet" href="#history" onClick={showHistory}>
          Your exports
        </a>
        <button type="button" className="quiet" onClick={onNew}>
          <Icon name="plus" />
          New
        </button>
        <button
          type="button"
          className="quiet square"
          onClick={nextTheme}
          aria-label={`Theme: ${theme}. Change it`}
          title={`Theme: ${theme}`}
        >
          <Icon name={THEME_ICONS[theme]} />
        </button>
      </nav>
    </header>
  );
}

function showHistory(event: { preventDefault(): void }) {
  event.preventDefault();
  const history = document.querySelector<HTMLElement>('#history');
  history?.scrollIntoView({ block: 'start' });
  history?.focus({ preventScroll: true });
}
