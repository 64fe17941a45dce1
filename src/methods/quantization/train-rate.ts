/** @file Training against the coded size: levels learn from the loss and from their coding cost. */
import { z } from "zod";
import type { Node, Value } from "../../ir/graph.ts";
import { roundHalfEven } from "../../numeric/level.ts";
import { log } from "../../numeric/log.ts";
import { biasOf } from "../../ops/weights.ts";
import { needsOfLoss } from "../../train/objective.ts";
import { trainOptions } from "../../train/options.ts";
import { thetaIn } from "../../train/parameters.ts";
import type { TrainState } from "../../train/state.ts";
import type { StepGraph } from "../../train/step.ts";
import type { Shape } from "../../weights/form.ts";
import { uniformGrid, uniformStep } from "../../weights/forms/grid.ts";
import { type Latent, open, openable } from "../../weights/latent.ts";
import { siteOptions } from "../../weights/select.ts";
import { type ThetaSite, thetasOf } from "../../weights/sites.ts";
import { leaf } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

/**
 * W = s round(u), trained on E + lambda R(u), where R is the number of bits of a coder that knows
 * how many zeros each row and column has. u and s learn; gradients pass the rounding of u straight
 * through. A u that is rounded to zero still gets the loss's gradient and may grow again, as in
 * dynamic network surgery (Guo et al. 2016, arXiv 1608.04493).
 */
export const trainRate = defineMethod({
  title: "training against the coded size",
  equation: "min E + lambda R(u), W = s round(u), R the bits of a coder of rows and columns",
  cite: "Oktay et al. 2020, arXiv 1906.06624; Guo et al. 2016, arXiv 1608.04493",
  summary: "Trains weights on a grid with a penalty per coded bit, so that most become zero.",
  needs: needsOfLoss,
  options: z.object({
    lambda: z
      .number()
      .min(0)
      .max(1)
      .default(3e-6)
      .meta({ description: "Penalty per coded bit, in loss.", search: [1e-6, 3e-6, 1e-5] }),
    step: z.number().positive().max(10).default(1).meta({
      description: "First grid step of a layer, in root mean squares of its non-zero weights.",
    }),
    ramp: z.int().min(0).default(1000).meta({
      description: "Batches over which the penalty rises from 0 to lambda.",
    }),
    revive: z.boolean().default(true).meta({
      description: "Lets weights that are exactly zero at the start come back.",
    }),
    ...trainOptions.pick({
      epochs: true,
      batch: true,
      rate: true,
      schedule: true,
      loss: true,
      temperature: true,
      alpha: true,
      augment: true,
      holdout: true,
    }).shape,
    ...siteOptions,
  }),
  survey: [],
  neutral: { epochs: 0 },
  async apply(model, { lambda, step, ramp, revive, only, except, frontEnds, ...options }, context) {
    if (options.epochs === 0) return;
    const sites = openable(thetasOf(model, { only, except, frontEnds }, context), model, context);
    if (sites.length === 0) return;
    const grids = sites.flatMap((site) => gridsOf(site, step));
    const { first } = grids.at(-1) as Grid;
    const opened = grids.map((grid) => open(grid, levelsOf(grid, first)));
    await context.train(
      model,
      // The best score on held-out records would be an early one, before bits cost anything.
      { ...options, only, except, keep: "last" },
      {
        latents: opened,
        beforeUpdate: priceOf(
          opened.map(({ latent }) => latent as Levels),
          { lambda, ramp, revive },
        ),
      },
    );
  },
});

type Levels = Latent<"levels" | "scale">;

/** What learns on a grid. */
interface Grid {
  readonly node: Node;
  readonly value: Value;
  readonly values: Float32Array;
  readonly shape: Shape;
  /** The step that training starts with. */
  readonly first: number;
  /** A bias: the result is stored as plain numbers. */
  readonly isPlain: boolean;
}

/** A weight, and the bias of its layer on a grid of half the step. */
function gridsOf(site: ThetaSite, step: number): Grid[] {
  const { value, weight, node, part } = site;
  const { shape, values } = weight;
  const kept = values.filter((w) => w !== 0);
  const rms = Math.sqrt(kept.reduce((sum, w) => sum + w * w, 0) / kept.length) || 1;
  const first = uniformStep(weight) ?? step * rms;
  const main = { node, value, values, shape, first, isPlain: false };
  const bias = part ? null : biasOf(node);
  const isOwn = bias?.consumers.length === 1 && !bias.isOutput;
  if (!isOwn || bias.tensor?.dtype !== "float32") return [main];
  const { tensor } = bias;
  const own = { values: tensor.floats(), shape: tensor.shape, first: first / 2, isPlain: true };
  return [main, { node, value: bias, ...own }];
}

