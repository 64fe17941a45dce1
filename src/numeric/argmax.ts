/** @file The largest of a row of scores. */

/**
 * Index of the largest score, the first of equal ones; -1 if the row has a NaN or +Infinity.
 * -Infinity is allowed, because models use it for masked classes.
 */
export function argmax(row: ArrayLike<number>): number {
  let best = 0;
  for (let i = 0; i < row.length; i++) {
    if (!(row[i] < Infinity)) return -1;
    if (row[i] > row[best]) best = i;
  }
  return best;
}
