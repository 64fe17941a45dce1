/** @file Distances between filters: one near the geometric median can be replaced by the others. */
import { eachElement, type Part } from "./candidates.ts";

/** Each filter is compared with at most this many others, spread evenly over the layer. */
const SAMPLE = 256;

/**
 * FPGM: score_i = mean of |w_i - w_j| over the other filters w_j of a layer. The filter nearest to
 * the geometric median has the smallest and is removed first (He et al. 2019, arXiv 1811.00250,
 * which has the sum).
 */
export function scoreDistance(part: Part, units: number): Float64Array {
  const weights = part.weight.numbers();
  const rows = Array.from({ length: units }, (_, unit) => {
    const row: number[] = [];
    eachElement(part, part.indices(unit), (element) => row.push(weights[element]));
    return Float64Array.from(row);
  });
  const step = Math.max(1, Math.ceil(units / SAMPLE));
  return Float64Array.from(rows, (a, i) => {
    let [total, others] = [0, 0];
    for (let j = 0; j < units; j += step) {
      if (j === i) continue;
      let square = 0;
      for (let k = 0; k < a.length; k++) square += (a[k] - rows[j][k]) ** 2;
      total += Math.sqrt(square);
      others++;
    }
    return total / Math.max(1, others);
  });
}
