/** @file LASSO: channels are ranked by how large the l1 penalty may be before they are dropped. */
import { byReaders, innerProducts } from "./products.ts";

/** Values of lambda, in equal ratios from the one at which all beta are 0 to a thousandth of it. */
const LAMBDAS = 60;
/** lambda is multiplied by this from one value to the next. */
const FALL = 1e-3 ** (1 / (LAMBDAS - 1));
/** Largest number of passes over all channels for each lambda. */
const ROUNDS = 1000;
/** The passes end once no beta changes by more. */
const TOLERANCE = 1e-7;

/**
 * He et al. 2017, arXiv 1707.06168, eq. 2, with the weights as they are. For what the units u add to
 * the outputs Y of the layers that read them, z_u = W_u X_u and Y = sum of z_u,
 *   min over beta of  |Y - sum_u beta_u z_u|^2 / 2 + lambda |beta|_1
 * The paper raises lambda until no more channels are left than wanted. Here the score of a unit is
 * the share of all lambdas at which beta_u is not zero, so that any number can be kept; between equal
 * scores |beta_u| at the least lambda decides. (The paper's second step, a least-squares fit of the
 * weights that are left, is `repair=least-squares`.)
 */
export const scoreLasso = byReaders((units, readers) => {
  const scores = new Float64Array(units);
  let last: ArrayLike<number> = scores;
  for (const { beta } of lassoPath(innerProducts(units, readers), units)) {
    for (let u = 0; u < units; u++) if (beta[u] !== 0) scores[u] += 1 / LAMBDAS;
    last = beta;
  }
  const most = Math.max(...Array.from(last, Math.abs)) || 1;
  return scores.map((score, u) => score + (Math.abs(last[u]) / most) * (0.5 / LAMBDAS));
});

/**
 * The solutions beta [units] for falling lambda, given G_uv = <z_u, z_v> [units, units]. Each starts
 * from the one before; `beta` is reused.
 */
export function* lassoPath(
  products: Float64Array,
  units: number,
): Generator<{ readonly lambda: number; readonly beta: Float64Array }> {
  const beta = new Float64Array(units);
  // <z_u, Y - sum_v beta_v z_v>, at first sum_v G_uv.
  const rest = new Float64Array(units);
  for (let u = 0; u < units; u++) {
    for (let v = 0; v < units; v++) rest[u] += products[u * units + v];
  }
  let lambda = rest.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  for (let step = 0; step < LAMBDAS; step++, lambda *= FALL) {
    descend(beta, rest, products, lambda);
    yield { lambda, beta };
  }
}

/**
 * Coordinate descent at one lambda, in place:
 *   beta_u <- soft(rest_u + G_uu beta_u, lambda) / G_uu,  rest_u = <z_u, Y - sum_v beta_v z_v>
 */
function descend(
  beta: Float64Array,
  rest: Float64Array,
  products: Float64Array,
  lambda: number,
): void {
  const units = beta.length;
  for (let round = 0; round < ROUNDS; round++) {
    let most = 0;
    for (let u = 0; u < units; u++) {
      const own = products[u * units + u];
      if (own <= 0) continue;
      const slope = rest[u] + own * beta[u];
      const next = (Math.sign(slope) * Math.max(0, Math.abs(slope) - lambda)) / own;
      const change = next - beta[u];
      if (change === 0) continue;
      beta[u] = next;
      for (let v = 0; v < units; v++) rest[v] -= change * products[u * units + v];
      most = Math.max(most, Math.abs(change));
    }
    if (most < TOLERANCE) return;
  }
}
