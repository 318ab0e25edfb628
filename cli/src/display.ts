// Responsible for progress on stderr while a command runs.
import { keyOf, renderBar, renderLine, type View } from './bar.ts';
import type { Sink } from './io.ts';
import type { Paint } from './text.ts';

const CLEAR_LINE = '\r\x1b[2K';
const TICK_MS = 1000;

/**
 * Draws over one line on a terminal, each second while there is a time to count down; elsewhere a plain line for
 * each change and each tenth. Who shows something must `end` it.
 */
export class Display {
  readonly #sink: Sink;
  readonly #paint: Paint;
  #drawn = '';
  #key = '';
  #ticking: NodeJS.Timeout | undefined;

  constructor(sink: Sink, paint: Paint) {
    this.#sink = sink;
    this.#paint = paint;
  }

  show(view: View): void {
    if (this.#sink.isTerminal) this.#animate(view);
    else if (keyOf(view) !== this.#key) this.#sink.write(`${renderLine(view, Date.now())}\n`);
    this.#key = keyOf(view);
  }

  /** A line that stays, above what is drawn over. */
  say(text: string): void {
    this.end();
    this.#sink.write(`${text}\n`);
  }

  /** Takes the bar away, for whoever writes next. */
  end(): void {
    clearInterval(this.#ticking);
    if (this.#drawn !== '') this.#sink.write(CLEAR_LINE);
    this.#drawn = '';
  }

  #animate(view: View): void {
    clearInterval(this.#ticking);
    this.#draw(view);
    if (view.endsAt !== null) this.#ticking = setInterval(() => this.#draw(view), TICK_MS);
  }

  #draw(view: View): void {
    const line = renderBar(view, Date.now(), this.#sink.width, this.#paint);
    if (line !== this.#drawn) this.#sink.write(`${CLEAR_LINE}${line}`);
    this.#drawn = line;
  }
}
