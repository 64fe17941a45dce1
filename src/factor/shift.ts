/** @file A convolution as shifts of its channels and a mixture of them. */
import type { Outline } from "../layers/chain.ts";
import { costOf } from "../layers/cost.ts";
import type { Layer } from "../layers/matrix.ts";
import { product } from "../util/product.ts";
import type { Decomposition, Evidence, Point } from "./decomposition.ts";
import { fitFeatures, seenBy, weighted } from "./features.ts";
import { whyNoKernel } from "./kernel.ts";

/** More shifts of a channel than this rarely save anything. */
const MOST = 4;

/**
 * y = P z, z[(c, i)] channel c at the i-th of the r kernel positions that count most for it:
 *   K[n, c, p] ~ sum_i P[n, (c, i)] 1(p = p_ci)
 * The positions are those of the largest sum_n K[n, c, p]^2 E[x_cp^2], and P is the least squares
 * solution on the inputs' moments. A shift is written as a depthwise kernel with a single 1, for which
 * the engine has a kernel; memory alone would move it.
 */
export function decomposeShift(
  layer: Layer,
  evidence: Evidence,
  _: object,
): Decomposition | string {
  const refused = whyNoKernel(layer, 1);
  if (refused) return refused;
  const { outputs, inputs, kernel, matrix } = layer;
  const taps = product(kernel);
  const columns = inputs * taps;
  const see = seenBy(evidence);
  const seen = see(Float64Array.from(matrix));
  const ranked = Array.from({ length: inputs }, (_, c) => {
    const worth = Array.from({ length: taps }, (_, p) => {
      const column = c * taps + p;
      let power = evidence.whitener ? 0 : 1;
      const { factor } = evidence.whitener ?? {};
      if (factor) for (let j = 0; j <= column; j++) power += factor[column * columns + j] ** 2;
      let sum = 0;
      for (let o = 0; o < outputs; o++) {
        sum += matrix[o * columns + column] ** 2 * (evidence.gains?.[o] ?? 1);
      }
      return sum * power;
    });
    return [...worth.keys()].sort((a, b) => worth[b] - worth[a] || a - b);
  });
  const fitted = (r: number) => {
    const features = new Float64Array(inputs * r * columns);
    for (const [c, order] of ranked.entries()) {
      for (let i = 0; i < r; i++) features[(c * r + i) * columns + c * taps + order[i]] = 1;
    }
    return fitFeatures(seen, see(features), columns);
  };
  const shapes = (r: number): Outline[] => [
    { name: "shift", shape: [inputs * r, 1, ...kernel], groups: inputs },
    { name: "pointwise", shape: [outputs, inputs * r, ...kernel.map(() => 1)] },
  ];
  const points = Array.from({ length: Math.min(MOST, taps) }, (_, i): Point => {
    const { params, macs } = costOf(layer, shapes(i + 1));
    const error = weighted(fitted(i + 1).errors, evidence);
    return { ranks: [i + 1], error, parameters: params, macs };
  });
  const squares = Array.from({ length: outputs }, (_, o) =>
    seen.subarray(o * columns, (o + 1) * columns).reduce((sum, x) => sum + x * x, 0),
  );
  return {
    points,
    energy: weighted(squares, evidence),
    chainAt({ ranks: [r] }) {
      const shifts = new Float64Array(inputs * r * taps);
      for (const [c, order] of ranked.entries()) {
        for (let i = 0; i < r; i++) shifts[(c * r + i) * taps + order[i]] = 1;
      }
      const [shift, pointwise] = shapes(r);
      return [
        { ...shift, values: shifts },
        { ...pointwise, values: fitted(r).weights },
      ];
    },
  };
}
