/** @file Regressors: layers that bring a student's hint to the teacher's width while it trains. */
import type { Value } from "../ir/graph.ts";
import { createRandom, type Random } from "../numeric/random.ts";
import type { Builder } from "../ops/builder.ts";
import { type HintLoss, hintLosses } from "../train/hint-losses.ts";
import { type Opened, open } from "../weights/latent.ts";
import type { Hint } from "./hints.ts";
import { fixedBatchOf, hintsFor, type JobHooks, type TrainJob } from "./train-plan.ts";

/**
 * The hooks of a run, and for a loss of hints that adapts a regressor R [C_t, C_s] for each (Romero et
 * al. 2015, FitNets, arXiv 1412.6550, eq. 3): R s is compared with t. It learns with the student and
 * is not kept. It starts as the identity where both widths are equal, else at random.
 */
export async function withRegressors(job: TrainJob): Promise<JobHooks> {
  const { hooks, options, training, env, model } = job;
  const { adapts }: HintLoss = hintLosses[options.hintloss];
  if (!adapts || (options.hints.length === 0 && options.loss !== "features")) return hooks;
  const size = Math.min(fixedBatchOf(model) ?? 1, training.length);
  const { inputs } = await training.read(Array.from({ length: size }, (_, i) => i));
  const shapes = Object.fromEntries(
    Object.entries(inputs).map(([name, { shape }]) => [name, shape]),
  );
  const random = createRandom(env.seed).fork("regressors");
  const hints = hintsFor(job, { id: options.loss, teacher: true }, shapes);
  const made = hints.map((hint) => ({ hint, ...regressorOf(hint, random) }));
  return {
    ...hooks,
    latents: [...(hooks.latents ?? []), ...made.map(({ opened }) => opened)],
    regressors: new Map(made.map(({ hint, current }) => [hint.student, current])),
  };
}

/** A regressor, and the function that gives R s in the graph that was built last. */
function regressorOf(
  { student, teacher, ownWidth, shape, axis }: Hint,
  random: Random,
): { readonly opened: Opened; readonly current: () => Value | null } {
  const rows = shape[axis];
  const columns = ownWidth;
  const start = Float32Array.from({ length: rows * columns }, (_, i) =>
    rows === columns ? Number(i % (columns + 1) === 0) : random.normal() / Math.sqrt(columns),
  );
  let now: Value | null = null;
  const node = student.producer ?? teacher.producer;
  if (!node) throw new Error("a hint is no output of a node");
  const opened = open(
    { node, value: student },
    {
      theta: { regressor: { start, shape: [rows, columns] } },
      build(g, { regressor }, x) {
        now = regressed(g, regressor, x, axis, columns);
        return x;
      },
      close: () => (_, x) => x,
    },
  );
  return { opened, current: () => now };
}

/** R s of s [N, ..., C_s, ...]: [N, C_t, positions] if channels are axis 1, else [N, ..., C_t]. */
function regressed(g: Builder, matrix: Value, x: Value, axis: number, channels: number): Value {
  if (axis !== 1) return g.MatMul(x, g.Transpose(matrix, { perm: [1, 0] }));
  return g.MatMul(matrix, g.Reshape(x, g.ints([0, channels, -1], "shape")));
}
