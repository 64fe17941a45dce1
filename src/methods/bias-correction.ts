/** @file Bias correction: what rounding the weights adds to a layer's mean output is taken out again. */
import type { Node } from "../ir/graph.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { type QuantParams, roundHalfEven } from "../numeric/quantize.ts";
import { build } from "../ops/builder.ts";
import { biasOf, type WeightRole } from "../ops/weights.ts";
import type { Weight } from "../weights/form.ts";

/** Running means of a layer's input per channel, before and after rounding to uint8. */
export interface ChannelMeans {
  /** `axis` counts channels; negative from the end. */
  add(batch: Tensor, axis: number): void;
  /** E[x_i] and E[x'_i]. */
  result(): { readonly exact: Float64Array; readonly rounded: Float64Array };
}

export function channelMeans({ scale, zeroPoint }: QuantParams): ChannelMeans {
  let exact = new Float64Array(0);
  let rounded = new Float64Array(0);
  let count = 0;
  const low = -zeroPoint;
  const high = 255 - zeroPoint;
  return {
    add(batch, axis) {
      const at = axis < 0 ? axis + batch.shape.length : axis;
      const channels = batch.shape[at];
      const inner = batch.shape.slice(at + 1).reduce((a, b) => a * b, 1);
      if (exact.length === 0) {
        exact = new Float64Array(channels);
        rounded = new Float64Array(channels);
      }
      const values = batch.floats();
      const perStep = 1 / scale;
      for (let i = 0; i < values.length; i += inner) {
        let sum = 0;
        let levels = 0;
        for (let j = i; j < i + inner; j++) {
          sum += values[j];
          const level = roundHalfEven(values[j] * perStep);
          levels += level < low ? low : level > high ? high : level;
        }
        const channel = (i / inner) % channels;
        exact[channel] += sum;
        rounded[channel] += levels * scale;
      }
      count += values.length / channels;
    },
    result: () => ({
      exact: exact.map((sum) => sum / Math.max(1, count)),
      rounded: rounded.map((sum) => sum / Math.max(1, count)),
    }),
  };
}

/**
 * b'_o = b_o - sum_i sum_k (W'_oik E[x'_i] - W_oik E[x_i]), x' and W' rounded (after Nagel et al.
 * 2019, arXiv 1906.04721, section 4.2, which corrects for W' alone; borders, where padding lowers
 * the means, are ignored). Adds a bias where there was none.
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
  const mean = observed.result();
  const shift = new Float64Array(shape[role.outputAxis]);
  const { outputAxis, inputAxis, groups } = role;
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
  const perGroup = shape[outputAxis] / groups;
  for (let i = 0; i < values.length; i++) {
    const output = Math.floor(i / strides[outputAxis]) % shape[outputAxis];
    const input = Math.floor(i / strides[inputAxis]) % shape[inputAxis];
    const channel = Math.floor(output / perGroup) * shape[inputAxis] + input;
    shift[output] += rounded[i] * mean.rounded[channel] - values[i] * mean.exact[channel];
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