/** Levels are stored in int8. */
const LEVELS = 127;

/**
 * Opens values as W = s round(u). All u of the model learn at one rate, 1 / `common`, and all s at
 * `common` / 4, with the step of the last tensor for `common`. With Adam a rate of 1 / s would change each
 * W as much as training plain weights does. But it made larger files of the same accuracy: LeNet-300-100
 * 6.8 kB against 4.9 kB, by the recipe `smallest` of bench/lenet.ts.
 */
function levelsOf({ values, shape, first, isPlain }: Grid, common: number): Levels {
  return {
    theta: {
      levels: { start: values.map((w) => w / first), shape, rate: 1 / common },
      scale: { start: Float32Array.of(first), shape: [], rate: common / 4 },
    },
    build: (g, { levels, scale }) => g.Mul(g.Round(levels), scale),
    close({ levels, scale: [s] }) {
      const q = Int8Array.from(levels, (u) =>
        Math.max(-LEVELS, Math.min(LEVELS, roundHalfEven(u))),
      );
      const weight = uniformGrid(q, shape, s, 8);
      return isPlain ? leaf(weight.values, shape) : weight;
    },
  };
}

/** Batches between two counts of the zeros in rows and columns. */
const lookEvery = 100;

/**
 * A hook that adds lambda dR/du to the gradient, with
 *   R(u) = B phi(|u|) + log2(1 + |u|),  phi(m) = (1 + a) m / (m + a)
 * B is the number of bits that say that a level is not zero. phi is 0 at 0 and 1 at 1, so that B is
 * paid gradually between the two.
 */
function priceOf(
  latents: readonly Levels[],
  { lambda, ramp, revive }: { lambda: number; ramp: number; revive: boolean },
) {
  const costs = latents.map(() => ({ rows: new Float64Array(), columns: new Float64Array() }));
  const a = 0.5;
  return (
    gradient: Float32Array,
    { step, parameters }: TrainState,
    { parameters: layout }: StepGraph,
  ) => {
    const price = lambda * (step < ramp ? step / ramp : 1);
    for (const [n, latent] of latents.entries()) {
      const u = thetaIn(layout, latent, "levels", parameters);
      const slopes = thetaIn(layout, latent, "levels", gradient);
      if (!u || !slopes) continue;
      const { shape } = latent.theta.levels;
      if (step % lookEvery === 0 || costs[n].rows.length === 0) costs[n] = costsOf(u, shape);
      const { rows, columns } = costs[n];
      for (let r = 0, i = 0; r < rows.length; r++) {
        for (let c = 0; c < columns.length; c++, i++) {
          const m = u[i] < 0 ? -u[i] : u[i];
          const bits = Math.max(1, Math.min(14, rows[r] + columns[c]));
          if (m === 0 && !revive) {
            slopes[i] = 0;
            continue;
          }
          const slope = (bits * (1 + a) * a) / ((m + a) * (m + a)) + Math.LOG2E / (1 + m);
          slopes[i] += u[i] < 0 ? -price * slope : price * slope;
        }
      }
    }
  };
}

/** Bits for the sign, and for what of the magnitude no context predicts. */
const plainBits = 1.5;

/**
 * B of row r and column c is rows[r] + columns[c], the log2 odds of a zero there. They are
 * estimated from the shares of non-zero levels in the row and in the column with Laplace smoothing:
 * each count is mixed with 8 pseudo-counts at the tensor's average density.
 */
function costsOf(u: Float32Array, shape: readonly number[]) {
  const height = shape.length > 1 ? shape[0] : 1;
  const width = u.length / height;
  const inRow = new Float64Array(height);
  const inColumn = new Float64Array(width);
  let all = 0;
  for (let i = 0; i < u.length; i++) {
    if (u[i] <= 0.5 && u[i] >= -0.5) continue;
    inRow[Math.floor(i / width)]++;
    inColumn[i % width]++;
    all++;
  }
  const share = (all + 1) / (u.length + 2);
  const odds = (count: number, of: number): number => {
    const p = (count + 8 * share) / (of + 8);
    return log((1 - p) / p) / Math.LN2;
  };
  const whole = log((1 - share) / share) / Math.LN2;
  return {
    rows: inRow.map((count) => odds(count, width) + plainBits - (height > 1 ? whole : 0)),
    columns: inColumn.map((count) => (height > 1 ? odds(count, height) : 0)),
  };
}
