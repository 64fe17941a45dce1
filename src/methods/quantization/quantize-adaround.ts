/** @file AdaRound: whether each weight is rounded up or down is learned, one layer at a time. */
import { z } from "zod";
import { sigmoid } from "../../numeric/exp.ts";
import { multiplyTransposed } from "../../numeric/matrix.ts";
import { roundByHessian } from "../../rounding/by-layer.ts";
import { type HessianLayer, type Levels, outputError, perWeight } from "../../rounding/matrix.ts";
import { gridOptions, hessianOptions, siteOptions } from "../../rounding/options.ts";
import { GAMMA, inverse, ZETA } from "../../rounding/rectified.ts";
import { nearestByHessian } from "../../rounding/scale.ts";
import { defineMethod } from "../method.ts";

/**
 * Minimizes, by Adam over V [rows, columns],
 *   |W' x - W x|^2 + lambda sum 1 - |2 h(V) - 1|^beta,   W' = s clip(floor(W / s) + h(V)),
 *   h(V) = clip(1.2 sigmoid(V) - 0.1, 0, 1)
 * (eq. 21-24), where beta falls so that every h ends at 0 or 1. The layer's inputs x come from the
 * model whose earlier layers are rounded; E|dW x|^2 = tr(dW H dW^T) needs nothing but H = E[x x^T].
 *
 * h is 0 or 1 only at the end, and the end may suit the records that it was learned on too well. With
 * `holdout`, every h is rounded at LOOKS places of the schedule, and the levels of least
 * tr(dW H' dW^T) are kept, H' of records that H has not seen; the nearest levels are among them. It is 0
 * by default: on the DS-CNN for keywords in 3 bits the last levels were the best in 256 of 262 groups, and
 * the records were missed in H (KL 0.090 -> 0.108 nats, mean of three seeds).
 */
export const quantizeAdaround = defineMethod({
  title: "AdaRound",
  equation:
    "min over V: |W' x - W x|^2 + lambda sum 1 - |2 h(V) - 1|^beta, W' = s clip(floor(W / s) + h(V))",
  cite: "Nagel et al. 2020, arXiv 2004.10568, section 3",
  summary: "Learns for each weight whether to round up or down, from the outputs of its layer.",
  needs: ["calibration"],
  options: z.object({
    ...gridOptions,
    iterations: z
      .int()
      .min(1)
      .max(100_000)
      .default(200)
      .meta({ description: "Steps of Adam for each layer." }),
    holdout: z.number().min(0).max(0.5).default(0).meta({
      description:
        "Share of the calibration records by which roundings are compared on the way; 0: the last ones are taken.",
    }),
    ...hessianOptions,
    ...siteOptions,
  }),
  survey: [{}],
  neutral: null,
  apply: (model, options, context) =>
    roundByHessian(model, options, context, (layer) => learn(layer, options.iterations)),
});

/** beta falls from the first to the last in whole numbers, over the steps after the first WARM share. */
const [BETA, LAST_BETA, WARM] = [8, 2, 0.2];
/** lambda, in units of the mean error that rounding one weight to the nearest level causes. */
const LAMBDA = 3;
const RATE = 0.1;

/** How often rounded levels are compared on held-out records. */
const LOOKS = 8;

