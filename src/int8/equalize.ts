/** @file Cross-layer equalization: scales move between layers, so that channels fill uint8. */

import type { Observe } from "../context.ts";
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { biasOf, biasReadBy } from "../ops/bias.ts";
import { type Builder, build } from "../ops/builder.ts";
import { hasTrait } from "../ops/traits.ts";
import { product } from "../util/product.ts";
import type { Int8Layer, Plan } from "./plan.ts";

/**
 * A value that a convolution gives, perhaps through a Relu, and the convolutions that
 * are its only readers.
 */
interface Pair {
  readonly value: Value;
  readonly from: Int8Layer;
  readonly to: readonly Int8Layer[];
}

/** Calibration records from which the channels' ranges are taken. */
const RECORDS = 64;

/**
 * Changes the weights of neighbouring convolutions in place, without changing the function: for s >
 * 0, Relu(s x) = s Relu(x), so channel c can be divided by s_c in one layer and multiplied by s_c
 * in the next (Nagel et al. 2019, arXiv 1906.04721, section 4.1).
 *
 * All channels of an activation share one scale when they are rounded. With the range r_c of
 * channel c, s_c = (r_c / max r)^a makes narrow channels use more of the levels. a = 1 if all next
 * layers are depthwise, which have a scale per channel; a = 3/4 otherwise, because the filters of
 * the next layer then get inputs of uneven size.
 */
export async function equalize(model: Model, plan: Plan, observe: Observe): Promise<void> {
  const pairs = findPairs(plan);
  if (pairs.length === 0) return;
  const ranges = new Map(
    pairs.map(({ value, from }) => [value, new Float64Array(channelsOf(from))]),
  );
  await observe(
    model,
    pairs.map(({ value }) => ({ value, of: largestPerChannel, optional: true })),
    ({ value }, batch) => {
      const range = ranges.get(value) as Float64Array;
      for (const [i, x] of batch.floats().entries()) {
        range[i % range.length] = Math.max(range[i % range.length], x);
      }
    },
    RECORDS,
  );
  for (const { value, from, to } of pairs) {
    const exponent = to.every(isDepthwise) ? 1 : 0.75;
    const scales = scalesOf(ranges.get(value) as Float64Array, exponent);
    scaleWeight(from, 0, (channel) => 1 / scales[channel]);
    for (const layer of to) {
      scaleWeight(layer, isDepthwise(layer) ? 0 : 1, (channel) => scales[channel], false);
    }
  }
}

/** max |x| over all positions, [records, channels]. */
function largestPerChannel(g: Builder, value: Value): Value {
  const axes = (value.shape ?? []).map((_, axis) => axis).slice(2);
  const size = g.Abs(value);
  return axes.length > 0 ? g.ReduceMax(size, g.ints(axes), { keepdims: 0 }) : size;
}

/** All values between two convolutions of the plan whose scales can be moved. */
function findPairs(plan: Plan): Pair[] {
  const layers = new Map<Node, Int8Layer>(plan.layers.map((layer) => [layer.node, layer]));
  const pairs: Pair[] = [];
  for (const [value, { absorbed }] of plan.values) {
    if (absorbed && !hasTrait(absorbed, "homogeneous")) continue;
    const producer = absorbed ? absorbed.inputs[0]?.producer : value.producer;
    const from = producer && layers.get(producer);
    if (!from || !isPlain(from) || value.isOutput) continue;
    const to = value.consumers.map((node) => layers.get(node));
    const fits = to.every(
      (layer) =>
        layer !== undefined &&
        layer.node.inputs[layer.inputIndex] === value &&
        isPlain(layer) &&
        (layer.role.groups === 1 || isDepthwise(layer)),
    );
    if (fits && to.length > 0 && value.uses.size === to.length) {
      pairs.push({ value, from, to: to as Int8Layer[] });
    }
  }
  return pairs;
}

const weightOf = ({ node, weightIndex }: Int8Layer): Value => node.inputs[weightIndex] as Value;
const channelsOf = (layer: Int8Layer): number => weightOf(layer).shape?.[0] as number;

/**
 * Whether the layer is a convolution with a float32 weight of its own, neither shared nor stored in
 * a compressed form.
 */
function isPlain(layer: Int8Layer): boolean {
  const weight = weightOf(layer);
  const bias = biasOf(layer.node);
  return (
    layer.role.kind === "conv" &&
    weight.tensor?.dtype === "float32" &&
    weight.uses.size === 1 &&
    (!bias || bias.tensor?.dtype === "float32")
  );
}

function isDepthwise(layer: Int8Layer): boolean {
  const [outputs, perGroup] = weightOf(layer).shape ?? [];
  return layer.role.groups > 1 && perGroup === 1 && outputs === layer.role.groups;
}

/**
 * s_c for each channel, at least 1/256 before the exponent: a channel that is hardly ever
 * active has a range that few records determine. Roots give the exponent 3/4, so that all
 * platforms round alike.
 */
function scalesOf(range: Float64Array, exponent: 1 | 0.75): Float64Array {
  const largest = range.reduce((a, b) => Math.max(a, b), 0);
  return range.map((r) => {
    if (!(r > 0) || largest === 0) return 1;
    const share = Math.max(r / largest, 1 / 256);
    return exponent === 1 ? share : Math.sqrt(share * Math.sqrt(share));
  });
}

/**
 * Multiplies the weight, and unless `withBias` is false the bias, by a factor per
 * channel of `axis`.
 */
function scaleWeight(
  layer: Int8Layer,
  axis: number,
  factor: (channel: number) => number,
  withBias = true,
): void {
  const { node, weightIndex } = layer;
  const old = weightOf(layer);
  const { tensor } = old;
  if (!tensor) return;
  const inner = product(tensor.shape.slice(axis + 1));
  const values = tensor
    .floats()
    .map((w, i) => w * factor(Math.floor(i / inner) % tensor.shape[axis]));
  const g = build(node.graph, node.name);
  node.setInput(weightIndex, g.constant(values, { shape: tensor.shape, name: "weight" }));
  old.graph.removeConstant(old);
  const read = biasReadBy(node);
  if (!withBias || !read?.value.tensor) return;
  const { value: bias, index } = read;
  const scaled = read.value.tensor.floats().map((b, c) => b * factor(c));
  node.setInput(index, g.constant(scaled, { name: "bias" }));
  if (bias.uses.size === 0) bias.graph.removeConstant(bias);
}
