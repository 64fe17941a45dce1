/** @file Flags by which other processes or machines apply the recipes of a survey. */
import { processes } from "../cluster/processes.ts";
import { errors, fail } from "../errors.ts";
import type { OpenRunner } from "../recipe/runner.ts";
import { type Flag, whole } from "./flags.ts";

export interface WorkerFlags {
  readonly jobs?: number;
  readonly queue?: string;
  readonly store?: string;
}

export const queueFlag: Flag = {
  flags: "--queue <url>",
  doc: "A Redis or Valkey server, redis://host:port, by which machines share trials.",
};

export const storeFlag: Flag = {
  flags: "--store <place>",
  doc: "Where they exchange files: a folder, s3://bucket/prefix or https://host/bucket/prefix.",
};

export const workerFlags: readonly Flag[] = [
  {
    flags: "--jobs <n>",
    doc: "Run so many trials at once, each in a process; timing runs alone. In a --queue: default 16.",
    parse: whole(1),
  },
  {
    ...queueFlag,
    doc: "Leave the trials to tersor worker, over Redis or Valkey: redis://host:port.",
  },
  storeFlag,
];

/**
 * Where the trials of a survey run; undefined: in this process. `output` and `resume` say where the
 * checkpoints of trainings are. Throws TersorError "bad-usage".
 */
export async function workersOf(
  { jobs, queue, store }: WorkerFlags,
  checkpoints: { readonly output: string; readonly resume: boolean },
): Promise<OpenRunner | undefined> {
  if (queue !== undefined) {
    const { queued } = await import("../cluster/queued.ts");
    return queued({ url: queue, store, jobs });
  }
  if (store !== undefined) {
    throw fail(errors.badUsage("--store", "is for trials in a queue", "Give --queue too"));
  }
  return jobs === undefined || jobs === 1 ? undefined : processes({ jobs, checkpoints });
}
