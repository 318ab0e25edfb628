// The real renderer, which also prints each frame that it sends, and when.
globalThis.WebSocket = class extends WebSocket {
  override send(data: Parameters<WebSocket['send']>[0]): void {
    if (typeof data === 'string') console.log(JSON.stringify({ at: Date.now(), said: data }));
    super.send(data);
  }
};
await import('../../renderer/src/main.ts');
