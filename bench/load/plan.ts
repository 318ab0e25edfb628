// How long and how much is measured.

export interface Crowd {
  readonly viewers: number;
  /** Reports a second while latency is measured. */
  readonly rate: number;
  /** Whether it is also measured how much reaches them at most. */
  readonly saturated: boolean;
}

export const CROWDS: readonly Crowd[] = [
  { viewers: 1, rate: 50, saturated: false },
  { viewers: 10, rate: 50, saturated: false },
  { viewers: 100, rate: 20, saturated: true },
  { viewers: 1000, rate: 10, saturated: true },
];

export interface Plan {
  readonly repeats: number;
  /** Before anything is counted, and while it is, ms. */
  readonly warmUpMs: number;
  readonly rateMs: number;
  readonly latencyMs: number;
  readonly saturationMs: number;
  readonly crowds: readonly Crowd[];
  /** Calls of each kind of cold start. */
  readonly coldCalls: number;
}

/** Five minutes on two cores. */
export const FULL: Plan = {
  repeats: 3,
  warmUpMs: 300,
  rateMs: 1000,
  latencyMs: 1000,
  saturationMs: 1000,
  crowds: CROWDS,
  coldCalls: 10,
};

/** Half a minute: whether everything works, not how fast it is. */
export const QUICK: Plan = {
  repeats: 1,
  warmUpMs: 100,
  rateMs: 300,
  latencyMs: 400,
  saturationMs: 300,
  crowds: CROWDS.filter(({ viewers }) => viewers <= 100),
  coldCalls: 2,
};

/** Reports in flight on one job: as many connections by POST, the same number on one socket. */
export const WINDOW = 8;
export const JOBS = 50;
/** On each of them. */
export const WINDOW_OF_MANY = 1;
