/** @file What calibration tells of activations: ranges and channel means, reduced in the engine. */

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

/** Elements of one record that enter a histogram: a million in all, enough for any percentile. */
const SAMPLE = 2 ** 12;

/** The range to round each value in, from the whole calibration data. */
export async function observeRanges(
  model: Model,
  values: readonly Value[],
  calibrator: Calibrator,
  observe: Observe,
  bits = 8,
): Promise<Map<Value, Range>> {
  // Min-max needs every element, for it is all about the rarest; the others a sample.
  return calibrator.kind === "minmax"
    ? observeExtremes(model, values, observe)
    : observeHistograms(model, values, calibrator, observe, bits);
}

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

/** Every k-th element of a large value; k is odd, so that it wanders over rows of even length. */
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

/** A mean over this many records is close enough to correct a bias by. */
const MEAN_RECORDS = 64;

/** Each layer's input before and after rounding, mean per channel. */
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

/** [records, channels] */
function meanOf(g: Builder, value: Value, rank: number, channel: number): Value {
  const axes = Array.from({ length: rank }, (_, axis) => axis).filter(
    (axis) => axis !== 0 && axis !== channel,
  );
  return axes.length > 0 ? g.ReduceMean(value, g.ints(axes), { keepdims: 0 }) : g.Identity(value);
}

function round(g: Builder, value: Value, { scale, zeroPoint }: QuantParams): Value {
  const s = g.constant(scale);
  const z = g.constant(zeroPoint, { dtype: "uint8" });
  return g.DequantizeLinear(g.QuantizeLinear(value, s, z), s, z);
}
