/**
 * @file A mixture of Gaussians as prior of a layer's weights, with one component at zero (soft weight
 * sharing).
 */
import type { Value } from "../ir/graph.ts";
import { exp } from "../numeric/exp.ts";
import { log } from "../numeric/log.ts";
import type { Builder } from "../ops/builder.ts";
import type { Shape } from "../weights/form.ts";
import { codebookOf, usedOnly } from "../weights/forms/codebook.ts";
import type { Latent } from "../weights/latent.ts";

export interface MixtureOptions {
  /** Components beside the one at zero. */
  readonly components: number;
  /** pi_0, the share of the component at zero. */
  readonly zeros: number;
  /** Factor of the penalty. */
  readonly strength: number;
}

/** 0.5 log(2 pi). */
const HALF_LOG_TAU = 0.5 * log(2 * Math.PI);

/**
 * A standard deviation starts at the share FIRST of the distance between means, and stays between LEAST
 * and MOST. The bounds stand for the paper's Gamma priors on precisions: a component that shrinks to one
 * weight would have an infinite density. With FIRST, most weights belong to the mean beside them, and
 * those within a distance of zero to the component there.
 */
const [LEAST, FIRST, MOST] = [1 / 64, 1 / 4, 2];

/** Factor of the learning rate for logarithms, which have further to go than weights. */
const SPEED = 10;

/**
 * Opens a weight as itself, with the penalty
 *   -strength sum_i log sum_j pi_j N(w_i; mu_j, s_j^2)
 * (Nowlan, Hinton 1992; Ullrich, Meeds, Welling 2017, arXiv 1702.04008, eq. 7). mu_0 = 0 and pi_0 =
 * zeros are fixed; the other means, all standard deviations s, and how the others share 1 - pi_0
 * learn. Closed, each weight is the mean of its most likely component, in a codebook whose entry 0
 * is 0. Weights that are 0 stay 0.
 */
export function mixtureLatent(
  values: Float32Array,
  shape: Shape,
  { components, zeros, strength }: MixtureOptions,
): Latent<"weight" | "means" | "spreads" | "shares"> {
  const share = Math.max(zeros, 1e-9);
  const [low, high] = rangeOf(values);
  const gap = (high - low) / Math.max(1, components - 1);
  const means = Float32Array.from({ length: components }, (_, j) =>
    components === 1 ? high : low + j * gap,
  );
  const spreads = new Float32Array(components + 1).fill(log(gap * FIRST));
  return {
    theta: {
      weight: { start: values, shape, keepsZeros: true },
      means: { start: means, shape: [components] },
      spreads: {
        start: spreads,
        shape: [components + 1],
        rate: SPEED,
        min: log(gap * LEAST),
        max: log(gap * MOST),
      },
      shares: { start: new Float32Array(components), shape: [components], rate: SPEED },
    },
    build: (_, { weight }) => weight,
    penalty(g, { weight, means: mu, spreads: s, shares }) {
      const heights = heightsOf(g, s, shares, share);
      const w = g.Reshape(weight, g.ints([-1, 1]));
      const centers = g.Concat(g.constant([0]), mu, { axis: 0 });
      const z = g.Div(g.Sub(w, centers), g.Exp(s));
      const joint = g.Sub(heights, g.Mul(g.constant(0.5), g.Mul(z, z)));
      const density = g.ReduceLogSumExp(joint, g.ints([1]), { keepdims: 0 });
      return g.Mul(g.ReduceSum(density, null, { keepdims: 0 }), g.constant(-strength));
    },
    close({ weight, means: mu, spreads: s, shares }) {
      const total = shares.reduce((sum, x) => sum + exp(x), 0);
      const centers = [0, ...mu];
      const tops = centers.map((_, j) => {
        const own = j === 0 ? share : ((1 - share) * exp(shares[j - 1])) / total;
        return log(own) - s[j];
      });
      const inverses = centers.map((_, j) => exp(-s[j]));
      const index = Uint16Array.from(weight, (w) => {
        let best = 0;
        let most = Number.NEGATIVE_INFINITY;
        if (w === 0) return 0;
        for (const [j, center] of centers.entries()) {
          const z = (w - center) * inverses[j];
          const likelihood = tops[j] - 0.5 * z * z;
          if (likelihood > most) [best, most] = [j, likelihood];
        }
        return best;
      });
      return codebookOf(usedOnly(Float32Array.from(centers), index), shape);
    },
  };
}

/** The range of the values, which has a width, and an end that is not 0. */
function rangeOf(values: Float32Array): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const w of values) [low, high] = [Math.min(low, w), Math.max(high, w)];
  return high > low ? [low, high] : [low - 1, high + 1];
}

/** log pi_j - log s_j - 0.5 log(2 pi), for all components. */
function heightsOf(g: Builder, spreads: Value, shares: Value, zeros: number): Value {
  const others = g.Add(g.LogSoftmax(shares, { axis: 0 }), g.constant(log(1 - zeros)));
  const logShares = g.Concat(g.constant([log(zeros)]), others, { axis: 0 });
  return g.Sub(g.Sub(logShares, spreads), g.constant(HALF_LOG_TAU));
}
