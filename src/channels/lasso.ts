/** @file LASSO: channels are ranked by how large the l1 penalty may be before they are dropped. */
import { byReaders, type Products } from "./products.ts";

/** Values of lambda, in equal ratios from the one at which all beta are 0 to a thousandth of it. */
const PRICES = 60;
/** lambda is multiplied by this from one value to the next. */
const FALL = 1e-3 ** (1 / (PRICES - 1));
/**
 * Largest number of passes over all channels for each lambda; beta starts at the solution before.
 */
const ROUNDS = 40;

/**
 * He et al. 2017, arXiv 1707.06168, eq. 2, over the units u of a group and all its readers:
 *   min over beta of  |Y - sum_u beta_u W_u X_u|^2 / 2 + lambda |beta|_1,  Y = W X
 * Each reader's term is divided by |Y|^2, so that layers count alike. Solved by coordinate descent
 * along falling lambda. The score of a unit is the share of the lambdas at which beta_u is not
 * zero; between equal scores |beta_u| at the last lambda decides.
 */
export const scoreLasso = byReaders((units, readers) => {
  const products = innerProducts(units, readers);
  const target = new Float64Array(units);
  for (let u = 0; u < units; u++) {
    for (let v = 0; v < units; v++) target[u] += products[u * units + v];
  }
  const beta = new Float64Array(units);
  const scores = new Float64Array(units);
  let price = target.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  for (let step = 0; step < PRICES; step++, price *= FALL) {
    descend(beta, products, target, price);
    for (let u = 0; u < units; u++) if (beta[u] !== 0) scores[u] += 1 / PRICES;
  }
  const most = beta.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1;
  return scores.map((score, u) => score + (Math.abs(beta[u]) / most) * (0.5 / PRICES));
});

/**
 * The Gram matrix G_uv = <W_u X_u, W_v X_v> [units, units], summed over readers, each divided by
 * its energy |W X|^2. G_uv is the sum of (W^T W)_ij (X X^T)_ij over the columns i of u and j of v.
 */
function innerProducts(units: number, readers: readonly Products[]): Float64Array {
  const sum = new Float64Array(units * units);
  for (const { n, rows, columns, groups } of readers) {
    const energy = groups.reduce((total, group) => total + group.energy, 0) || 1;
    const places = Array.from({ length: units }, (_, unit) => columns(unit));
    for (const { w, gram } of groups) {
      // W^T W [n, n].
      const weights = new Float64Array(n * n);
      for (let row = 0; row < rows; row++) {
        for (let i = 0; i < n; i++) {
          const left = w[row * n + i];
          if (left === 0) continue;
          for (let j = 0; j < n; j++) weights[i * n + j] += left * w[row * n + j];
        }
      }
      for (let u = 0; u < units; u++) {
        for (let v = u; v < units; v++) {
          let inner = 0;
          for (const i of places[u]) {
            for (const j of places[v]) inner += weights[i * n + j] * gram[i * n + j];
          }
          sum[u * units + v] += inner / energy;
          if (v > u) sum[v * units + u] += inner / energy;
        }
      }
    }
  }
  return sum;
}

/**
 * Coordinate descent at one lambda (`price`), in place:
 *   beta_u <- soft(target_u - sum_{v != u} G_uv beta_v, lambda) / G_uu,  target_u = sum_v G_uv
 * until no beta changes by 1e-6.
 */
function descend(
  beta: Float64Array,
  products: Float64Array,
  target: Float64Array,
  price: number,
): void {
  const units = beta.length;
  for (let round = 0; round < ROUNDS; round++) {
    let change = 0;
    for (let u = 0; u < units; u++) {
      const own = products[u * units + u];
      if (own <= 0) continue;
      let slope = target[u];
      for (let v = 0; v < units; v++) if (v !== u) slope -= products[u * units + v] * beta[v];
      const next = (Math.sign(slope) * Math.max(0, Math.abs(slope) - price)) / own;
      change = Math.max(change, Math.abs(next - beta[u]));
      beta[u] = next;
    }
    if (change < 1e-6) return;
  }
}
