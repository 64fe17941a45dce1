/** @file Hashed weights: a hash of its position selects the stored value of each weight. */
import type { Random } from "../../numeric/random.ts";
import { product } from "../../util/product.ts";
import { defineForm, integers, learns, type Shape } from "../form.ts";
import { type Composed, composed, type Leaf, leaf } from "../weight.ts";

/**
 * The largest prime below 2^26. Its square and all other intermediate results are exact in the 53
 * bits of a float64.
 */
export const PRIME = 67108859;

/**
 * W_i = s(i) v[h(i)] without stored indices (HashedNets). With p = PRIME, n stored values v and i
 * counting weights in row-major order,
 *   h(i) = ((((a i + b) mod p)^2 + i) mod p) mod 2 n
 * selects v[h] if h < n, and -v[h - n] otherwise. a i + b alone advances in even steps; squaring
 * breaks this pattern. The seeds a, b are stored.
 */
export const hashed = defineForm({
  kind: "hashed",
  cite: "Chen et al. 2015, HashedNets, arXiv 1504.04788, eq. 4-7",
  doc: "W_i = s(i) v[h(i)], h and s from two seeds",
  theta: {
    values: learns(),
    a: integers("int64", 1, PRIME - 1),
    b: integers("int64", 0, PRIME - 1),
  },
  build(g, { values, a, b }, shape) {
    const size = product(shape);
    const [count] = values.shape as readonly number[];
    const int = (x: number) => g.constant(x, { dtype: "int64" });
    const prime = int(PRIME);
    const i = g.Range(int(0), int(size), int(1));
    const x = g.Mod(g.Add(g.Mul(i, a), b), prime);
    const place = g.Mod(g.Mod(g.Add(g.Mul(x, x), i), prime), int(2 * count));
    const both = g.Concat(values, g.Neg(values), { axis: 0 });
    return g.Gather(both, g.Reshape(place, g.ints(shape, "shape")), { axis: 0 });
  },
  examples: [{ shape: [6, 4], theta: { values: [5], a: [], b: [] } }],
});

/**
 * Draws two seeds and fits `count` stored values by least squares: v_k is the mean of s(i) w_i over
 * all weights that share it.
 */
export function fitHashed(
  values: Float32Array,
  shape: Shape,
  count: number,
  random: Random,
): Composed {
  const hash = { a: 1 + random.int(PRIME - 1), b: random.int(PRIME), count };
  const seed = (x: number): Leaf => ({
    form: null,
    shape: [],
    values: Float64Array.of(x),
    coding: "int64",
  });
  const means = leaf(meansOf(values, hash), [count]);
  return composed(hashed, shape, { values: means, a: seed(hash.a), b: seed(hash.b) });
}

export interface Hash {
  readonly a: number;
  readonly b: number;
  /** Number of stored values. */
  readonly count: number;
}

/** h(i) in plain arithmetic; the same numbers as the nodes of `hashed`. */
export function hashOf(i: number, { a, b, count }: Hash): number {
  const x = (i * a + b) % PRIME;
  return ((x * x + i) % PRIME) % (2 * count);
}

/** The least-squares values v [count] for given seeds; 0 where no weight shares a value. */
export function meansOf(values: Float32Array, hash: Hash): Float32Array {
  const sums = new Float64Array(hash.count);
  const members = new Uint32Array(hash.count);
  for (const [i, w] of values.entries()) {
    const h = hashOf(i, hash);
    const k = h % hash.count;
    sums[k] += h < hash.count ? w : -w;
    members[k]++;
  }
  return Float32Array.from(sums, (sum, k) => sum / Math.max(1, members[k]));
}
