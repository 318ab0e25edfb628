// Responsible for the DevTools protocol of one browser: commands and their answers.
import * as v from 'valibot';

const Reply = v.pipe(
  v.string(),
  v.parseJson(),
  v.looseObject({
    id: v.optional(v.number()),
    result: v.optional(v.unknown()),
    error: v.optional(v.looseObject({ message: v.string() })),
  }),
);

export class DevTools {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #commands = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => this.#hear(String(data)));
    socket.addEventListener('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the browser has ended'));
    });
  }

  static async connect(url: string): Promise<DevTools> {
    const socket = new WebSocket(url);
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve);
      socket.addEventListener('error', reject);
    });
    return new DevTools(socket);
  }

  /**
   * Gives a command, to a page when its session is named.
   * @throws what the browser says when it cannot.
   */
  async send<S extends v.GenericSchema>(
    method: string,
    params: object,
    schema: S,
    sessionId?: string,
  ): Promise<v.InferOutput<S>> {
    const id = (this.#commands += 1);
    const answered = Promise.withResolvers<unknown>();
    this.#waiting.set(id, answered);
    this.#socket.send(JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) }));
    return v.parse(schema, await answered.promise);
  }

  close(): void {
    this.#socket.close();
  }

  #hear(text: string): void {
    const { id = 0, result, error } = v.parse(Reply, text);
    const answered = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) answered?.reject(new Error(error.message));
    else answered?.resolve(result);
  }
}
