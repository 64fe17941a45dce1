/**
 * @file Optimal brain surgeon: removes the weights of one row one by one, each time the one whose
 * removal adds least to the error once the others are adjusted.
 *
 * For the error 0.5 dw^T H dw and G = H^-1 over the weights that remain (Hassibi & Stork 1993;
 * Frantar & Alistarh 2022, arXiv 2208.11580, lemma 1):
 *
 *   p = argmin w_p^2 / (2 G_pp),   w -= G_:p w_p / G_pp,   G -= G_:p G_p: / G_pp, without row p
 */

/** When to stop: after `count` weights, or when n of every m are left. */
export type Quota =
  | { readonly count: number }
  | { readonly pattern: readonly [n: number, m: number] };

export interface Removals {
  /** Their indices, first removed first. */
  readonly order: readonly number[];
  /** What each removal added to the error 0.5 dw^T H dw. */
  readonly costs: readonly number[];
}

/**
 * Removes weights up to the quota. `weight` [size] is changed in place, `inverse` is H^-1 [size,
 * size]. Weights that are zero are removed first, whatever the quota, and stay zero.
 */
export function eliminate(weight: Float64Array, inverse: Float64Array, quota: Quota): Removals {
  const size = weight.length;
  // The weights that remain are kept in front. Only the lower triangle of g is used.
  const g = inverse.slice();
  const w = weight.slice();
  const ids = Int32Array.from({ length: size }, (_, i) => i);
  const isZero = Uint8Array.from(weight, (x) => (x === 0 ? 1 : 0));
  const may = permission(quota, size);
  const order: number[] = [];
  const costs: number[] = [];
  const column = new Float64Array(size);
  const last = new Float64Array(size);
  weight.fill(0);

  for (let left = size; left > 0; left--) {
    let best = -1;
    let least = Infinity;
    for (let i = 0; i < left; i++) {
      const cost = isZero[ids[i]] ? -1 : (w[i] * w[i]) / (2 * g[i * size + i]);
      if (cost < least && (cost < 0 || may(ids[i], order.length))) [best, least] = [i, cost];
    }
    if (best < 0) {
      for (let i = 0; i < left; i++) weight[ids[i]] = w[i];
      break;
    }
    order.push(ids[best]);
    costs.push(Math.max(0, least));
    may(ids[best], -1);
    // The last remaining weight takes the place of the one that is removed.
    const end = left - 1;
    columnOf(g, size, left, best, column);
    columnOf(g, size, left, end, last);
    const pivot = column[best];
    const share = w[best] / pivot;
    for (let j = 0; j < best; j++) g[best * size + j] = last[j];
    for (let i = best + 1; i < end; i++) g[i * size + best] = last[i];
    g[best * size + best] = last[end];
    [column[best], w[best], ids[best]] = [column[end], w[end], ids[end]];
    for (let i = 0; i < end; i++) {
      w[i] -= share * column[i];
      const factor = column[i] / pivot;
      if (factor === 0) continue;
      for (let j = 0, at = i * size; j <= i; j++, at++) g[at] -= factor * column[j];
    }
  }
  return { order, costs };
}

/** Copies column p of the symmetric g, of which the lower triangle is stored, to `to`. */
function columnOf(g: Float64Array, size: number, left: number, p: number, to: Float64Array): void {
  for (let j = 0; j <= p; j++) to[j] = g[p * size + j];
  for (let i = p + 1; i < left; i++) to[i] = g[i * size + p];
}

/**
 * A function that says whether weight `id` may be removed after `gone` others. A call with `gone` =
 * -1 records that it was removed.
 */
function permission(quota: Quota, size: number): (id: number, gone: number) => boolean {
  if ("count" in quota) return (_, gone) => gone < quota.count;
  const [n, m] = quota.pattern;
  const spare = Array.from(
    { length: Math.ceil(size / m) },
    (_, block) => Math.min(m, size - block * m) - n,
  );
  return (id, gone) => {
    const block = Math.floor(id / m);
    if (gone < 0) spare[block]--;
    return spare[block] > 0;
  };
}
