/** @file A convolution as a depthwise and a pointwise one, by one SVD for each input channel. */
import type { Outline } from "../layers/chain.ts";
import { costOf } from "../layers/cost.ts";
import type { Layer } from "../layers/matrix.ts";
import { cholesky, divideByLower } from "../numeric/cholesky.ts";
import { multiplyTransposed, transpose } from "../numeric/matrix.ts";
import { svd } from "../numeric/svd.ts";
import { product } from "../util/product.ts";
import type { Decomposition, Evidence, Point } from "./decomposition.ts";
import { whyNoKernel } from "./kernel.ts";
import { tailsOf } from "./spectrum.ts";

/**
 * K[n, c, p] ~ sum_r P[n, (c, r)] D[(c, r), p], r filters of the kernel's size p for each channel c and
 * a mixture of them. For one c this is any matrix of rank r, so that the truncated SVD of K_c [n, p] is
 * the best there is, and the errors of the channels add up. With data K_c S_c is decomposed, S_c S_c^T
 * the second moments of channel c alone: channels count as uncorrelated.
 */
export function decomposeDepthwise(
  layer: Layer,
  { whitener, gains }: Evidence,
  _: object,
): Decomposition | string {
  const refused = whyNoKernel(layer, 1);
  if (refused) return refused;
  const { outputs, inputs, kernel, matrix } = layer;
  const taps = product(kernel);
  const columns = inputs * taps;
  const roots = gains?.map(Math.sqrt) ?? null;
  const parts = Array.from({ length: inputs }, (_, c) => {
    const own = new Float64Array(outputs * taps);
    for (let o = 0; o < outputs; o++) {
      for (let p = 0; p < taps; p++) {
        own[o * taps + p] = matrix[o * columns + c * taps + p] * (roots?.[o] ?? 1);
      }
    }
    const factor = whitener && factorOf(whitener.factor, c * taps, taps, columns);
    const seen = factor
      ? multiplyTransposed(own, transpose(factor, taps, taps), outputs, taps, taps)
      : own;
    return { factor, ...svd(seen, outputs, taps) };
  });
  const full = Math.min(outputs, taps);
  const tails = parts.map(({ s }) => tailsOf(s));
  const shapes = (rank: number): Outline[] => [
    { name: "depthwise", shape: [inputs * rank, 1, ...kernel], groups: inputs },
    { name: "pointwise", shape: [outputs, inputs * rank, ...kernel.map(() => 1)] },
  ];
  const points = Array.from({ length: full }, (_, i): Point => {
    const { params, macs } = costOf(layer, shapes(i + 1));
    const error = tails.reduce((sum, own) => sum + own[i + 1], 0);
    return { ranks: [i + 1], error, parameters: params, macs };
  });
  return {
    points,
    energy: tails.reduce((sum, own) => sum + own[0], 0),
    chainAt({ ranks: [rank] }) {
      const depthwise = new Float64Array(inputs * rank * taps);
      const pointwise = new Float64Array(outputs * inputs * rank);
      for (const [c, { u, s, v, rank: width, factor }] of parts.entries()) {
        const rows = new Float64Array(rank * taps);
        for (let r = 0; r < rank; r++) {
          for (let p = 0; p < taps; p++) rows[r * taps + p] = v[p * width + r];
        }
        const filters = factor ? divideByLower(rows, factor, taps) : rows;
        for (let r = 0; r < rank; r++) {
          // Both factors get equal length, so that they learn at like rates.
          const own = filters.subarray(r * taps, (r + 1) * taps);
          const length = Math.sqrt(own.reduce((sum, x) => sum + x * x, 0)) || 1;
          const share = Math.sqrt(s[r] / length);
          const at = c * rank + r;
          for (let p = 0; p < taps; p++) depthwise[at * taps + p] = own[p] * share;
          for (let o = 0; o < outputs; o++) {
            const value = share > 0 ? (u[o * width + r] * s[r]) / share : 0;
            pointwise[o * inputs * rank + at] = value / (roots?.[o] ?? 1);
          }
        }
      }
      const both = [depthwise, pointwise];
      return shapes(rank).map((outline, i) => ({ ...outline, values: both[i] }));
    },
  };
}

/** S_c with S_c S_c^T = the block of S S^T at `from`, from the rows of S [columns, columns]. */
function factorOf(factor: Float64Array, from: number, taps: number, columns: number) {
  const rows = factor.subarray(from * columns, (from + taps) * columns);
  return cholesky(multiplyTransposed(rows, rows, taps, taps, columns), taps);
}
