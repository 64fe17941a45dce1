/** @file Ranges of activations, reduced inside the engine. */
import type { Observe, Tap } from "../context.ts";
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { type Calibrator, calibrate, type Range } from "../numeric/calibrate.ts";
import { createHistogram } from "../numeric/sketch.ts";
import type { Builder } from "../ops/builder.ts";

/** Largest number of elements of one record that enter a histogram: a million for 256 records. */
const SAMPLE = 2 ** 12;

/**
 * The range [min, max] to round each value in, chosen by `calibrator` for levels of `bits` bits.
 * Values that are not finite on any record are missing.
 */
export async function observeRanges(
  model: Model,
  values: readonly Value[],
  calibrator: Calibrator,
  observe: Observe,
  bits = 8,
): Promise<Map<Value, Range>> {
  // Min-max depends on the rarest elements and needs all of them; the others need only a sample.
  return calibrator.kind === "minmax"
    ? observeExtremes(model, values, observe)
    : observeHistograms(model, values, calibrator, observe, bits);
}

/** The least and the greatest element of each value, 0 included. */
async function observeExtremes(
  model: Model,
  values: readonly Value[],
  observe: Observe,
): Promise<Map<Value, Range>> {
  const ranges = new Map<Value, Range>();
  const of = (g: Builder, v: Value): Value => {
    const ends = [g.ReduceMin(v, { keepdims: 0 }), g.ReduceMax(v, { keepdims: 0 })];
    return g.Concat(...ends.map((end) => g.Reshape(end, g.ints([1], "shape"))), { axis: 0 });
  };
  const taps = values.map((value) => ({ value, of, optional: true }));
  await observe(model, taps, ({ value }, batch) => {
    const [least, greatest] = batch.floats();
    const { min, max } = ranges.get(value) ?? { min: 0, max: 0 };
    ranges.set(value, { min: Math.min(min, least), max: Math.max(max, greatest) });
  });
  return ranges;
}

/** Ranges from histograms of sampled elements. */
async function observeHistograms(
  model: Model,
  values: readonly Value[],
  calibrator: Calibrator,
  observe: Observe,
  bits: number,
): Promise<Map<Value, Range>> {
  const histograms = new Map(values.map((value) => [value, createHistogram()]));
  await observe(model, values.map(sampled), ({ value }, batch, { share }) =>
    histograms.get(value)?.add(batch.floats(), share),
  );
  return new Map(
    [...histograms].flatMap(([value, seen]) =>
      seen.count > 0 ? [[value, calibrate(seen, calibrator, bits)] as const] : [],
    ),
  );
}

/**
 * A tap for every k-th element of each record of a large value, whatever batch it comes in. k is odd:
 * with an even one, rows of even length would be sampled in the same columns.
 */
function sampled(value: Value): Tap {
  const size = (value.shape ?? [])
    .slice(1)
    .reduce<number>((product, dim) => product * (typeof dim === "number" ? dim : 1), 1);
  const stride = Math.ceil(size / SAMPLE) | 1;
  if (stride === 1) return { value, optional: true };
  const of = (g: Builder, v: Value): Value =>
    g.Slice(
      g.Reshape(v, g.ints([0, -1], "shape")),
      g.ints([0]),
      g.ints([2 ** 63]),
      g.ints([1]),
      g.ints([stride]),
    );
  return { value, of, optional: true };
}
