/** @file Backward elimination: the order in which units are removed, one by one, at the least cost. */

/**
 * The scores [units] of a greedy choice: again and again the unit of the least `costOf` is removed,
 * and `remove` brings the costs of the others up to date. The score of a unit is the sum of the
 * costs up to its removal, or the largest such sum before it, so that scores rise with the order.
 */
export function eliminateUnits(
  units: number,
  costOf: (unit: number) => number,
  remove: (unit: number) => void,
): Float64Array {
  const scores = new Float64Array(units);
  const left = new Set(scores.keys());
  let [error, most] = [0, 0];
  while (left.size > 0) {
    let [best, least] = [-1, Infinity];
    for (const unit of left) {
      const cost = costOf(unit);
      if (cost < least || best < 0) [best, least] = [unit, cost];
    }
    error += least;
    most = Math.max(most, error);
    // Between equal errors the order of removal decides.
    scores[best] = most + (units - left.size) * 1e-12;
    left.delete(best);
    if (left.size > 0) remove(best);
  }
  return scores;
}
