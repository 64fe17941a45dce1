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
  add(batch: Tensor): void;
  /** {0, 0} when nothing but zeros was seen. */
  range(): Range;
}

/** Elements of one record that enter the histogram: a million in all, enough for any percentile. */
const SAMPLE = 2 ** 12;

/** Min-max needs every element, for it is all about the rarest; the others a sample. */
export function activationRange(calibrator: Calibrator): ActivationRange {
  if (calibrator.kind === "minmax") return extremes();
  const histogram = createHistogram();
  return {
    add: (batch) => histogram.add(sampled(batch)),
    range: () => calibrate(histogram, calibrator),
  };
}

function extremes(): ActivationRange {
  let min = 0;
  let max = 0;
  return {
    add(batch) {
      const values = batch.floats();
      // Locals: the engine keeps them in registers, not so the variables of a closure.
      let low = min;
      let high = max;
      for (let i = 0; i < values.length; i++) {
        low = Math.min(low, values[i]);
        high = Math.max(high, values[i]);
      }
      min = low;
      max = high;
    },
    range: () => ({ min, max }),
  };
}

/** k is odd, so that it wanders over rows of even length. */
function sampled(batch: Tensor): Float32Array {
  const values = batch.floats();
  const wanted = SAMPLE * (batch.shape[0] ?? 1);
  if (values.length <= wanted) return values;
  const stride = Math.ceil(values.length / wanted) | 1;
  const sample = new Float32Array(Math.ceil(values.length / stride));
  for (let i = 0, n = 0; i < values.length; i += stride) sample[n++] = values[i];
  return sample;
}

/** The whole calibration data once. */
export async function observeRanges(
  model: Model,
  plan: Plan,
  calibrator: Calibrator,
  observe: Observe,
): Promise<Map<Value, ActivationRange>> {
  const ranges = new Map(
    [...plan.values.keys()].map((value) => [value, activationRange(calibrator)]),
  );
  await observe(model, [...ranges.keys()], (value, batch) => ranges.get(value)?.add(batch));
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
