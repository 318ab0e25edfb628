import { connect, createServer, type Server, type Socket } from 'node:net';

/** The network between a client and a server, byte by byte: it can be cut and mended. */
export class Link {
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  readonly #far = new Set<Socket>();
  #mended = Promise.withResolvers<void>();

  private constructor(target: number) {
    this.#server = createServer((near) => {
      this.#keep(near);
      void this.#mended.promise.then(() => {
        if (near.destroyed) return;
        const far = connect(target, '127.0.0.1');
        this.#keep(far);
        this.#far.add(far);
        far.once('close', () => this.#far.delete(far));
        near.pipe(far).pipe(near);
        near.once('close', () => far.destroy());
        far.once('close', () => near.destroy());
      });
    });
    this.mend();
  }

  /** A whole link to a port of this machine. */
  static async to(port: number): Promise<Link> {
    const link = new Link(port);
    await new Promise<void>((resolve, reject) => {
      link.#server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return link;
  }

  get url(): string {
    const address = this.#server.address();
    if (typeof address !== 'object' || !address) throw new Error('the link is closed');
    return `http://127.0.0.1:${address.port}`;
  }

  /** Ends every connection without a word. Who dials waits until the link is mended. */
  cut(): void {
    this.#mended = Promise.withResolvers();
    for (const socket of this.#open) socket.destroy();
  }

  mend(): void {
    this.#mended.resolve();
  }

  /** Holds back what the server says, until `release` lets it through all at once. */
  hold(): void {
    for (const socket of this.#far) socket.pause();
  }

  release(): void {
    for (const socket of this.#far) socket.resume();
  }

  async close(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #keep(socket: Socket): void {
    this.#open.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => this.#open.delete(socket));
  }
}
