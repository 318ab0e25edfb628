// The key of a server that asks for one. Kept for this tab only.
const KEY = 'export-jobs.access-key';

export function accessKey(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export function setAccessKey(key: string): void {
  try {
    sessionStorage.setItem(KEY, key);
  } catch {
    // Storage is not allowed here: the server will ask again.
  }
}
