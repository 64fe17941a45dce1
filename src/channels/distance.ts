/** @file Distance to the other filters: what lies in the middle can be replaced by the rest. */
import { eachElement, type Part } from "./candidates.ts";

/** Filters that each is compared with, at most, spread evenly. */
const SAMPLE = 256;

/** sum_j |w_i - w_j|: the filter nearest to the geometric median is the least (He et al. 2019, arXiv 1811.00250). */
export function scoreDistance(part: Part, units: number): Float64Array {
  const weights = part.weight.numbers();
  const rows = Array.from({ length: units }, (_, unit) => {
    const row: number[] = [];
    eachElement(part, part.indices(unit), (element) => row.push(weights[element]));
    return Float64Array.from(row);
  });
  const step = Math.max(1, Math.ceil(units / SAMPLE));
  return Float64Array.from(rows, (a) => {
    let total = 0;
    for (let j = 0; j < units; j += step) {
      let square = 0;
      for (let k = 0; k < a.length; k++) square += (a[k] - rows[j][k]) ** 2;
      total += Math.sqrt(square);
    }
    return total;
  });
}
