/** @file One streaming pass over calibration data: activation ranges and channel means. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { type Calibrator, calibrate, type Range } from "../numeric/calibrate.ts";
import type { QuantParams } from "../numeric/quantize.ts";
import { createHistogram } from "../numeric/sketch.ts";
import { type ChannelMeans, channelMeans } from "./bias-correction.ts";
import { type Int8Layer, type Plan, rootOf } from "./int8-plan.ts";
import type { Observe } from "./method.ts";

/** What is known of one activation. */
export interface ActivationRange {
  add(values: Float32Array): void;
  range(calibrator: Calibrator): Range;
}

/** Elements of one batch that enter the histogram: millions in all, enough for any percentile. */
const SAMPLE = 2 ** 14;

/** Exact extremes of everything, and a histogram of every k-th element. */
export function activationRange(): ActivationRange {
  const histogram = createHistogram();
  let min = 0;
  let max = 0;
  return {
    add(values) {
      for (let i = 0; i < values.length; i++) {
        const x = values[i];
        if (x < min) min = x;
        else if (x > max) max = x;
      }
      histogram.add(sampled(values));
    },
    range(calibrator) {
      if (calibrator.kind === "minmax") return { min, max };
      const wanted = calibrate(histogram, calibrator);
      return { min: Math.max(min, wanted.min), max: Math.min(max, wanted.max) };
    },
  };
}

/** k is odd, so that it wanders over rows of even length. */
function sampled(values: Float32Array): Float32Array {
  if (values.length <= SAMPLE) return values;
  const stride = Math.ceil(values.length / SAMPLE) | 1;
  const sample = new Float32Array(Math.ceil(values.length / stride));
  for (let i = 0, n = 0; i < values.length; i += stride) sample[n++] = values[i];
  return sample;
}

/** The whole calibration data once. */
export async function observeRanges(
  model: Model,
  plan: Plan,
  observe: Observe,
): Promise<Map<Value, ActivationRange>> {
  const ranges = new Map([...plan.values.keys()].map((value) => [value, activationRange()]));
  await observe(model, [...ranges.keys()], (value, batch) =>
    ranges.get(value)?.add(batch.floats()),
  );
  return ranges;
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
  const readers = new Map<Value, Int8Layer[]>();
  for (const layer of plan.layers) {
    const input = layer.node.inputs[layer.inputIndex] as Value;
    const rounding = params.get(rootOf(input));
    if (!rounding) continue;
    means.set(layer.node, channelMeans(rounding));
    readers.set(input, [...(readers.get(input) ?? []), layer]);
  }
  const collect = (value: Value, batch: Tensor): void => {
    for (const { node } of readers.get(value) ?? []) {
      means.get(node)?.add(batch, node.op === "Conv" ? 1 : -1);
    }
  };
  await observe(model, [...readers.keys()], collect, MEAN_RECORDS);
  return means;
}
