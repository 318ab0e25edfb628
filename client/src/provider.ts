import { createContext, createElement, useContext, type ReactElement, type ReactNode } from 'react';
import type { ExportClient } from './client.ts';

const Client = createContext<ExportClient | null>(null);

/** Gives the client to every hook below. */
export function ExportsProvider(props: {
  client: ExportClient;
  children?: ReactNode;
}): ReactElement {
  return createElement(Client.Provider, { value: props.client }, props.children);
}

/** The client of the nearest `ExportsProvider`. */
export function useExportClient(): ExportClient {
  const client = useContext(Client);
  if (client === null) throw new Error('useExportClient needs an <ExportsProvider> above it');
  return client;
}
