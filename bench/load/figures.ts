// The names under which figures are kept.

export interface RateFigures {
  readonly reports: string;
  readonly cpu: string;
  readonly client: string;
}

/** Of one job. */
export const ONE = rate('one');
/** Of many jobs at once. */
export const MANY = rate('many');

function rate(jobs: string): RateFigures {
  return { reports: `${jobs} reports`, cpu: `${jobs} cpu`, client: `${jobs} client` };
}

/** Of a job with so many viewers. */
export function crowd(viewers: number) {
  return {
    p50: `${viewers} p50`,
    p95: `${viewers} p95`,
    p99: `${viewers} p99`,
    delivered: `${viewers} delivered`,
    client: `${viewers} client`,
    memory: `${viewers} memory`,
    /** Ends that did not come, came twice or were not the last; and reports where all are promised. */
    lost: `${viewers} lost`,
    /** Messages with a smaller `progress` or `seq` than the one before. */
    fell: `${viewers} fell`,
    /** Reports that a viewer did not hear, promised or not. */
    unheard: `${viewers} unheard`,
  };
}

export const COLD = { fresh: 'cold fresh', evicted: 'cold evicted', process: 'cold process' };
