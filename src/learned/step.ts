/** @file Weights on a grid whose step is learned (LSQ: Esser et al. 2020, arXiv 1902.08153). */
import type { Value } from "../ir/graph.ts";
import type { Range } from "../numeric/calibrate.ts";
import { roundHalfEven } from "../numeric/level.ts";
import type { Builder } from "../ops/builder.ts";
import { roundToGrid, uniformGrid, uniformStep } from "../weights/forms/grid.ts";
import { type Latent, type Opened, open, type Theta } from "../weights/latent.ts";
import { readWeight } from "../weights/read.ts";
import type { ThetaSite } from "../weights/sites.ts";
import type { Falling } from "./stages.ts";

/**
 * The learning rate of a step size is this times the step, times the learning rate of weights.
 * (Adam normalizes gradients, so that LSQ's own factor on them has no effect.)
 */
const STEP_RATE = 2.5;
/**
 * A step stays above this share of what it starts with. Steps are positive (eq. 1): at 0 nothing is
 * left to learn from, and QuantizeLinear with a negative one gives nonsense.
 */
const LEAST_STEP = 2 ** -10;

/** The theta of a step size that starts at `first`. */
export const stepFrom = (first: number): Theta => ({
  start: Float32Array.of(first),
  shape: [],
  rate: STEP_RATE * first,
  min: LEAST_STEP * first,
});

/**
 * s clip(round(x / s), least, greatest) (eq. 1-3). Rounding passes gradients straight through. With
 * `finer`, a whole number, the step is s / finer in the same range.
 */
export function roundTo(
  g: Builder,
  x: Value,
  s: Value,
  { least, greatest }: Levels,
  finer?: Value,
): Value {
  const clipped = g.Clip(g.Div(x, s), g.constant(least), g.constant(greatest));
  const rounded = finer ? g.Div(g.Round(g.Mul(clipped, finer)), finer) : g.Round(clipped);
  return g.Mul(rounded, s);
}

/** Whole numbers from `least` to `greatest`; `least` is 0 where values are never negative. */
export interface Levels {
  readonly least: number;
  readonly greatest: number;
}

/** Levels on both sides of 0 alike where values may be negative, else from 0 on. */
export function evenLevels(min: number, bits: number): Levels {
  const greatest = min < 0 ? Math.max(1, 2 ** (bits - 1) - 1) : 2 ** bits - 1;
  return { least: min < 0 ? -greatest : 0, greatest };
}

/**
 * The grid of `bits` bits for an activation, with the step that covers its range. Levels are unsigned
 * if it is never negative, as behind a Relu.
 */
export function gridFor(
  { min, max }: Range,
  bits: number,
): { readonly levels: Levels; readonly step: number } {
  const [least, greatest] =
    min < 0 ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
  const step = Math.fround(Math.max(max / greatest, min / (least || -1), 1e-8));
  return { levels: { least, greatest }, step };
}

/**
 * Opens a weight: its readers get it rounded to the grid of `step`, and the weight learns as it
 * would anyway. Symmetric, with levels from -top to top.
 */
export function openOnGrid(site: ThetaSite, bits: number, falling?: Falling): Opened {
  const { values, shape } = site.weight;
  const start = roundToGrid(values, shape, { bits, block: 0, axis: null, search: "mse" });
  const first = uniformStep(start) as number;
  const top = 2 ** (bits - 1) - 1;
  const latent: Latent<"step"> = {
    theta: { step: stepFrom(first) },
    ...falling?.feeds(bits),
    build: (g, { step }, x, { finer }) =>
      roundTo(g, x, step, { least: -top, greatest: top }, finer),
    close({ step: [s] }, x) {
      const learned = readWeight(x)?.values ?? values;
      const level = (w: number): number =>
        Math.max(-top, Math.min(top, roundHalfEven(Math.fround(w / s))));
      return uniformGrid(Int8Array.from(learned, level), shape, s);
    },
  };
  return open(site, latent);
}
