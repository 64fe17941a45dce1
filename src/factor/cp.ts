/** @file A convolution as 1 x 1, one depthwise convolution for each axis, and 1 x 1: CP decomposition. */
import type { Chain, Outline } from "../layers/chain.ts";
import { costOf } from "../layers/cost.ts";
import type { Layer } from "../layers/matrix.ts";
import { type Cp, cpAls, cpError, cpOf, orthogonalTerms } from "../numeric/cp-als.ts";
import { exp } from "../numeric/exp.ts";
import { log } from "../numeric/log.ts";
import { transpose } from "../numeric/matrix.ts";
import { remembered } from "../util/remembered.ts";
import type { Decomposition, Evidence, Point } from "./decomposition.ts";
import { kernelOf, whyNoKernel } from "./kernel.ts";
import { longAxes } from "./separable.ts";
import { ranksUpTo, tailsOf } from "./spectrum.ts";

/** Ranks at which the error is computed, as shares of the largest that saves weights. */
const PROBES = [1 / 3, 2 / 3];
/** Chains that are not computed again: pooling looks at the same sizes many times. */
const KEPT = 12;
/** Sweeps there; those that follow change little of the error. */
const PROBE_SWEEPS = 6;

/**
 * K [n, c, i, j] as a sum of r terms,
 *   K[n, c, i, j] ~ sum_r N[r, n] C[r, c] I[r, i] J[r, j]
 * (Lebedev et al. 2015, arXiv 1412.6553): C is a 1 x 1 convolution to r channels, I and J work on each
 * of them alone, N is a 1 x 1 convolution to the outputs. The terms' norms are kept bounded, because
 * a best sum of r terms may not exist (numeric/cp-als.ts).
 *
 * Alternating least squares at every rank would take minutes. The error of r orthogonal terms is a
 * bound in closed form; least squares brings it down by a share whose logarithm is nearly a straight
 * line over r, so two ranks are tried and the others lie on the lines between.
 */
export function decomposeCp(
  layer: Layer,
  evidence: Evidence,
  { multiple, guard }: { readonly multiple: number; readonly guard: number },
): Decomposition | string {
  const refused = whyNoKernel(layer, 1);
  if (refused) return refused;
  const { outputs, inputs, kernel } = layer;
  const { values, energy, unwhiten, unscale } = kernelOf(layer, evidence, []);
  const axes = longAxes(layer);
  const sizes = [outputs, inputs, ...axes.map((axis) => kernel[axis])];
  const shapes = (rank: number): Outline[] => [
    { name: "in", shape: [rank, inputs, ...kernel.map(() => 1)] },
    ...axes.map((own) => ({
      name: `axis${own}`,
      shape: [rank, 1, ...kernel.map((size, axis) => (axis === own ? size : 1))],
      groups: rank,
    })),
    { name: "out", shape: [outputs, rank, ...kernel.map(() => 1)] },
  ];
  const perTerm = sizes.reduce((a, b) => a + b, 0);
  const terms = orthogonalTerms(values, sizes);
  if (terms.length === 0) return "has only zeros, which are a sum of no terms";
  const most = Math.min(terms.length, Math.max(1, Math.ceil(values.length / perTerm) - 1));
  const bounds = tailsOf(terms.map(({ size }) => size));
  const solve = (rank: number, sweeps?: number): Cp =>
    cpAls(values, cpOf(terms.slice(0, rank), sizes), {
      damping: guard,
      ...(sweeps && { sweeps }),
    });
  const gains = PROBES.map((share) => {
    const rank = Math.max(1, Math.round(share * most));
    const found = cpError(values, solve(rank, PROBE_SWEEPS));
    return { rank, log: log(Math.min(1, found / (bounds[rank] || 1)) || 1) };
  });
  let least = Number.POSITIVE_INFINITY;
  // All terms together are the kernel itself: what an energy asks for that no smaller rank keeps.
  const ranks = new Set([...ranksUpTo(most, multiple), Math.max(1, terms.length)]);
  const points = [...ranks].map((rank): Point => {
    const { params, macs } = costOf(layer, shapes(rank));
    least = Math.min(least, bounds[rank] * exp(along(gains, rank)));
    return { ranks: [rank], error: least, parameters: params, macs };
  });
  return {
    points,
    energy,
    chainAt: remembered(KEPT, ({ ranks: [rank] }): Chain => {
      const [last, first, ...inner] = solve(rank).factors;
      const out = unscale(transpose(last, rank, outputs));
      const all = [unwhiten(first), ...inner, out];
      return shapes(rank).map((outline, i) => ({ ...outline, values: all[i] }));
    }),
  };
}

/** The line from 0 at rank 0 through both probes, at `rank`. */
function along(
  [low, high]: readonly { readonly rank: number; readonly log: number }[],
  rank: number,
): number {
  if (rank <= low.rank || high.rank === low.rank) return (low.log * rank) / low.rank;
  const slope = (high.log - low.log) / (high.rank - low.rank);
  return low.log + slope * (rank - low.rank);
}
