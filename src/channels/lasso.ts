/** @file LASSO: channels enter one after another as the price of having them falls. */
import { byReaders, type Products } from "./products.ts";

/** From the price at which no channel pays down to a thousandth of it. */
const PRICES = 60;
const FALL = 1e-3 ** (1 / (PRICES - 1));
/** Rounds over all channels at each price; the start is the solution at the price before. */
const ROUNDS = 40;

/**
 * min over beta of  |Y - sum_u beta_u W_u X_u|^2 / 2 + lambda |beta|_1  with Y = W X, layers in shares of
 * their energy (He et al. 2017, arXiv 1707.06168, eq. 2), by coordinate descent along falling lambda. The score
 * is the share of the prices at which the channel is there; among equals the larger |beta| counts.
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

/** <W_u X_u, W_v X_v> of all pairs, summed over layers in shares of their energy: [units, units]. */
function innerProducts(units: number, readers: readonly Products[]): Float64Array {
  const sum = new Float64Array(units * units);
  for (const { n, rows, columns, groups } of readers) {
    const energy = groups.reduce((total, group) => total + group.energy, 0) || 1;
    const places = Array.from({ length: units }, (_, unit) => columns(unit));
    for (const { w, gram } of groups) {
      // W^T W, of which each pair of columns meets its own moment.
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

/** beta_u <- soft(<Y - sum of the others, u>, lambda) / <u, u>, in turn. */
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
