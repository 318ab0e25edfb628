// RunPod's queue for one endpoint, on this machine. Everything that a user of it needs is named here.
export { Rules, type Fault, type Rule } from './script.ts';
export { startStandIn, type StandIn, type StandInOptions } from './server.ts';
export type { TracedCall } from './trace.ts';
