/**
 * @file k-means into clusters of equal size, by the cosine of the vectors (Zhang et al. 2022, MoEfication,
 * arXiv 2110.01786, section 3.2.1, with a greedy assignment in the place of an exact one).
 */
import type { Random } from "./random.ts";

const ITERATIONS = 12;

/**
 * The cluster of each of the vectors x [n, size], n a multiple of `count`: n / count vectors each. Pairs
 * of a vector and a centroid are taken from the most similar one on, while the cluster has room.
 */
export function balancedKmeans(
  x: Float64Array,
  size: number,
  count: number,
  random: Random,
): Uint16Array {
  const n = x.length / size;
  const room = n / count;
  if (!Number.isInteger(room)) throw new Error(`${n} vectors in ${count} equal clusters`);
  const unit = x.slice();
  for (let i = 0; i < n; i++) normalize(unit.subarray(i * size, (i + 1) * size));
  const order = random.shuffle(Uint32Array.from({ length: n }, (_, i) => i));
  let index = Uint16Array.from({ length: n }, () => 0);
  for (const [at, i] of order.entries()) index[i] = at % count;
  let before = Number.NEGATIVE_INFINITY;
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    const centroids = new Float64Array(count * size);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < size; j++) centroids[index[i] * size + j] += unit[i * size + j];
    }
    for (let c = 0; c < count; c++) normalize(centroids.subarray(c * size, (c + 1) * size));
    const likeness = new Float64Array(n * count);
    for (let i = 0; i < n; i++) {
      for (let c = 0; c < count; c++) {
        let dot = 0;
        for (let j = 0; j < size; j++) dot += unit[i * size + j] * centroids[c * size + j];
        likeness[i * count + c] = dot;
      }
    }
    const next = assigned(likeness, n, count, room);
    const total = next.reduce((sum, c, i) => sum + likeness[i * count + c], 0);
    if (total <= before) break;
    [index, before] = [next, total];
  }
  return index;
}

function assigned(likeness: Float64Array, n: number, count: number, room: number) {
  const pairs = Uint32Array.from({ length: n * count }, (_, at) => at);
  pairs.sort((a, b) => likeness[b] - likeness[a] || a - b);
  const index = new Uint16Array(n).fill(count);
  const left = new Uint32Array(count).fill(room);
  for (const at of pairs) {
    const [i, c] = [Math.floor(at / count), at % count];
    if (index[i] < count || left[c] === 0) continue;
    index[i] = c;
    left[c]--;
  }
  return index;
}

function normalize(x: Float64Array): void {
  const length = Math.sqrt(x.reduce((sum, v) => sum + v * v, 0)) || 1;
  for (let i = 0; i < x.length; i++) x[i] /= length;
}
