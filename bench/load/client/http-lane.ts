// Responsible for one kept-alive HTTP connection with one call in flight. Node's own clients take as much
// CPU for a call as the server that is to be measured.
import type { Socket } from 'node:net';
import { dial } from './socket.ts';

const HEAD_END = '\r\n\r\n';
const LAST_CHUNK = '0\r\n\r\n';

type Waiting = PromiseWithResolvers<string>;

export class HttpLane {
  readonly #socket: Socket;
  readonly #head: string;
  #answer = '';
  #waiting: Waiting | undefined;

  /** Calls are made with `POST path`; header lines come as `name: value`. */
  constructor(port: number, path: string, headers: readonly string[] = []) {
    const lines = [`POST ${path} HTTP/1.1`, `Host: 127.0.0.1:${port}`, ...headers];
    this.#head = `${[...lines, 'Content-Type: application/json'].join('\r\n')}\r\nContent-Length: `;
    this.#socket = dial(port, (bytes) => this.#take(bytes.toString('latin1')));
    this.#socket.once('error', (error) => this.#waiting?.reject(error));
    this.#socket.once('close', () => this.#waiting?.reject(new Error('the connection ended')));
  }

  /**
   * Sends a body of ASCII and resolves with the body of the answer.
   * @throws when the call is refused, with what the server said.
   */
  post(body: string): Promise<string> {
    if (this.#waiting) throw new Error('a lane takes one call at a time');
    this.#waiting = Promise.withResolvers();
    this.#socket.write(`${this.#head}${body.length}${HEAD_END}${body}`, 'latin1');
    return this.#waiting.promise;
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(text: string): void {
    this.#answer += text;
    const body = wholeBody(this.#answer);
    if (body === null) return;
    const [answer, waiting] = [this.#answer, this.#waiting];
    this.#answer = '';
    this.#waiting = undefined;
    if (answer.startsWith('HTTP/1.1 2')) waiting?.resolve(body);
    else waiting?.reject(new Error(`a call was refused: ${answer}`));
  }
}

/** The body of an answer, or null while it is not all there. */
export function wholeBody(answer: string): string | null {
  const end = answer.indexOf(HEAD_END);
  if (end < 0) return null;
  const body = answer.slice(end + HEAD_END.length);
  const length = /\r\ncontent-length: *(\d+)/i.exec(answer.slice(0, end + 2))?.[1];
  if (length !== undefined) return body.length < Number(length) ? null : body;
  return body.endsWith(LAST_CHUNK) ? body : null;
}
