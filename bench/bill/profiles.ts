/** A job whose bill is made out; times in ms. */
export interface Profile {
  /** How long each attempt waits for a GPU. */
  readonly queueMs: number;
  /** How long the attempt that wins takes; one that fails breaks off halfway. */
  readonly renderMs: number;
  /** They are there from the creation to the end, and ping. */
  readonly viewers: number;
  /** Attempts that fail before one wins. */
  readonly failures: number;
  /** Its renderer cannot open its socket, and calls by POST. */
  readonly posts?: true;
}

export const PROFILE_NAMES = [
  'standard',
  'unwatched',
  'crowded',
  'short',
  'retried',
  'queued',
  'posted',
] as const;
export type ProfileName = (typeof PROFILE_NAMES)[number];

const MINUTE = 60_000;
const standard: Profile = { queueMs: 15_000, renderMs: 10 * MINUTE, viewers: 2, failures: 0 };

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  standard,
  unwatched: { ...standard, viewers: 0 },
  crowded: { ...standard, viewers: 50 },
  short: { ...standard, renderMs: 20_000 },
  retried: { ...standard, failures: 2 },
  queued: { ...standard, renderMs: 20_000, queueMs: 10 * MINUTE },
  posted: { ...standard, posts: true },
};
