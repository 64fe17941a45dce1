/** @file Bias correction: removes the shift of a layer's mean output that rounding causes. */
import type { Node } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";
import { biasInputOf, biasReadBy } from "../ops/bias.ts";
import { build } from "../ops/builder.ts";
import type { WeightRole } from "../ops/weights.ts";
import { product } from "../util/product.ts";
import type { FloatWeight } from "../weights/weight.ts";

/** Means of a layer's input x per channel [channels]. */
export interface ChannelMeans {
  /** E[x] */
  readonly exact: Float64Array;
  /** E[x' - x], with x' the input rounded to uint8. */
  readonly error: Float64Array;
}

/**
 * Corrects the bias of one layer, or adds one:
 *   b'_o = b_o - sum_i sum_k (W'_oik - W_oik) E[x_i] + W'_oik E[x'_i - x_i]
 * so that E[W' x' + b'] = E[W x + b]. W' = `rounded` and x' are the rounded weight and input, i
 * counts input channels and k kernel positions. The first term is the correction of Nagel et al.
 * 2019, arXiv 1906.04721, section 4.2; the second is for the rounded input. Zero padding, which
 * lowers the means at the borders, is ignored. Layers that take no bias, or whose bias is no vector
 * of constants, stay as they are.
 */
export function correctBias(
  node: Node,
  role: WeightRole,
  { shape, values }: FloatWeight,
  rounded: Float32Array,
  { exact, error }: ChannelMeans,
): void {
  const read = biasReadBy(node);
  const index = read?.index ?? biasInputOf(node);
  if (index === null) return;
  const old = read?.value;
  if (old && (!old.tensor || old.tensor.size !== shape[role.outputAxis])) return;
  const shift = new Float64Array(shape[role.outputAxis]);
  const { outputAxis, inputAxis, groups } = role;
  const strides = shape.map((_, i) => product(shape.slice(i + 1)));
  const perGroup = shape[outputAxis] / groups;
  for (let i = 0; i < values.length; i++) {
    const output = Math.floor(i / strides[outputAxis]) % shape[outputAxis];
    const input = Math.floor(i / strides[inputAxis]) % shape[inputAxis];
    const channel = Math.floor(output / perGroup) * shape[inputAxis] + input;
    shift[output] += (rounded[i] - values[i]) * exact[channel] + rounded[i] * error[channel];
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
