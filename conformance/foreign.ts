// Responsible for another server that a source may be on, and for a place in our own network that it may lead
// to. Must not judge who comes.
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import path from 'node:path';
import { certificateFor } from '../renderer/test/certificate.ts';
import type { Wire } from './wire.ts';

/** Where the address of a source leads: by a redirect to the file, or into our own network. */
export const LEADS = ['moved', 'astray'] as const;

export interface ForeignSetup {
  readonly leads: (typeof LEADS)[number];
  readonly source: Buffer;
  readonly folder: string;
  readonly wire: Wire;
}

export class ForeignServer {
  /** What the claim's answer says of the source. */
  readonly source: { readonly kind: 'url'; readonly url: string; readonly max_bytes: number };
  /** How a renderer comes to read from here: the name is exempt, and the certificate is believed. */
  readonly env: Readonly<Record<string, string>>;
  readonly #servers: readonly ReturnType<typeof createServer>[];

  private constructor(
    parts: Pick<ForeignServer, 'source' | 'env'>,
    ...servers: ReturnType<typeof createServer>[]
  ) {
    this.source = parts.source;
    this.env = parts.env;
    this.#servers = servers;
  }

  static async open({ leads, source, folder, wire }: ForeignSetup): Promise<ForeignServer> {
    const certificate = certificateFor('localhost');
    const file = path.join(folder, 'foreign.pem');
    await writeFile(file, certificate.cert);
    const inside = createServer((request, response) => {
      note(wire, 'astray', request, response);
      response.end(source);
    });
    const target = leads === 'moved' ? '/film.mp4' : `http://127.0.0.1:${await portOf(inside)}/x`;
    const outside = createSecureServer(certificate, (request, response) => {
      note(wire, 'fetch', request, response);
      if (request.url === '/film.mp4') response.end(source);
      else response.writeHead(302, { location: target, 'set-cookie': 'known=1' }).end();
    });
    const host = `localhost:${await portOf(outside)}`;
    const url = `https://${host}/moved.mp4?signature=a%2Fb`;
    const env = {
      RENDERER_SOURCE_HOSTS: host,
      NODE_EXTRA_CA_CERTS: file,
      SSL_CERT_FILE: file,
    };
    const said = { kind: 'url', url, max_bytes: source.length } as const;
    return new ForeignServer({ source: said, env }, inside, outside);
  }

  close(): void {
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
    }
  }
}

async function portOf(server: ReturnType<typeof createServer>): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address ? address.port : 0;
}

function note(
  wire: Wire,
  call: 'fetch' | 'astray',
  { method = '', url = '/', headers }: IncomingMessage,
  response: ServerResponse,
): void {
  const { pathname, searchParams } = new URL(url, 'https://localhost');
  const shown: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) shown[name] = String(value);
  const query = Object.fromEntries(searchParams);
  const said = { method, path: pathname, query, headers: shown };
  const seen = wire.add({ side: 'foreign', call, ...said });
  response.once('finish', () => (seen.status = response.statusCode));
}
