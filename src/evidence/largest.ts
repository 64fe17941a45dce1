/** @file The largest magnitude of each channel of activations, reduced inside the engine. */
import type { Observe, Records } from "../context.ts";
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Builder } from "../ops/builder.ts";

/** The largest of several values, channel by channel [channels]; 0 for those that are missing. */
export function largestAmong(
  sizes: ReadonlyMap<Value, Float64Array>,
  values: readonly Value[],
  channels: number,
): Float64Array {
  const found = new Float64Array(channels);
  for (const value of values) {
    for (const [c, size] of sizes.get(value)?.entries() ?? []) found[c] = Math.max(found[c], size);
  }
  return found;
}

/**
 * max |x_c| over the records for each value, whose channels run along an axis: [channels]. Values
 * that are finite for no record are missing.
 */
export async function largestOf(
  model: Model,
  values: ReadonlyMap<Value, number>,
  observe: Observe,
  records?: Records,
): Promise<Map<Value, Float64Array>> {
  const found = new Map<Value, Float64Array>();
  const taps = [...values].map(([value, axis]) => ({
    value,
    optional: true,
    of: (g: Builder, x: Value): Value => {
      const others = (value.shape ?? []).map((_, i) => i).filter((i) => i !== axis);
      const sizes = g.Abs(x);
      return others.length > 0 ? g.ReduceMax(sizes, g.ints(others), { keepdims: 0 }) : sizes;
    },
  }));
  if (taps.length === 0) return found;
  await observe(
    model,
    taps,
    ({ value }, batch) => {
      const sizes = batch.floats();
      const largest = found.get(value) ?? new Float64Array(sizes.length);
      found.set(value, largest);
      for (const [c, size] of sizes.entries()) largest[c] = Math.max(largest[c], size);
    },
    records,
  );
  return found;
}
