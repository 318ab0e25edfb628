// Responsible for progress on stderr while a command runs.
import { keyOf, renderBar, renderLine, type View } from './bar.ts';
import type { Sink } from './io.ts';
import type { Paint } from './text.ts';

const CLEAR_LINE = '\r\x1b[2K';

/** Draws over one line on a terminal; elsewhere a plain line for each change and each tenth. */
export class Display {
  readonly #sink: Sink;
  readonly #paint: Paint;
  #drawn = '';
  #key = '';

  constructor(sink: Sink, paint: Paint) {
    this.#sink = sink;
    this.#paint = paint;
  }

  show(view: View): void {
    if (this.#sink.isTerminal) this.#draw(view);
    else if (keyOf(view) !== this.#key) this.#sink.write(`${renderLine(view)}\n`);
    this.#key = keyOf(view);
  }

  /** A line that stays, above what is drawn over. */
  say(text: string): void {
    this.end();
    this.#sink.write(`${text}\n`);
  }

  /** Takes the bar away, for whoever writes next. */
  end(): void {
    if (this.#drawn !== '') this.#sink.write(CLEAR_LINE);
    this.#drawn = '';
  }

  #draw(view: View): void {
    const line = renderBar(view, this.#sink.width, this.#paint);
    if (line !== this.#drawn) this.#sink.write(`${CLEAR_LINE}${line}`);
    this.#drawn = line;
  }
}
