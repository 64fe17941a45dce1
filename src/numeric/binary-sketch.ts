/**
 * @file Sums of binary vectors: w ~ sum_k a_k B_k with B_k of -1 and +1 (Guo et al. 2017, arXiv
 * 1706.02021, algorithms 1 and 2).
 *
 * B_k is the sign of what the earlier ones leave, r = w - sum_j<k a_j B_j. direct: a_k = mean |r|, the
 * best factor of B_k alone. refined: all a_1 .. a_k are the least squares of w on B_1 .. B_k.
 */

export interface BinarySketch {
  /** [count, length] of -1 and +1. */
  readonly signs: Int8Array;
  readonly scales: Float64Array;
}

/** Fits `count` binary vectors and their factors to `w`. */
export function binarySketch(w: Float32Array, count: number, isRefined: boolean): BinarySketch {
  const n = w.length;
  const signs = new Int8Array(count * n);
  const scales = new Float64Array(count);
  const rest = Float64Array.from(w);
  for (let k = 0; k < count; k++) {
    let sum = 0;
    for (let i = 0; i < n; i++) {
      signs[k * n + i] = rest[i] < 0 ? -1 : 1;
      sum += Math.abs(rest[i]);
    }
    scales[k] = sum / n;
    if (isRefined) scales.set(leastSquares(w, signs, k + 1));
    for (let i = 0; i < n; i++) {
      let value = w[i];
      for (let j = 0; j <= k; j++) value -= scales[j] * signs[j * n + i];
      rest[i] = value;
    }
  }
  return { signs, scales };
}

/** A vector counts as a sum of the others if this share of it, or less, is not. */
const DEPENDENT = 1e-9;

/**
 * The factors a of least |w - sum_k a_k B_k|^2, from the normal equations (B B^T) a = B w by
 * elimination. A B_k that the earlier ones make up has a_k = 0.
 */
function leastSquares(w: Float32Array, signs: Int8Array, count: number): Float64Array {
  const n = w.length;
  const row = (k: number): Float64Array => {
    const line = new Float64Array(count + 1);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < count; j++) line[j] += signs[k * n + i] * signs[j * n + i];
      line[count] += signs[k * n + i] * w[i];
    }
    return line;
  };
  const rows = Array.from({ length: count }, (_, k) => row(k));
  for (let k = 0; k < count; k++) {
    const pivot = rows[k][k];
    if (pivot <= DEPENDENT * n) {
      rows[k].fill(0);
      for (const line of rows) line[k] = 0;
      continue;
    }
    for (let other = k + 1; other < count; other++) {
      const factor = rows[other][k] / pivot;
      for (let j = k; j <= count; j++) rows[other][j] -= factor * rows[k][j];
    }
  }
  const a = new Float64Array(count);
  for (let k = count - 1; k >= 0; k--) {
    if (rows[k][k] === 0) continue;
    let value = rows[k][count];
    for (let j = k + 1; j < count; j++) value -= rows[k][j] * a[j];
    a[k] = value / rows[k][k];
  }
  return a;
}
