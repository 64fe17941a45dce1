/** @file Rows of class scores: which class wins, its log-probability, the distance between two rows. */

/** Index of the first largest score; -1 where the row has NaN or +Infinity (masked -Infinity is fine). */
export function argmax(row: ArrayLike<number>): number {
  let best = 0;
  for (let i = 0; i < row.length; i++) {
    if (!(row[i] < Infinity)) return -1;
    if (row[i] > row[best]) best = i;
  }
  return best;
}

/** Whether the row is probabilities rather than logits: none negative, sum 1 within float16's rounding. */
export function isDistribution(row: ArrayLike<number>): boolean {
  let sum = 0;
  for (let i = 0; i < row.length; i++) {
    if (!(row[i] >= 0)) return false;
    sum += row[i];
  }
  return Math.abs(sum - 1) <= 1e-3;
}

/** Quantized probabilities reach 0; without a floor one such zero makes every mean infinite. */
const floor = 1e-12;

/** Natural log-probabilities of logits (log softmax) or of probabilities (normalized, floored). */
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

/** KL(p || q) = sum p (log p - log q), nats, from log-probabilities; terms with p = 0 are 0. */
export function divergence(logP: ArrayLike<number>, logQ: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < logP.length; i++) {
    const p = Math.exp(logP[i]);
    if (p > 0) sum += p * (logP[i] - logQ[i]);
  }
  return Math.max(0, sum); // rounding can leave -1e-17 between equal rows
}
