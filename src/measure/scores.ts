/** @file Rows of class scores: log-probabilities, KL between two rows. */

/**
 * Whether the row holds probabilities rather than logits: no score is negative and the sum is 1
 * within 1e-3, which allows for float16 rounding.
 */
export function isDistribution(row: ArrayLike<number>): boolean {
  let sum = 0;
  for (let i = 0; i < row.length; i++) {
    if (!(row[i] >= 0)) return false;
    sum += row[i];
  }
  return Math.abs(sum - 1) <= 1e-3;
}

/**
 * Smallest probability. Quantized probabilities can be 0, and the logarithm of one of them would
 * make the mean over all records infinite.
 */
const floor = 1e-12;

/**
 * Natural log-probabilities of a row: log softmax of logits, or with `distribution` the logarithm
 * of probabilities, which are raised to `floor` and normalized. They are written to `into` (same
 * length), which is returned.
 */
export function logProbabilities(
  row: ArrayLike<number>,
  distribution: boolean,
  into: Float64Array = new Float64Array(row.length),
): Float64Array {
  let sum = 0;
  if (distribution) {
    for (let i = 0; i < row.length; i++) sum += into[i] = Math.max(row[i], floor);
    for (let i = 0; i < row.length; i++) into[i] = Math.log(into[i] / sum);
    return into;
  }
  let max = -Infinity;
  for (let i = 0; i < row.length; i++) if (row[i] > max) max = row[i];
  for (let i = 0; i < row.length; i++) sum += Math.exp(row[i] - max);
  const logSum = max + Math.log(sum);
  for (let i = 0; i < row.length; i++) into[i] = row[i] - logSum;
  return into;
}

/** KL(p || q) = sum p (log p - log q) in nats, from log-probabilities; terms with p = 0 count 0. */
export function divergence(logP: ArrayLike<number>, logQ: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < logP.length; i++) {
    const p = Math.exp(logP[i]);
    if (p > 0) sum += p * (logP[i] - logQ[i]);
  }
  return Math.max(0, sum); // for equal rows rounding can give a tiny negative sum
}
