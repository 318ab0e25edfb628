// Responsible for the process that started this one: each thing that it asks is answered, and this one ends with it.
import * as v from 'valibot';

/** Obeys each command of the parent, and says what comes of it, or why nothing did. */
export function obeyParent<S extends v.GenericSchema>(
  schema: S,
  obey: (command: v.InferOutput<S>) => Promise<object>,
): void {
  const answer = async (raw: unknown): Promise<void> => {
    try {
      process.send?.(await obey(v.parse(schema, raw)));
    } catch (error) {
      process.send?.({ failed: String(error) });
    }
  };
  process.on('message', (raw) => void answer(raw));
  process.once('disconnect', () => process.exit());
}

/** Such an answer, when nothing came of it. */
export const Failed = v.object({ failed: v.string() });
