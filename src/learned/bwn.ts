/** @file Binary weights times the mean magnitude of the latent ones: of BWN and of XNOR-Net. */
import type { Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";
import type { Scaling } from "./scaled.ts";
import { indicator } from "./straight-through.ts";

/**
 * W = alpha sign(u), alpha = mean |u|. With n weights that share alpha, the gradient is
 *   dE/du = dE/dW (1 / n + alpha 1(|u| <= 1))
 * (Rastegari et al. 2016, arXiv 1603.05279, eq. 6 and section 3.1, training).
 */
export const meanScale = (scales: Scaling["scales"]): Scaling => ({
  isTernary: false,
  scales,
  project: (u) => ({ scale: u.reduce((sum, x) => sum + Math.abs(x), 0) / u.length }),
  slope(g: Builder, u: Value, alpha: Value, n: number): Value {
    const isNear = indicator(g, g.LessOrEqual(g.Abs(u), g.constant(1)));
    return g.Add(g.Mul(isNear, alpha), g.constant(1 / n));
  },
});
