/** @file A layer as two thin ones by truncated SVD, weighted by what data say. */
import { unwhiten, whiten } from "../evidence/whitener.ts";
import type { Node } from "../ir/graph.ts";
import type { Outline } from "../layers/chain.ts";
import { costOf } from "../layers/cost.ts";
import type { Layer } from "../layers/matrix.ts";
import { dot, transpose } from "../numeric/matrix.ts";
import { createRandom } from "../numeric/random.ts";
import { truncatedSvd } from "../numeric/randomized-svd.ts";
import { type Svd, svd, truncate } from "../numeric/svd.ts";
import { vbmfRank } from "../numeric/vbmf.ts";
import type { Decomposition, Evidence, Point } from "./decomposition.ts";
import type { Settled } from "./options.ts";
import { atLeast, ranksUpTo, tailsOf } from "./spectrum.ts";

/** Matrices with a longer smaller side would take minutes. */
const LARGE = 1536;
/** Random vectors more than ranks, and the rank that is tried first where an energy decides. */
const OVERSAMPLING = 16;
const FIRST = 128;

/** How ranks are chosen, where that tells how many are needed. */
type Asked = Pick<Settled, "multiple"> & Partial<Pick<Settled, "ranks" | "budget" | "energy">>;

/**
 * W [m, n] of y = W x cut to rank r: with G = diag(gains)^1/2 and the whitener S (both 1 where
 * there is none) and G W S = U diag(s) V^T,
 *   y = W x + b  ->  y = (G^-1 U_r diag(s_r)^1/2) ((diag(s_r)^1/2 V_r^T S^-1) x) + b
 * leaves the error sum of the dropped s^2, the least of any rank r. It takes r (m + n) weights. If
 * the whitener has the mean of x, (W - W') E[x] goes into the bias.
 */
export function decomposeSvd(
  layer: Layer,
  { whitener, gains }: Evidence,
  options: Asked,
): Decomposition {
  const { matrix, outputs, inputs, kernel } = layer;
  const columns = matrix.length / outputs;
  const seen = whitener ? whiten(matrix, whitener) : matrix;
  const roots = gains?.map(Math.sqrt);
  const weighted = roots ? seen.map((x, i) => x * roots[Math.floor(i / columns)]) : seen;
  const { parts, tails } = spectrumOf(weighted, outputs, columns, options);
  const { multiple } = options;
  const shapes = (rank: number): Outline[] => [
    { name: "down", shape: [rank, inputs, ...kernel] },
    { name: "up", shape: [outputs, rank, ...kernel.map(() => 1)] },
  ];
  const full = Math.min(outputs, columns);
  // The full rank is what is needed where no rank that was looked at is enough.
  const points = [...new Set([...ranksUpTo(parts.rank, multiple), full])].map((rank): Point => {
    const { params, macs } = costOf(layer, shapes(rank));
    return { ranks: [rank], error: tails[rank] ?? 0, parameters: params, macs };
  });
  /** [down, up] of a rank. */
  const factorsAt = (rank: number): [Float64Array, Float64Array] => {
    const { u, s, v } = truncate(parts, rank);
    const turned = transpose(v, columns, rank);
    const down = whitener ? unwhiten(turned, whitener) : turned;
    const up = new Float64Array(outputs * rank);
    for (let k = 0; k < rank; k++) {
      // Row k of `down` and column k of `up` get equal length, so that both learn at like rates.
      const length = whitener ? Math.sqrt(dot(down, k * columns, down, k * columns, columns)) : 1;
      const [right, left] = [Math.sqrt(s[k] / length), Math.sqrt(s[k] * length)];
      for (let j = k * columns; j < (k + 1) * columns; j++) down[j] *= right;
      for (let i = 0; i < outputs; i++) {
        up[i * rank + k] = (left * u[i * rank + k]) / (roots?.[i] ?? 1);
      }
    }
    return [down, up];
  };
  const { mean = null } = whitener ?? {};
  return {
    points,
    energy: tails[0],
    chainAt({ ranks: [rank] }) {
      const values = factorsAt(rank);
      return shapes(rank).map((outline, i) => ({ ...outline, values: values[i] }));
    },
    byNoise: () => atLeast(points, [vbmfRank(parts.s, outputs, columns).rank]),
    ...(mean && {
      shiftAt({ ranks: [rank] }) {
        const [down, up] = factorsAt(rank);
        const seen = times(matrix, mean, outputs, columns);
        const left = times(up, times(down, mean, rank, columns), outputs, rank);
        return seen.map((y, o) => y - left[o]);
      },
    }),
    name: (nodes) => keepNames(layer, nodes),
  };
}

/** A x of A [rows, columns]. */
const times = (a: Float32Array | Float64Array, x: Float64Array, rows: number, columns: number) =>
  Float64Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let j = 0; j < columns; j++) sum += a[row * columns + j] * x[j];
    return sum;
  });

/**
 * The singular values and vectors that may be asked for, and the squared error at each of their
 * ranks. Of a large matrix only the leading ones are computed: as many as the share or the energy
 * needs, but no more than a third, which would take as long as all.
 */
function spectrumOf(
  matrix: Float32Array | Float64Array,
  rows: number,
  cols: number,
  { ranks, budget = 0, energy = 1 }: Asked,
): { readonly parts: Svd; readonly tails: Float64Array } {
  const most = Math.floor(Math.min(rows, cols) / 3) - OVERSAMPLING - 1;
  if (Math.min(rows, cols) <= LARGE || (ranks !== "share" && ranks !== "energy")) {
    const parts = svd(matrix, rows, cols);
    return { parts, tails: tailsOf(parts.s) };
  }
  let total = 0;
  for (const x of matrix) total += x * x;
  const share = Math.ceil((budget * rows * cols) / (rows + cols));
  let rank = Math.min(most, ranks === "share" ? share : FIRST);
  for (;;) {
    const options = { oversampling: OVERSAMPLING, powers: 1 };
    const parts = truncatedSvd(matrix, rows, cols, rank, createRandom(1), options);
    const tails = new Float64Array(rank + 1);
    tails[0] = total;
    for (let r = 0; r < rank; r++) tails[r + 1] = Math.max(0, tails[r] - parts.s[r] ** 2);
    const isEnough = ranks === "share" || tails[rank] <= (1 - energy) * total || rank === most;
    if (isEnough) return { parts, tails };
    rank = Math.min(most, 2 * rank);
  }
}

/**
 * Gives the nodes the names that files of earlier versions have: `<layer>/Conv` for the stage "up".
 */
function keepNames({ kind, node }: Layer, [down, up]: readonly Node[]): void {
  if (kind === "linear") down.name = down.output.name = `${node.name}/${down.op}`;
  up.name = `${node.name}/${up.op}`;
}
