/** @file A convolution as two, each with a kernel along some of its axes, by one SVD. */
import type { Whitener } from "../evidence/whitener.ts";
import type { Outline } from "../layers/chain.ts";
import { costOf } from "../layers/cost.ts";
import type { Layer } from "../layers/matrix.ts";
import { solveSpd } from "../numeric/cholesky.ts";
import { damped } from "../numeric/inverse.ts";
import { dot, multiplyTransposed, transpose } from "../numeric/matrix.ts";
import { svd, truncate } from "../numeric/svd.ts";
import { vbmfRank } from "../numeric/vbmf.ts";
import type { Decomposition, Evidence, Point } from "./decomposition.ts";
import { columnsOf, kernelOf, whyNoKernel } from "./kernel.ts";
import { atLeast, ranksUpTo, tailsOf } from "./spectrum.ts";

/** Share of the mean square of what the second factor reads, far below what float32 can tell. */
const DAMPING = 1e-9;

interface Choice {
  readonly multiple: number;
  /** Whether the second factor is fitted to the outputs on the records, given the first. */
  readonly fits?: boolean;
}

/** The axes longer than 1: any of them may come first. */
export const longAxes = ({ kernel }: Layer): number[] =>
  [...kernel.keys()].filter((axis) => kernel[axis] > 1);

/**
 * K [n, c, i, j] with a first factor along axis `head` (i) and a second along the others (j):
 *   K[n, c, i, j] ~ sum_k H[n, k, j] V[k, c, i]
 * As a matrix M[(c, i), (j, n)] = U diag(s) Q^T this is any matrix of rank r, so that V_k = U_k and
 * H_k = s_k Q_k are the best there are, and the error is the sum of the dropped s^2 (Tai et al. 2016,
 * arXiv 1511.06067, theorem 1).
 */
export function decomposeSeparable(
  layer: Layer,
  evidence: Evidence,
  { multiple, fits }: Choice,
  head = longAxes(layer)[0],
): Decomposition | string {
  const refused = whyNoKernel(layer, 2);
  if (refused) return refused;
  const { outputs, inputs, kernel } = layer;
  const { values, sizes, energy, unwhiten, unscale } = kernelOf(layer, evidence, [head]);
  const [, heads, tails] = sizes;
  const parts = svd(transpose(values, outputs, heads * tails), heads, tails * outputs);
  const tailEnergy = tailsOf(parts.s);
  const own = kernel.map((size, axis) => (axis === head ? size : 1));
  const others = kernel.map((size, axis) => (axis === head ? 1 : size));
  const shapes = (rank: number): Outline[] => [
    { name: "first", shape: [rank, inputs, ...own] },
    { name: "second", shape: [outputs, rank, ...others] },
  ];
  const points = ranksUpTo(parts.rank, multiple).map((rank): Point => {
    const { params, macs } = costOf(layer, shapes(rank));
    return { ranks: [rank], error: tailEnergy[rank], parameters: params, macs };
  });
  return {
    points,
    energy,
    chainAt({ ranks: [rank] }) {
      const { u, s, v } = truncate(parts, rank);
      const first = unwhiten(transpose(u, heads, rank));
      // [outputs, rank, tails] of v [tails x outputs, rank]
      const second = new Float64Array(outputs * rank * tails);
      for (let k = 0; k < rank; k++) {
        // The two factors of each k get equal length, so that both learn at like rates.
        const length = Math.sqrt(dot(first, k * heads, first, k * heads, heads)) || 1;
        const share = Math.sqrt(s[k] / length);
        for (let i = k * heads; i < (k + 1) * heads; i++) first[i] *= share;
        for (let o = 0; o < outputs; o++) {
          for (let t = 0; t < tails; t++) {
            const value = v[(t * outputs + o) * rank + k];
            second[(o * rank + k) * tails + t] = share > 0 ? (value * s[k]) / share : 0;
          }
        }
      }
      const { whitener } = evidence;
      const last = fits && whitener ? fitted(layer, whitener, first, head) : unscale(second);
      const both = [first, last];
      return shapes(rank).map((outline, i) => ({ ...outline, values: both[i] }));
    },
    byNoise: () => atLeast(points, [vbmfRank(parts.s, heads, tails * outputs).rank]),
  };
}

/**
 * The second factor that comes nearest to the layer's outputs, given the first. With what it reads,
 * z = B x, B the first factor at every tail position,
 *   H = W E[x x^T] B^T (B E[x x^T] B^T)^-1 = (W S) F^T (F F^T)^-1,  F = B S
 * Damped, because beyond the rank of a kernel rows of F are zero.
 */
function fitted(
  layer: Layer,
  { columns, factor }: Whitener,
  first: Float64Array,
  head: number,
): Float64Array {
  const { matrix, outputs } = layer;
  const order = columnsOf(layer, [head]);
  const heads = layer.inputs * layer.kernel[head];
  const tails = columns / heads;
  const rank = first.length / heads;
  // F [rank x tails, columns]
  const features = new Float64Array(rank * tails * columns);
  const turned = new Float64Array(columns * heads);
  for (let t = 0; t < tails; t++) {
    for (let h = 0; h < heads; h++) {
      const from = order[h * tails + t] * columns;
      for (let j = 0; j < columns; j++) turned[j * heads + h] = factor[from + j];
    }
    const rows = multiplyTransposed(first, turned, rank, columns, heads);
    for (let k = 0; k < rank; k++) {
      const row = rows.subarray(k * columns, (k + 1) * columns);
      features.set(row, (k * tails + t) * columns);
    }
  }
  const count = rank * tails;
  const gram = multiplyTransposed(features, features, count, count, columns);
  const seen = multiplyTransposed(
    Float64Array.from(matrix),
    transpose(factor, columns, columns),
    outputs,
    columns,
    columns,
  );
  const cross = multiplyTransposed(features, seen, count, outputs, columns);
  return transpose(solveSpd(damped(gram, count, DAMPING), count, cross, outputs), count, outputs);
}
