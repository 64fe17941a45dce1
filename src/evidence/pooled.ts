/**
 * @file Means and variances per channel over all elements of all records, whatever batches they come
 * in.
 *
 * The engine reduces a batch b to the mean m_b, the variance v_b and the number n_b of elements of
 * each channel. Batches are joined exactly (Chan, Golub, LeVeque 1979): with n elements so far,
 *   d = m_b - m,   m += d n_b / (n + n_b),   q += n_b v_b + d^2 n n_b / (n + n_b),   v = q / n
 * A batch therefore counts by its elements: one of few records weighs little, and a sequence weighs
 * by its length.
 */
import type { Observe, Records } from "../context.ts";
import { dtypes } from "../ir/dtype.ts";
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Builder } from "../ops/builder.ts";

/** What is pooled: the elements of `value`, or what `each` makes of every single one of them. */
export interface Source {
  readonly value: Value;
  /** The axis of channels; all others are pooled. */
  readonly axis: number;
  readonly each?: (g: Builder, x: Value) => Value;
}

/** Statistics per channel [channels]. The variance is biased (divided by the count). */
export interface Spread {
  readonly mean: Float64Array;
  readonly variance: Float64Array;
}

/**
 * The mean of each channel of every source. Sources are missing whose value lies in a branch, which
 * may not run, has no known rank, or is finite for no record.
 */
export async function meansOf<S extends Source>(
  model: Model,
  sources: readonly S[],
  observe: Observe,
  records?: Records,
): Promise<Map<S, Float64Array>> {
  const pools = await poolsOf(model, sources, false, observe, records);
  return new Map(Array.from(pools, ([source, { mean }]) => [source, mean]));
}

/** The mean and the variance of each channel of every source; see `meansOf`. */
export async function spreadsOf<S extends Source>(
  model: Model,
  sources: readonly S[],
  observe: Observe,
  records?: Records,
): Promise<Map<S, Spread>> {
  const pools = await poolsOf(model, sources, true, observe, records);
  return new Map(
    Array.from(pools, ([source, { mean, squares, count }]) => [
      source,
      { mean, variance: squares.map((q) => q / count) },
    ]),
  );
}

/** `squares` is the sum of squared differences from the mean. */
interface Pool {
  readonly mean: Float64Array;
  readonly squares: Float64Array;
  count: number;
}

async function poolsOf<S extends Source>(
  model: Model,
  sources: readonly S[],
  withVariance: boolean,
  observe: Observe,
  records: Records | undefined,
): Promise<Map<S, Pool>> {
  const pools = new Map<S, Pool>();
  const taps = sources
    .filter(({ value }) => value.graph === model.graph && value.shape !== null)
    .map((source) => ({
      source,
      value: source.value,
      optional: true,
      of: (g: Builder, x: Value) => reduced(g, x, source, withVariance),
    }));
  if (taps.length === 0) return pools;
  await observe(
    model,
    taps,
    ({ source }, batch, { share }) => {
      const numbers = batch.floats();
      const last = numbers.length - 1;
      const pool = pools.get(source) ?? emptyPool(withVariance ? last / 2 : last);
      pools.set(source, pool);
      join(pool, numbers, numbers[last] * share, withVariance);
    },
    records,
  );
  return pools;
}

const emptyPool = (channels: number): Pool => ({
  mean: new Float64Array(channels),
  squares: new Float64Array(channels),
  count: 0,
});

/** Joins a batch of `n` elements per channel to the pool. */
function join(pool: Pool, batch: ArrayLike<number>, n: number, withVariance: boolean): void {
  const { mean, squares, count } = pool;
  const total = count + n;
  for (let c = 0; c < mean.length; c++) {
    const d = batch[c] - mean[c];
    mean[c] += (d * n) / total;
    const own = withVariance ? batch[mean.length + c] : 0;
    squares[c] += n * own + (d * d * count * n) / total;
  }
  pool.count = total;
}

/** The means, the variances if they are wanted, and the number of elements per channel: a vector. */
function reduced(g: Builder, copy: Value, source: Source, withVariance: boolean): Value {
  const { value, axis, each } = source;
  const float32 = { to: dtypes.float32.code };
  const rank = value.shape?.length ?? 0;
  const others = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== axis);
  const x = g.Cast(each ? each(g, copy) : copy, float32);
  const mean = (of: Value): Value =>
    others.length > 0 ? g.ReduceMean(of, g.ints(others), { keepdims: 1 }) : of;
  const flat = (of: Value): Value => g.Reshape(of, g.ints([-1], "shape"));
  const m = mean(x);
  const parts = [flat(m)];
  if (withVariance) {
    const d = g.Sub(x, m);
    parts.push(flat(mean(g.Mul(d, d))));
  }
  const count = g.Cast(g.Div(g.Size(x), g.Size(m)), float32);
  return g.Concat(...parts, flat(count), { axis: 0 });
}
