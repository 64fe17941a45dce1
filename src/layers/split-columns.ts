/**
 * @file Outlier channel splitting: which input channels of layers are split, and into what weights.
 *
 * A channel with the weights w becomes two with half of each, so that the largest weight of a layer
 * gets smaller. In quantization-aware splitting the halves differ by half a step s,
 *   w = (w - s / 2) / 2 + (w + s / 2) / 2,
 * so that the rounded halves add up to the rounded whole (Zhao et al. 2019, arXiv 1901.09504,
 * section 3.3).
 */
import { type Tensor, tensor } from "../ir/tensor.ts";
import { product } from "../util/product.ts";
import { channelAt, type WeightSlot } from "./rescale.ts";

/** A channel after splitting: its weights are share * w + shift * s, w being those of `source`. */
export interface Column {
  readonly source: number;
  readonly share: number;
  readonly shift: number;
}

/**
 * The channels after `count` splits of the largest: the first ones are the old channels in their
 * order, what is appended are second halves. `sizes` [channels] is max |w| of each.
 */
export function splitLargest(sizes: ArrayLike<number>, count: number): Column[] {
  const columns = Array.from(sizes, (_, source): Column => ({ source, share: 1, shift: 0 }));
  for (let i = 0; i < count; i++) {
    let [at, most] = [0, -1];
    for (const [c, { source, share }] of columns.entries()) {
      if (share * sizes[source] > most) [at, most] = [c, share * sizes[source]];
    }
    const { source, share, shift } = columns[at];
    const half = { source, share: share / 2 };
    columns[at] = { ...half, shift: shift / 2 - 1 / 4 };
    columns.push({ ...half, shift: shift / 2 + 1 / 4 });
  }
  return columns;
}

/**
 * The weight of a layer that reads the columns. The step s of `bits`-bit levels is that of the
 * whole weight after splitting, or of each of its outputs.
 */
export function splitWeight(
  slot: WeightSlot,
  columns: readonly Column[],
  bits: number,
  scale: "channel" | "layer",
): Tensor {
  const old = slot.node.inputs[slot.index]?.tensor as Tensor;
  const { inputAxis, outputAxis } = slot.role;
  const shape = old.shape.with(inputAxis, columns.length);
  const inner = product(shape.slice(inputAxis + 1));
  const values = old.floats();
  const channel = (i: number): number => Math.floor(i / inner) % columns.length;
  const from = (i: number): number => {
    const outer = Math.floor(i / inner / columns.length);
    return (outer * old.shape[inputAxis] + columns[channel(i)].source) * inner + (i % inner);
  };
  const output = channelAt({ ...slot, side: "makes" }, shape);
  const largest = new Float64Array(scale === "channel" ? shape[outputAxis] : 1);
  const row = (i: number): number => (scale === "channel" ? output(i) : 0);
  const size = product(shape);
  for (let i = 0; i < size; i++) {
    const w = columns[channel(i)].share * Math.abs(values[from(i)]);
    largest[row(i)] = Math.max(largest[row(i)], w);
  }
  const top = 2 ** (bits - 1) - 1;
  const split = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    const { share, shift } = columns[channel(i)];
    split[i] = share * values[from(i)] + (shift * largest[row(i)]) / top;
  }
  return tensor("float32", shape, split);
}
