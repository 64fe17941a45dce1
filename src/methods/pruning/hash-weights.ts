/** @file HashedNets: a hash says which of a few values each weight is, so that no index is stored. */
import { z } from "zod";
import type { Value } from "../../ir/graph.ts";
import { type Builder, build } from "../../ops/builder.ts";
import { siteOptions } from "../../weights/select.ts";
import { sitesOf } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

/** The largest prime below 2^26: its square, and all that is computed here, is exact in 53 bits. */
const PRIME = 67108859;

export const hashWeights = defineMethod({
  title: "hashed weights (HashedNets)",
  cite: "Chen et al. 2015, arXiv 1504.04788, eq. 4-7",
  summary: "Weights share values by a hash of their place: no index in the file; train after it.",
  needs: [],
  options: z.object({
    ratio: z
      .number()
      .min(1)
      .max(1024)
      .default(8)
      .meta({ description: "Weights per stored value; 1 leaves all as they are.", search: [2, 8] }),
    ...siteOptions,
  }),
  survey: [],
  neutral: { ratio: 1 },
  async apply(model, { ratio, only, except }, context) {
    if (ratio === 1) return;
    const sites = sitesOf(model, { only, except }, context, 4096);
    for (const [i, site] of sites.entries()) {
      await context.progress(i, sites.length);
      const { value, weight, node } = site;
      const { values, shape } = weight;
      if (values.length >= PRIME) {
        context.skip(node.name, `has ${values.length} weights; the hash takes ${PRIME} at most`);
        continue;
      }
      const random = context.random.fork(node.name);
      const count = Math.ceil(values.length / ratio);
      const hash = { a: 1 + random.int(PRIME - 1), b: random.int(PRIME), count };
      const shared = meansOf(values, hash);
      const g = build(value.graph);
      const stored = expand(g, shared, hash, shape);
      value.graph.replace(value, stored);
      if (!stored.isOutput) stored.name = value.name || node.name;
      if (value.tensor) value.graph.removeConstant(value);
    }
  },
});

interface Hash {
  readonly a: number;
  readonly b: number;
  /** Stored values. */
  readonly count: number;
}

/**
 * h(i) = ((a i + b mod p)^2 + i mod p) mod 2 count: below count it is value h, else minus value
 * h - count. Squaring breaks the even steps of a i + b.
 */
export function hashOf(i: number, { a, b, count }: Hash): number {
  const x = (i * a + b) % PRIME;
  return ((x * x + i) % PRIME) % (2 * count);
}

/** The least-squares fit: w_k is the mean of sign times weight over all weights that share it. */
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

/** W = concat(w, -w)[h(0..n-1)], in integers that the engine folds when it loads the model. */
function expand(g: Builder, shared: Float32Array, hash: Hash, shape: readonly number[]): Value {
  const size = shape.reduce((a, b) => a * b, 1);
  const int = (x: number): Value => g.constant(x, { dtype: "int64" });
  const mod = (x: Value, by: Value): Value => g.Mod(x, by);
  const prime = int(PRIME);
  const i = g.Range(int(0), int(size), int(1));
  const x = mod(g.Add(g.Mul(i, int(hash.a)), int(hash.b)), prime);
  const y = mod(mod(g.Add(g.Mul(x, x), i), prime), int(2 * hash.count));
  const values = g.constant(shared, { name: "values" });
  const both = g.Concat(values, g.Neg(values), { axis: 0 });
  const index = g.Reshape(y, g.ints(shape, "shape"));
  return g.Gather(both, index, { axis: 0 });
}