/** Rounds one layer, from the nearest levels on scales that suit its outputs. */
export function learn(layer: HessianLayer, iterations: number): Levels {
  const { weight, rows, columns, range, hessian, heldOut } = layer;
  const start = nearestByHessian(layer);
  const { scale, zero } = perWeight(start, layer);
  const size = weight.length;
  const floor = weight.map((w, i) => Math.floor(w / scale[i]));
  const valueAt = (i: number, up: number): number =>
    Math.max(range.least - zero[i], Math.min(range.greatest - zero[i], floor[i] + up));
  const v = weight.map((w, i) => inverse(w / scale[i] - floor[i]));
  const h = new Float64Array(size);
  const slope = new Float64Array(size);
  const difference = new Float64Array(size);
  const unit = weight.reduce((sum, _, i) => {
    const j = i % columns;
    return sum + (scale[i] ** 2 * hessian[j * columns + j]) / (12 * size);
  }, 0);
  const adam = new Adam(size);
  const levelsNow = () =>
    weight.map((w, i) => (w === 0 ? 0 : valueAt(i, soft(v[i]) >= 0.5 ? 1 : 0)));
  const errorOf = (levels: Float64Array): number => {
    const difference = levels.map((q, i) => scale[i] * q - weight[i]);
    return heldOut ? outputError(difference, heldOut, columns) : 0;
  };
  const nearest = weight.map((_, i) => start.q[i] - zero[i]);
  let best: { levels: Float64Array; error: number } = { levels: nearest, error: errorOf(nearest) };
  const look = (levels: Float64Array): void => {
    const error = errorOf(levels);
    if (error <= best.error) best = { levels, error };
  };
  for (let step = 0; step < iterations && unit > 0; step++) {
    for (let i = 0; i < size; i++) {
      const s = sigmoid(v[i]);
      const stretched = (ZETA - GAMMA) * s + GAMMA;
      h[i] = within01(stretched);
      slope[i] = h[i] === stretched ? (ZETA - GAMMA) * s * (1 - s) : 0;
      difference[i] = weight[i] === 0 ? 0 : scale[i] * valueAt(i, h[i]) - weight[i];
    }
    // d tr(dW H dW^T) / dW = 2 dW H, and H is its own transpose.
    const gradient = multiplyTransposed(difference, hessian, rows, columns, columns);
    const share = (step / iterations - WARM) / (1 - WARM);
    const beta = Math.round(BETA + (LAST_BETA - BETA) * share);
    for (let i = 0; i < size; i++) {
      const away = 2 * h[i] - 1;
      const pull =
        share > 0 ? 2 * LAMBDA * beta * Math.sign(away) * wholePower(Math.abs(away), beta - 1) : 0;
      adam.slopes[i] = slope[i] * ((2 * gradient[i] * scale[i]) / unit - pull);
    }
    adam.update(v, RATE);
    const isLast = step === iterations - 1;
    if (isLast || (heldOut && (step + 1) % Math.ceil(iterations / LOOKS) === 0)) look(levelsNow());
  }
  for (let i = 0; i < size; i++) start.q[i] = best.levels[i] + zero[i];
  return start;
}

/** h(V). */
const soft = (v: number): number => within01((ZETA - GAMMA) * sigmoid(v) + GAMMA);

const within01 = (x: number): number => Math.max(0, Math.min(1, x));

/** x^n for whole n >= 0. */
function wholePower(x: number, n: number): number {
  let result = 1;
  for (let factor = x, left = n; left > 0; left >>= 1, factor *= factor) {
    if (left & 1) result *= factor;
  }
  return result;
}

/** Adam (Kingma, Ba 2014, arXiv 1412.6980, algorithm 1) on plain arrays. */
class Adam {
  /** The gradient, to be filled before each update. */
  readonly slopes: Float64Array;
  readonly #first: Float64Array;
  readonly #second: Float64Array;
  #decay = [1, 1];

  constructor(size: number) {
    this.slopes = new Float64Array(size);
    this.#first = new Float64Array(size);
    this.#second = new Float64Array(size);
  }

  update(values: Float64Array, rate: number): void {
    const [first, second] = [this.#first, this.#second];
    this.#decay = [this.#decay[0] * 0.9, this.#decay[1] * 0.999];
    for (let i = 0; i < values.length; i++) {
      const slope = this.slopes[i];
      first[i] += 0.1 * (slope - first[i]);
      second[i] += 0.001 * (slope * slope - second[i]);
      const mean = first[i] / (1 - this.#decay[0]);
      values[i] -= (rate * mean) / (Math.sqrt(second[i] / (1 - this.#decay[1])) + 1e-8);
    }
  }
}
