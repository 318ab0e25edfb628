import { useEffect, useRef } from 'react';

/**
 * Gives the focus to the page's heading when `view` changes, which only the user makes it do, and
 * when what had the focus is removed. Left alone, a browser drops it to the body: a keyboard starts
 * over there, and a screen reader says nothing.
 */
export function useFocus(view: string): void {
  const shown = useRef(view);
  useEffect(() => {
    if (shown.current === view) return;
    shown.current = view;
    focusHeading();
  }, [view]);
  useEffect(() => {
    let holder: EventTarget | null = null;
    const note = (event: FocusEvent) => {
      holder = event.target;
    };
    const observer = new MutationObserver(() => {
      const lost = holder instanceof Node && !holder.isConnected;
      if (lost && document.activeElement === document.body) focusHeading();
    });
    addEventListener('focusin', note);
    observer.observe(document.body, { childList: true, subtree: true });
    return () => {
      removeEventListener('focusin', note);
      observer.disconnect();
    };
  }, []);
}

function focusHeading(): void {
  document.querySelector<HTMLElement>('h1')?.focus();
}
