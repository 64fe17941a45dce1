/** @file The speed of training: steps of a model beside steps of the one that its recipe starts from. */
import { TersorError } from "../errors.ts";
import { measureLatency, type Speedup, type Timed } from "../measure/latency.ts";
import { createRandom } from "../numeric/random.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { type Chunk, chunksOf, gradientOf } from "../train/chunks.ts";
import { updateOf } from "../train/loop.ts";
import { flatten } from "../train/parameters.ts";
import { sameBytes } from "../util/bytes.ts";
import { timingMs } from "./assess.ts";
import type { TrainJob } from "./train-plan.ts";
import { type OpenStep, openStep, type Setup } from "./train-setup.ts";

type Steps = Pick<OpenStep, "step" | "sessions">;

/**
 * How many times as fast a training step of `job.model` is as one of `job.original`: forward pass,
 * loss, gradient and update on one batch of the same records, with the same options and engines, in
 * turn. What a method does between steps is left out, and so is reading records. The parameters of
 * the run are not touched. Null where the original cannot be trained with these options (they name
 * layers that it lacks), or where a step takes longer than the time for timing.
 */
export async function timeSteps(setup: Setup, job: TrainJob): Promise<Speedup | null> {
  const original = await openOriginal(setup, job);
  if (!original) return null;
  try {
    if (computeSame(setup, original)) return { value: 1, ci95: [1, 1] };
    const chunks = await batchOf(setup);
    const [before, after] = [
      runOf("original", original, chunks, job),
      runOf("own", setup, chunks, job),
    ];
    const { platform, signal, trainThreads } = job.env;
    const budgetMs = timingMs(job.env);
    const began = platform.wallMs();
    await before.run();
    if (platform.wallMs() - began > budgetMs) return null;
    const [, { ratio }] = await measureLatency([before, after], {
      ...{ platform, budgetMs, threads: trainThreads, signal: signal ?? undefined },
      ...{ warmup: 1, minRuns: 6 },
    });
    return ratio;
  } finally {
    await original.workers.stop();
  }
}

async function openOriginal(setup: Setup, job: TrainJob): Promise<OpenStep | null> {
  try {
    return await openStep(
      { ...job, model: job.original, hooks: {} },
      setup.computeChoice,
      setup.plan,
    );
  } catch (cause) {
    if (!(cause instanceof TersorError) || cause.code === "aborted") throw cause;
    return null;
  }
}

/** Whether two steps compute the same: parameters are inputs of the graph and may differ. */
function computeSame(a: Steps, b: Steps): boolean {
  const [first, second] = [a, b].map(({ step }) => concat(writeModel(step.model)));
  return sameBytes(first, second);
}

/** The first batch, in chunks. */
function batchOf({ read, plan: { micro, batch }, workers: { lanes } }: Setup): Promise<Chunk[]> {
  const random = createRandom(0);
  const records = Array.from({ length: batch }, (_, i) => i);
  return Promise.all(
    chunksOf(records, micro).map((indices, i) =>
      read(indices, random, { step: 0, lane: i % lanes }),
    ),
  );
}

/** One step per run, on a copy of the parameters. */
function runOf(name: string, steps: Steps, batch: readonly Chunk[], { options }: TrainJob): Timed {
  const { step, sessions } = steps;
  const vector = flatten(step.parameters);
  const update = updateOf(step.parameters, options);
  const taken = new Set(step.model.graph.inputs.map(({ name }) => name));
  // A method's own feeds are no inputs of the original's step.
  const chunks = batch.map((chunk) => ({
    ...chunk,
    feeds: Object.fromEntries(Object.entries(chunk.feeds).filter(([input]) => taken.has(input))),
  }));
  return {
    name,
    async run() {
      const { gradient } = await gradientOf(sessions, chunks, vector, step);
      update(vector, gradient);
    },
  };
}
