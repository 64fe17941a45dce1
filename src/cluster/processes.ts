/** @file A runner whose recipes are applied by worker processes of this machine. */
import { type OpenRunner, textFor } from "../recipe/runner.ts";
import { briefOf } from "./brief.ts";
import { type CheckpointFiles, createPool } from "./pool.ts";

export interface ProcessesOptions {
  /** How many processes. */
  readonly jobs: number;
  /** Where the checkpoints of trainings lie (default: there are none). */
  readonly checkpoints?: CheckpointFiles | null | undefined;
}

/**
 * Several recipes at a time, each in a process of its own that loads the model and the data once.
 * While this process times a product, the others stand still.
 */
export function processes({ jobs, checkpoints = null }: ProcessesOptions): OpenRunner {
  return async (assignment) => {
    const brief = briefOf(assignment, "");
    const { signal, onEvent } = assignment.settings;
    const pool = createPool(jobs);
    const common = { brief, checkpoints, onEvent };
    const stop = (): void => pool.stop();
    signal?.addEventListener("abort", stop, { once: true });
    return {
      lanes: jobs,
      async run(steps) {
        const sent = textFor(steps);
        return "reason" in sent ? sent : pool.run({ ...common, ...sent });
      },
      async screen(steps, plan) {
        const sent = textFor(steps);
        return "reason" in sent ? sent : pool.screen({ ...common, ...sent }, plan);
      },
      alone: pool.alone,
      async close() {
        signal?.removeEventListener("abort", stop);
        pool.stop();
      },
    };
  };
}
