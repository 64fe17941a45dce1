/** @file HQQ: zero points that suit a heavy-tailed error, without data. */
import { z } from "zod";
import { power } from "../../numeric/exp.ts";
import { type QuantParams, spanOf } from "../../numeric/quantize.ts";
import { roundLayers } from "../../rounding/by-layer.ts";
import { type LevelRange, nearestLevel, roundBlocks } from "../../rounding/matrix.ts";
import { gridOptions, siteOptions } from "../../rounding/options.ts";
import { gridOver } from "../../rounding/scale.ts";
import { FRACTIONS } from "../../weights/forms/asymmetric.ts";
import { defineMethod } from "../method.ts";

/**
 * For each row or block of weights w with the fixed scale s of their range, alternates between the
 * errors e, which are sparse, and the zero point z (Badri, Shaji 2023):
 *   q = clip(round(w / s + z)),   w' = s (q - z)
 *   e = shrink(w - w'),           shrink(x) = sign(x) max(0, |x| - |x|^(p - 1) / beta)
 *   z = mean(q - (w - e) / s),    beta = 1.01 beta
 * which lowers sum |w - w'|^p with p < 1: a few large errors cost little. Errors are in units of s.
 */
export const quantizeHqq = defineMethod({
  title: "half-quadratic quantization (HQQ)",
  equation: "min over z: sum |w - s (q - z)|^p, p < 1, q = clip(round(w / s + z))",
  cite: "Badri, Shaji 2023, Half-Quadratic Quantization of Large Machine Learning Models",
  summary: "Rounds weights on grids whose zero points are fitted to a heavy-tailed error; no data.",
  needs: [],
  options: z
    .object({
      ...gridOptions,
      block: gridOptions.block.default(32),
      norm: z
        .number()
        .min(0.1)
        .max(1)
        .default(0.7)
        .meta({ description: "Exponent p of the error." }),
      iterations: z.int().min(0).max(1000).default(20).meta({ description: "Most iterations." }),
      ...siteOptions,
    })
    .omit({ levels: true }),
  survey: [{}],
  neutral: null,
  apply: (model, options, context) =>
    roundLayers(model, { ...options, levels: "asymmetric" }, context, (layer) =>
      roundBlocks(layer, (own) => fitRow(own, layer.range, options)),
    ),
});

interface Choice {
  readonly bits: number;
  readonly norm: number;
  readonly iterations: number;
}

/** beta at the first iteration, for weights in units of the scale. */
const BETA = 10;
const GROWTH = 1.01;
/** From so many bits on, zero points are whole numbers, as the authors have it. */
const WHOLE = 4;

/** The grid of one row or block: the scale covers its range. */
function fitRow(own: Float64Array, range: LevelRange, choice: Choice): QuantParams {
  const { scale, zeroPoint } = gridOver(...spanOf(own), range);
  const zero = fitZero(
    own.map((w) => w / scale),
    zeroPoint,
    range,
    choice,
  );
  const parts = choice.bits >= WHOLE ? 1 : FRACTIONS;
  return { scale, zeroPoint: Math.round(zero * parts) / parts };
}

/** The zero point for weights w in units of the scale. */
export function fitZero(
  w: Float64Array,
  first: number,
  range: LevelRange,
  { norm, iterations }: Omit<Choice, "bits">,
): number {
  let [zero, best, least, beta] = [first, first, Infinity, BETA];
  for (let i = 0; i <= iterations; i++) {
    let [sum, error] = [0, 0];
    for (const x of w) {
      const q = nearestLevel(x, 1, zero, range);
      const gap = x - (q - zero);
      const size = Math.abs(gap);
      const slope = size === 0 ? 0 : power(size, norm - 1);
      error += size * slope;
      const sparse = Math.max(0, size - slope / beta);
      sum += q - (x - Math.sign(gap) * sparse);
    }
    if (!(error < least)) break;
    [best, least] = [zero, error];
    zero = Math.max(range.least, Math.min(range.greatest, sum / w.length));
    beta *= GROWTH;
  }
  return best;
}
