// Responsible for a process that this one started and speaks with: that it is heard, and that it ends.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/**
 * The next thing that a child says.
 * @throws when it ends instead.
 */
export async function nextMessage(child: ChildProcess): Promise<unknown> {
  const heard = Promise.withResolvers<unknown>();
  const onExit = (): void => heard.reject(new Error('a process of the bench ended'));
  child.once('message', heard.resolve).once('exit', onExit);
  try {
    return await heard.promise;
  } finally {
    child.off('message', heard.resolve).off('exit', onExit);
  }
}

/** Ends a child by its pid, and resolves once it is gone. */
export async function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}
