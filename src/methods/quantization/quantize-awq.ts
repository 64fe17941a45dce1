/** @file AWQ: input channels with large activations get finer levels, by scaling them up first. */
import { z } from "zod";
import { power } from "../../numeric/exp.ts";
import { roundByHessian } from "../../rounding/by-layer.ts";
import { type HessianLayer, outputError, type Scaled, weightOf } from "../../rounding/matrix.ts";
import { gridOptions, hessianOptions, siteOptions } from "../../rounding/options.ts";
import { nearest } from "../../rounding/scale.ts";
import { defineMethod } from "../method.ts";

/**
 * W' = Q(W diag(t)) diag(1 / t) with t_c = a_c^alpha, a_c the root mean square of input channel c.
 * alpha is the one of least |W' x - W x|^2 = tr(dW H dW^T) among 0, 1/20 ... 1 (section 3.2, eq. 5).
 * The engine multiplies by 1 / t when it loads the model, so nothing has to be folded into the layer
 * before.
 */
export const quantizeAwq = defineMethod({
  title: "activation-aware weight quantization (AWQ)",
  equation: "W' = Q(W diag(t)) diag(1 / t), t_c = a_c^alpha, a_c the root mean square of input c",
  cite: "Lin et al. 2023, arXiv 2306.00978, section 3",
  summary: "Scales weights of input channels with large activations up before they are rounded.",
  needs: ["calibration"],
  options: z.object({
    ...gridOptions,
    block: gridOptions.block.default(32),
    ...hessianOptions,
    ...siteOptions,
  }),
  survey: [{}],
  neutral: null,
  apply: (model, options, context) => roundByHessian(model, options, context, scale),
});

const STEPS = 20;
/** Rows by which alpha is chosen: an evenly spaced sample of them. */
const ROWS = 16;

function scale(layer: HessianLayer): Scaled {
  const { groups, rows, columns, depth } = layer;
  // Groups read channels of their own, but would have to share one factor for each place.
  if (groups > 1) return { ...nearest(layer), factors: null };
  const size = sizes(layer);
  const some = sample(layer, Math.max(1, Math.floor(rows / ROWS)));
  let best: Float64Array = new Float64Array(depth).fill(1);
  let least = Infinity;
  for (let i = 0; i <= STEPS; i++) {
    const t = normalized(size.map((a) => power(a, i / STEPS)));
    const error = errorOf(some, t);
    if (error < least) [best, least] = [t, error];
  }
  const factors = Float32Array.from(best, (t) => 1 / t);
  const larger = { ...layer, weight: layer.weight.map((w, k) => w * best[(k % columns) % depth]) };
  return { ...nearest(larger), factors: factors.every((f) => f === 1) ? null : factors };
}

/** Every `step`-th row of the layer. */
function sample(layer: HessianLayer, step: number): HessianLayer {
  const { columns, weight } = layer;
  const some = weight.filter((_, k) => Math.floor(k / columns) % step === 0);
  return { ...layer, weight: some, rows: some.length / columns };
}

/** tr(dW H dW^T) with the scales t. */
function errorOf(layer: HessianLayer, t: Float64Array): number {
  const { weight, columns, depth, hessian } = layer;
  const scaleAt = (k: number): number => t[(k % columns) % depth];
  const larger = { ...layer, weight: weight.map((w, k) => w * scaleAt(k)) };
  const difference = weightOf(nearest(larger), larger).map((w, k) => w / scaleAt(k) - weight[k]);
  return outputError(difference, hessian, columns);
}

/** The root mean square of every input channel [depth]; dead channels count as the smallest. */
function sizes({ hessian, columns, depth }: HessianLayer): Float64Array {
  const energy = new Float64Array(depth);
  for (let j = 0; j < columns; j++) energy[j % depth] += hessian[j * columns + j];
  return energy.map((e) => Math.sqrt(e));
}

/** Divided by the root of largest times smallest, so that t lies around 1. */
function normalized(t: Float64Array): Float64Array {
  const [low, high] = t.reduce(([a, b], x) => [Math.min(a, x), Math.max(b, x)], [Infinity, 0]);
  const middle = Math.sqrt(low * high) || 1;
  return t.map((x) => x / middle);
}
