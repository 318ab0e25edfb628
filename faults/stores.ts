// Responsible for what happens to the operations of D1 and R2: the Worker under test asks here before
// each of them. The answers come from the seed, and outlive a Worker that is killed.
import { createServer, type Server } from 'node:http';
import type { FaultRate, Store, StoreFault } from './plan.ts';
import type { Random } from './random.ts';
import type { Tally } from './tally.ts';

/** What the Worker is told to do with an operation. */
export interface StoreOrder {
  readonly fault: StoreFault | null;
  readonly ms: number;
}

const CALM: StoreOrder = { fault: null, ms: 0 };

export interface StoreFaultsOptions {
  readonly rates: Readonly<Record<Store, FaultRate<StoreFault>>>;
  readonly random: Readonly<Record<Store, Random>>;
  readonly tally: Tally;
}

export class StoreFaults {
  readonly #options: StoreFaultsOptions;
  readonly #server: Server;
  readonly #outageUntil: Record<Store, number> = { d1: 0, r2: 0 };
  #healed = false;

  private constructor(options: StoreFaultsOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => {
      const [, store = '', operation = ''] = request.url?.split('/') ?? [];
      const known = store === 'd1' || store === 'r2';
      response.end(JSON.stringify(known ? this.#order(store, operation) : CALM));
    });
  }

  static async start(options: StoreFaultsOptions): Promise<StoreFaults> {
    const faults = new StoreFaults(options);
    await new Promise<void>((resolve, reject) => {
      faults.#server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return faults;
  }

  get url(): string {
    const address = this.#server.address();
    if (typeof address !== 'object' || !address) throw new Error('the store faults do not listen');
    return `http://127.0.0.1:${address.port}`;
  }

  /** Nothing of this store works for a while, ms. */
  outage(store: Store, ms: number): void {
    this.#outageUntil[store] = Date.now() + ms;
  }

  heal(): void {
    this.#healed = true;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #order(store: Store, operation: string): StoreOrder {
    if (this.#healed) return CALM;
    const { rates, tally, random: streams } = this.#options;
    const { rate, kinds } = rates[store];
    const random = streams[store];
    const [goesWrong, kind] = [random.chance(rate), random.pick(kinds)];
    const ms = kind === 'timeout' ? random.between(2000, 18_000) : random.between(50, 3000);
    if (Date.now() < this.#outageUntil[store]) {
      tally.add(`${store}: error in an outage`, operation);
      return { fault: 'error', ms: 0 };
    }
    if (!goesWrong) return CALM;
    tally.add(`${store}: ${kind}`, operation);
    return { fault: kind, ms };
  }
}
