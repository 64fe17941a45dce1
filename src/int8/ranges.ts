/** @file Ranges and channel means of activations, reduced inside the engine. */

import type { Observe, Tap } from "../context.ts";
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { type Calibrator, calibrate, type Range } from "../numeric/calibrate.ts";
import type { QuantParams } from "../numeric/quantize.ts";
import { createHistogram } from "../numeric/sketch.ts";
import type { Builder } from "../ops/builder.ts";
import { linearOf } from "../ops/linear.ts";
import { type ChannelMeans, runningMean } from "./bias-correction.ts";
import { type Plan, rootOf } from "./plan.ts";

/** Largest number of elements of one record that enter a histogram: a million for 256 records. */
const SAMPLE = 2 ** 12;

/**
 * The range [min, max] to round each value in, chosen by `calibrator` for levels of `bits` bits.
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
  const ranges = new Map(values.map((value) => [value, { min: 0, max: 0 }]));
  const taps = values.flatMap((value) => [
    { value, end: "min", of: (g: Builder, v: Value) => g.ReduceMin(v, { keepdims: 0 }) } as const,
    { value, end: "max", of: (g: Builder, v: Value) => g.ReduceMax(v, { keepdims: 0 }) } as const,
  ]);
  await observe(model, taps, ({ value, end }, batch) => {
    const range = ranges.get(value) as { min: number; max: number };
    range[end] = Math[end](range[end], batch.floats()[0]);
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
  await observe(model, values.map(sampled), ({ value }, batch) =>
    histograms.get(value)?.add(batch.floats()),
  );
  return new Map(
    [...histograms].map(([value, seen]) => [value, calibrate(seen, calibrator, bits)]),
  );
}

/**
 * A tap for every k-th element of a large value. k is odd: with an even one, rows of even length
 * would be sampled in the same columns.
 */
function sampled(value: Value): Tap {
  const size = (value.shape ?? [])
    .slice(1)
    .reduce<number>((product, dim) => product * (typeof dim === "number" ? dim : 1), 1);
  const stride = Math.ceil(size / SAMPLE) | 1;
  if (stride === 1) return { value };
  const of = (g: Builder, v: Value): Value =>
    g.Slice(
      g.Reshape(v, g.ints([-1])),
      g.ints([0]),
      g.ints([2 ** 63]),
      g.ints([0]),
      g.ints([stride]),
    );
  return { value, of };
}

/** Calibration records for the means that biases are corrected by. */
const MEAN_RECORDS = 64;

/** For each layer of the plan, the means of its input before and after rounding to uint8. */
export async function observeMeans(
  model: Model,
  plan: Plan,
  params: ReadonlyMap<Value, QuantParams>,
  observe: Observe,
): Promise<Map<Node, ChannelMeans>> {
  const means = new Map<Node, ChannelMeans>();
  const taps: (Tap & { readonly node: Node; readonly which: keyof ChannelMeans })[] = [];
  for (const { node, inputIndex } of plan.layers) {
    const value = node.inputs[inputIndex] as Value;
    const rounding = params.get(rootOf(value));
    if (!rounding || !value.shape) continue;
    const rank = value.shape.length;
    const channel = ((linearOf(node)?.channelAxis ?? -1) + rank) % rank;
    means.set(node, { exact: runningMean(), rounded: runningMean() });
    taps.push(
      { value, node, which: "exact", of: (g, v) => meanOf(g, v, rank, channel) },
      {
        value,
        node,
        which: "rounded",
        of: (g, v) => meanOf(g, round(g, v, rounding), rank, channel),
      },
    );
  }
  const collect = ({ node, which }: (typeof taps)[number], batch: Tensor): void =>
    means.get(node)?.[which].add(batch);
  await observe(model, taps, collect, MEAN_RECORDS);
  return means;
}

/** The mean over all axes but records and channels: [records, channels]. */
function meanOf(g: Builder, value: Value, rank: number, channel: number): Value {
  const axes = Array.from({ length: rank }, (_, axis) => axis).filter(
    (axis) => axis !== 0 && axis !== channel,
  );
  return axes.length > 0 ? g.ReduceMean(value, g.ints(axes), { keepdims: 0 }) : g.Identity(value);
}

/** Rounds to uint8 and back, as the quantized model will. */
function round(g: Builder, value: Value, { scale, zeroPoint }: QuantParams): Value {
  const s = g.constant(scale);
  const z = g.constant(zeroPoint, { dtype: "uint8" });
  return g.DequantizeLinear(g.QuantizeLinear(value, s, z), s, z);
}
