/** @file Bias correction: removes the shift of a layer's mean output that rounding causes. */
import type { Node } from "../ir/graph.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { biasInputOf, biasReadBy } from "../ops/bias.ts";
import { build } from "../ops/builder.ts";
import type { WeightRole } from "../ops/weights.ts";
import { product } from "../util/product.ts";
import type { FloatWeight } from "../weights/weight.ts";

/**
 * The mean of a layer's input per channel [channels]: of the float values (exact) and of the
 * values rounded to uint8.
 */
export interface ChannelMeans {
  readonly exact: RunningMean;
  readonly rounded: RunningMean;
}

export interface RunningMean {
  /** Adds a batch of per-record means [records, channels]. */
  add(batch: Tensor): void;
  /** The mean over all records so far [channels]; zeros if there were none. */
  mean(): Float64Array;
}

export function runningMean(): RunningMean {
  let sums = new Float64Array(0);
  let count = 0;
  return {
    add(batch) {
      const [records, channels] = batch.shape;
      if (sums.length === 0) sums = new Float64Array(channels);
      const values = batch.floats();
      for (let i = 0; i < values.length; i++) sums[i % channels] += values[i];
      count += records;
    },
    mean: () => sums.map((sum) => sum / Math.max(1, count)),
  };
}

/**
 * Corrects the bias of one layer, or adds one:
 *   b'_o = b_o - sum_i sum_k (W'_oik E[x'_i] - W_oik E[x_i])
 * W' = `rounded` and x' are the rounded weight and input, i counts input channels and k kernel
 * positions (after Nagel et al. 2019, arXiv 1906.04721, section 4.2, which corrects for W' alone).
 * Zero padding, which lowers the means at the borders, is ignored. Layers that take no bias, or
 * whose bias is no vector of constants, stay as they are.
 */
export function correctBias(
  node: Node,
  role: WeightRole,
  { shape, values }: FloatWeight,
  rounded: Float32Array,
  observed: ChannelMeans,
): void {
  const read = biasReadBy(node);
  const index = read?.index ?? biasInputOf(node);
  if (index === null) return;
  const old = read?.value;
  if (old && (!old.tensor || old.tensor.size !== shape[role.outputAxis])) return;
  const exact = observed.exact.mean();
  const after = observed.rounded.mean();
  const shift = new Float64Array(shape[role.outputAxis]);
  const { outputAxis, inputAxis, groups } = role;
  const strides = shape.map((_, i) => product(shape.slice(i + 1)));
  const perGroup = shape[outputAxis] / groups;
  for (let i = 0; i < values.length; i++) {
    const output = Math.floor(i / strides[outputAxis]) % shape[outputAxis];
    const input = Math.floor(i / strides[inputAxis]) % shape[inputAxis];
    const channel = Math.floor(output / perGroup) * shape[inputAxis] + input;
    shift[output] += rounded[i] * after[channel] - values[i] * exact[channel];
  }
  const bias = old?.tensor?.floats() ?? new Float32Array(shift.length);
  const corrected = tensor(
    "float32",
    [shift.length],
    Float32Array.from(bias, (b, o) => b - shift[o]),
  );
  const reader = read?.node ?? node;
  reader.setInput(index, build(node.graph, node.name).constant(corrected, { name: "bias" }));
  if (old && old.uses.size === 0) old.graph.removeConstant(old);
}
