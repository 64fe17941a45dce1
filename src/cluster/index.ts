/** @file `tersor/workers`: trials of a survey in several processes, or on many machines. */
export { type ProcessesOptions, processes } from "./processes.ts";
export { type QueuedOptions, queued } from "./queued.ts";
export { type ServeOptions, serve } from "./serve.ts";
