import { useEffect } from 'react';
import { percent } from './format.ts';

const NAME = 'Export';
const ICON = '/favicon.svg';

/** Shows progress in the tab's title and icon while `progress` (0–100) is given. */
export function useTab(progress: number | null, label: string | null): void {
  const whole = progress === null ? null : Math.floor(progress);
  useEffect(() => {
    const parts = [whole === null ? null : percent(whole), label].filter((part) => part !== null);
    document.title = parts.length === 0 ? NAME : parts.join(' · ');
    const link = document.querySelector<HTMLLinkElement>('link[rel=icon]');
    if (link) link.href = whole === null ? ICON : ring(whole);
  }, [whole, label]);
}

function ring(value: number): string {
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none" stroke-width="6">' +
    '<circle cx="16" cy="16" r="12" stroke="#8a919c" stroke-opacity=".4"/>' +
    `<circle cx="16" cy="16" r="12" stroke="#27b24b" pathLength="100" stroke-dasharray="${value} 100" transform="rotate(-90 16 16)"/></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}
