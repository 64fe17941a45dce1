/** @file Training against the coded size: levels learn from the loss and from what they cost the coder. */
import { z } from "zod";
import { log } from "../../numeric/log.ts";
import { roundHalfEven } from "../../numeric/quantize.ts";
import { biasOf } from "../../ops/weights.ts";
import { needsOfLoss } from "../../train/objective.ts";
import { trainOptions } from "../../train/options.ts";
import { thetaIn } from "../../train/parameters.ts";
import type { TrainState } from "../../train/state.ts";
import type { StepGraph } from "../../train/step.ts";
import type { Shape } from "../../weights/form.ts";
import { uniformGrid, uniformStep } from "../../weights/forms/grid.ts";
import { type Latent, type Opened, open, openable } from "../../weights/latent.ts";
import { siteOptions } from "../../weights/select.ts";
import { type ThetaSite, thetasOf } from "../../weights/sites.ts";
import { leaf } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

/**
 * W = s round(u), and the loss is E + lambda R(u) with R the bits of a coder that knows how full each
 * row and column is. u and s learn, u straight through the rounding. A u rounded to zero still feels
 * the loss and may come back, as in dynamic network surgery (Guo et al. 2016, arXiv 1608.04493).
 */
export const trainRate = defineMethod({
  title: "training against the coded size",
  cite: "Oktay et al. 2020, arXiv 1906.06624; Guo et al. 2016, arXiv 1608.04493",
  summary: "Trains weights on a grid, most of them zero, at a price per coded bit.",
  needs: needsOfLoss,
  options: z.object({
    lambda: z
      .number()
      .min(0)
      .max(1)
      .default(3e-6)
      .meta({ description: "What a bit costs, in loss.", search: [1e-6, 3e-6, 1e-5] }),
    step: z.number().positive().max(10).default(1).meta({
      description: "First grid step of a layer, in root mean squares of its non-zero weights.",
    }),
    ramp: z.int().min(0).default(1000).meta({
      description: "Batches over which the price of a bit rises.",
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
  async apply(model, { lambda, step, ramp, revive, only, except, ...options }, context) {
    if (options.epochs === 0) return;
    const sites = openable(thetasOf(model, { only, except }, context), model, context);
    if (sites.length === 0) return;
    const opened = sites.flatMap((site) => openWithBias(site, step));
    await context.train(
      model,
      // The best score would be an early one, before bits cost anything.
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

/** A weight, and its layer's bias on a grid of half the step. */
function openWithBias(site: ThetaSite, step: number): Opened[] {
  const { value, weight, node, part } = site;
  const { shape, values } = weight;
  const kept = values.filter((w) => w !== 0);
  const rms = Math.sqrt(kept.reduce((sum, w) => sum + w * w, 0) / kept.length) || 1;
  const scale = uniformStep(weight) ?? step * rms;
  const main = open({ node, value }, levelsOf(values, shape, scale, false));
  const bias = part ? null : biasOf(node);
  const isOwn = bias?.consumers.length === 1 && !bias.isOutput;
  if (!isOwn || bias.tensor?.dtype !== "float32") return [main];
  const { tensor } = bias;
  const own = levelsOf(tensor.floats(), tensor.shape, scale / 2, true);
  return [main, open({ node, value: bias }, own)];
}

const LEVELS = 127;

/**
 * W = s round(u), rounding passing gradients straight through. A step of Adam moves u as far as it would
 * move W; s moves in proportion to itself. A bias on the grid is stored as plain numbers.
 */
function levelsOf(values: Float32Array, shape: Shape, first: number, isPlain: boolean): Levels {
  return {
    theta: {
      levels: { start: values.map((w) => w / first), shape, rate: 1 / first },
      scale: { start: Float32Array.of(first), shape: [], rate: first / 4 },
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

/** Batches between two looks at how full rows and columns are. */
const lookEvery = 100;

/**
 * Adds lambda dR/du to the gradient. R(u) = B phi(|u|) + log2(1 + |u|): B bits say that a level is
 * not zero, phi(m) = (1 + a) m / (m + a) is 0 at 0 and 1 at 1, so that B is paid on the way there.
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

/** Sign, and what of the magnitude has no context. */
const plainBits = 1.5;

/**
 * B of row r and column c is rows[r] + columns[c]: log2 of the odds of a zero, from how many levels
 * of the row and the column are none, each counted with some of the whole tensor's.
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
