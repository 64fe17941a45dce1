/** @file tersor worker: does trials of surveys that other machines put into a queue. */
import { serve } from "../cluster/serve.ts";
import { errors, fail } from "../errors.ts";
import { plural } from "../report/format.ts";
import type { Command } from "./command.ts";
import { seconds, whole } from "./flags.ts";
import { queueFlag, storeFlag, type WorkerFlags } from "./workers.ts";

interface ServeFlags extends WorkerFlags {
  readonly lock?: number;
}

export const workerCommand: Command<ServeFlags> = {
  name: "worker",
  takes: "",
  summary: "Does trials of surveys on other machines, from a queue, until Ctrl-C.",
  flags: [
    queueFlag,
    storeFlag,
    {
      flags: "--jobs <n>",
      doc: "Do so many trials at once, each in a process of its own (default 1).",
      parse: whole(1),
    },
    {
      flags: "--lock <time>",
      doc: "A worker that is silent for so long loses its trials to others (default 30s).",
      parse: seconds,
    },
  ],
  examples: [
    "tersor worker --queue redis://queue.example:6379 --store s3://bucket/tersor --jobs 4",
  ],
  async run(shell, _, { queue, store, jobs, lock }) {
    if (queue === undefined) {
      const remedy = "Give --queue redis://host:port";
      throw fail(errors.badUsage("tersor worker", "has no queue", remedy));
    }
    const { runtime, signal } = shell.settings;
    const done = await serve({
      ...{ url: queue, store, jobs, runtime, lockSeconds: lock },
      signal: signal as AbortSignal,
      onNote: shell.note,
    });
    shell.note(`${plural(done, "trial")} done.`);
    return 0;
  },
};
