import * as v from 'valibot';

/** What D1 bills, in its own words, and how long it took by its own clock, ms. */
const Meta = v.object({ rows_read: v.number(), rows_written: v.number(), duration: v.number() });
const Answer = v.object({ meta: Meta });
export type Bill = v.InferOutput<typeof Meta>;

/** A database that keeps what D1 says of each statement. */
export function counted(db: D1Database) {
  const bills: Bill[] = [];
  const noted = async <T>(answer: Promise<T>): Promise<T> => {
    bills.push(v.parse(Answer, await answer).meta);
    return await answer;
  };
  return { db: over(db, noted), take: () => bills.splice(0) };
}

type Note = <T>(answer: Promise<T>) => Promise<T>;

function over(db: D1Database, noted: Note): D1Database {
  return new Proxy(db, {
    get: (target, name): unknown =>
      name === 'prepare'
        ? (sql: string) => statement(target.prepare(sql), noted)
        : refuse(`database.${String(name)}`),
  });
}

function statement(real: D1PreparedStatement, noted: Note): D1PreparedStatement {
  return new Proxy(real, {
    get: (target, name): unknown => {
      if (name === 'bind')
        return (...values: unknown[]) => statement(target.bind(...values), noted);
      if (name === 'all') return () => noted(target.all());
      if (name === 'run') return () => noted(target.run());
      return refuse(`statement.${String(name)}`);
    },
  });
}

/** D1 tells what an answer cost only with `all` and `run`: anything else would go uncounted. */
function refuse(what: string): never {
  throw new Error(`${what} is not counted`);
}
