/** One end of a WebSocket, as far as the object and its viewers use it. Delivery is in order. */
export class Socket {
  peer: Socket | null = null;
  #attachment: unknown;
  #inbox: string[] = [];
  #open = true;
  #onMessage: ((text: string) => void) | null = null;
  #onClose: (() => void) | null = null;

  get isOpen(): boolean {
    return this.#open;
  }

  send(text: string): void {
    if (!this.#open) throw new Error('the socket is closed');
    this.peer?.receive(text);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.peer?.close();
    this.#onClose?.();
  }

  receive(text: string): void {
    if (this.#onMessage) this.#onMessage(text);
    else this.#inbox.push(text);
  }

  /** Starts to listen; what came before is heard first. */
  listen(onMessage: (text: string) => void, onClose: () => void): void {
    this.#onMessage = onMessage;
    this.#onClose = onClose;
    for (const text of this.#inbox.splice(0)) onMessage(text);
    if (!this.#open) onClose();
  }

  serializeAttachment(value: unknown): void {
    this.#attachment = structuredClone(value);
  }

  deserializeAttachment(): unknown {
    return this.#attachment;
  }
}

/** `new WebSocketPair()`: two ends of one connection. */
export class SocketPair {
  readonly 0 = new Socket();
  readonly 1 = new Socket();

  constructor() {
    this[0].peer = this[1];
    this[1].peer = this[0];
  }
}
