import type { Dial } from './follow.ts';
import { bearer } from './http.ts';
import type { Span } from './span.ts';

/**
 * Carries a line over server-sent events, and returns or throws when they are over. By fetch, because
 * EventSource sends no headers and a token has no place in an address. What was refused, and 204 for
 * an end that was seen, never opens; a plain GET tells why.
 */
export async function runStream(
  line: Span,
  fetch: typeof globalThis.fetch,
  dial: Dial,
): Promise<void> {
  const { timing, token } = dial;
  const headers = { accept: 'text/event-stream', ...bearer(token) };
  const { ok, body } = await fetch(dial.url, { headers, signal: line.signal });
  if (!ok || !body) return;
  // A proxy that collects what it passes on would never let this speak.
  line.after(timing.greeting);
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    // What is left then was cut off in its middle.
    if (done) return;
    line.open();
    line.after(timing.ping + timing.pong);
    const events = (text + decoder.decode(value, { stream: true })).split('\n\n');
    text = events.pop() ?? '';
    for (const event of events) dial.onText(/^data:(.*)$/m.exec(event)?.[1] ?? '');
  }
}
