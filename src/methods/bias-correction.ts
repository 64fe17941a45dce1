/** @file Bias correction: what rounding the weights adds to a layer's mean output is taken out again. */
import type { Node } from "../ir/graph.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { build } from "../ops/builder.ts";
import { biasOf, type WeightRole } from "../ops/weights.ts";
import type { Weight } from "../weights/form.ts";

/** Running mean of a layer's input, per channel. */
export interface ChannelMeans {
  /** `axis` counts channels; negative from the end. */
  add(batch: Tensor, axis: number): void;
  /** Float64, one per channel. */
  means(): Float64Array;
}

export function channelMeans(): ChannelMeans {
  let sums = new Float64Array(0);
  let count = 0;
  return {
    add(batch, axis) {
      const at = axis < 0 ? axis + batch.shape.length : axis;
      const channels = batch.shape[at];
      const inner = batch.shape.slice(at + 1).reduce((a, b) => a * b, 1);
      if (sums.length === 0) sums = new Float64Array(channels);
      const values = batch.floats();
      for (let i = 0; i < values.length; i += inner) {
        let sum = 0;
        for (let j = i; j < i + inner; j++) sum += values[j];
        sums[(i / inner) % channels] += sum;
      }
      count += values.length / channels;
    },
    means: () => sums.map((sum) => sum / Math.max(1, count)),
  };
}

/**
 * b'_o = b_o - sum_i E[x_i] sum_k (W'_oik - W_oik) (Nagel et al. 2019, arXiv 1906.04721, section 4.2;
 * borders, where padding lowers E[x], are ignored). Adds a bias where there was none.
 */
export function correctBias(
  node: Node,
  role: WeightRole,
  { shape, values }: Weight,
  rounded: Float32Array,
  observed: ChannelMeans,
): void {
  const old = biasOf(node);
  if (node.op === "MatMul" && !old) return;
  if (old && (!old.tensor || old.tensor.size !== shape[role.outputAxis])) return;
  const mean = observed.means();
  const shift = new Float64Array(shape[role.outputAxis]);
  const { outputAxis, inputAxis, groups } = role;
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
  const perGroup = shape[outputAxis] / groups;
  for (let i = 0; i < values.length; i++) {
    const output = Math.floor(i / strides[outputAxis]) % shape[outputAxis];
    const input = Math.floor(i / strides[inputAxis]) % shape[inputAxis];
    const channel = Math.floor(output / perGroup) * shape[inputAxis] + input;
    shift[output] += mean[channel] * (rounded[i] - values[i]);
  }
  const bias = old?.tensor?.floats() ?? new Float32Array(shift.length);
  const corrected = tensor(
    "float32",
    [shift.length],
    Float32Array.from(bias, (b, o) => b - shift[o]),
  );
  const reader = node.op === "MatMul" ? node.output.consumers[0] : node;
  const index = old ? reader.inputs.indexOf(old) : 2;
  reader.setInput(index, build(node.graph, node.name).constant(corrected, { name: "bias" }));
  if (old && old.uses.size === 0) old.graph.removeConstant(old);
}
