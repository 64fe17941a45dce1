/** @file Chooses the temperature of a distillation by short runs. */
import type { Trained } from "../context.ts";
import type { Dataset } from "../data/dataset.ts";
import { stepsPerEpoch } from "../train/loop.ts";
import type { SettledOptions, TrainOptions } from "../train/options.ts";
import { plainChoice } from "../train/state.ts";
import type { Environment } from "./environment.ts";
import { holdOut } from "./hold-out.ts";
import { planOf, type TrainJob } from "./train-plan.ts";

/** The temperatures that "auto" tries, the default last, which wins where all do equally well. */
const temperatures = [1, 2, 4] as const;
const usualTemperature = 4;

/**
 * The temperature with the best score on held-out records after a run of an eighth of the steps, at
 * least 20 if there are as many; those of a trial are a tenth of the records where the run itself
 * holds out none. The usual one where nothing is distilled or records have no label to score by.
 */
export async function bestTemperature(
  job: Omit<TrainJob, "options" | "training"> & { readonly options: TrainOptions },
  label: string,
  run: (options: SettledOptions, env: Environment, isTrial: boolean) => Promise<Trained>,
): Promise<number> {
  const { env, options } = job;
  const holdout = options.holdout || 0.1;
  const { training } = holdOut(env.training as Dataset, holdout, env.seed);
  const settled = { ...options, temperature: usualTemperature };
  const { objective, taken, batch } = await planOf({ ...job, options: settled, training }, 1);
  if (objective.id !== "kd" && objective.id !== "dkd") return usualTemperature;
  const all = options.steps || Math.round(options.epochs * stepsPerEpoch(taken, batch));
  const steps = Math.min(all, Math.max(20, Math.ceil(all / 8)));
  if (steps === 0) return usualTemperature;
  const short = {
    ...options,
    holdout,
    steps,
    patience: 0,
    warmup: Math.min(options.warmup, steps),
  };
  const around = {
    ...env,
    checkpoints: null,
    computeChoice: env.computeChoice ?? plainChoice,
    timesTraining: false,
  };
  const scores: number[] = [];
  for (const temperature of temperatures) {
    const { curve } = await run({ ...short, temperature }, around, true);
    scores.push(curve.at(-1)?.score ?? Number.NEGATIVE_INFINITY);
  }
  const best = scores.lastIndexOf(Math.max(...scores));
  const seen = temperatures.map((own, i) => `${scores[i].toFixed(2)} at ${own}`).join(", ");
  env.onEvent({ type: "note", text: `${label}: temperature ${temperatures[best]} (${seen})` });
  return temperatures[best];
}
