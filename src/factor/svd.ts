/** @file A layer as two thin ones by truncated SVD, weighted by what data say. */
import { unwhiten, whiten } from "../evidence/whitener.ts";
import type { Node } from "../ir/graph.ts";
import type { Outline } from "../layers/chain.ts";
import { costOf } from "../layers/cost.ts";
import type { Layer } from "../layers/matrix.ts";
import { dot, transpose } from "../numeric/matrix.ts";
import { svd, truncate } from "../numeric/svd.ts";
import { vbmfRank } from "../numeric/vbmf.ts";
import type { Decomposition, Evidence, Point } from "./decomposition.ts";
import { atLeast, ranksUpTo, tailsOf } from "./spectrum.ts";

/**
 * W [m, n] of y = W x cut to rank r: with G = diag(gains)^1/2 and the whitener S (both 1 where
 * there is none) and G W S = U diag(s) V^T,
 *   y = W x + b  ->  y = (G^-1 U_r diag(s_r)^1/2) ((diag(s_r)^1/2 V_r^T S^-1) x) + b
 * leaves the error sum of the dropped s^2, the least of any rank r. It takes r (m + n) weights.
 */
export function decomposeSvd(
  layer: Layer,
  { whitener, gains }: Evidence,
  { multiple }: { readonly multiple: number },
): Decomposition {
  const { matrix, outputs, inputs, kernel } = layer;
  const columns = matrix.length / outputs;
  const seen = whitener ? whiten(matrix, whitener) : matrix;
  const roots = gains?.map(Math.sqrt);
  const weighted = roots ? seen.map((x, i) => x * roots[Math.floor(i / columns)]) : seen;
  const parts = svd(weighted, outputs, columns);
  const tails = tailsOf(parts.s);
  const shapes = (rank: number): Outline[] => [
    { name: "down", shape: [rank, inputs, ...kernel] },
    { name: "up", shape: [outputs, rank, ...kernel.map(() => 1)] },
  ];
  const points = ranksUpTo(parts.rank, multiple).map((rank): Point => {
    const { params, macs } = costOf(layer, shapes(rank));
    return { ranks: [rank], error: tails[rank], parameters: params, macs };
  });
  return {
    points,
    energy: tails[0],
    chainAt({ ranks: [rank] }) {
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
      const values = [down, up];
      return shapes(rank).map((outline, i) => ({ ...outline, values: values[i] }));
    },
    byNoise: () => atLeast(points, [vbmfRank(parts.s, outputs, columns).rank]),
    name: (nodes) => keepNames(layer, nodes),
  };
}

/**
 * Gives the nodes the names that files of earlier versions have: `<layer>/Conv` for the stage "up".
 */
function keepNames({ kind, node }: Layer, [down, up]: readonly Node[]): void {
  if (kind === "linear") down.name = down.output.name = `${node.name}/${down.op}`;
  up.name = `${node.name}/${up.op}`;
}
