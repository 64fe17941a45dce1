/**
 * @file Bias absorption: a shift that all values of a channel have moves past a Relu.
 *
 * With h = Relu(W1 x + b1) and c_i <= W1 x + b1 for nearly all x, Relu(y - c) = Relu(y) - c, so that
 *   W2 h + b2 = W2 Relu(W1 x + b1 - c) + (b2 + W2 c)
 * and h needs a smaller range (Nagel et al. 2019, arXiv 1906.04721, section 4.1.3, eq. 12 to 15).
 */
import type { Node, Value } from "../ir/graph.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { biasInputOf, biasReadBy } from "../ops/bias.ts";
import { boundsOf } from "../ops/bounds.ts";
import { build } from "../ops/builder.ts";
import { channelAt, type Span, type WeightSlot } from "./rescale.ts";

/** What a Relu with one layer before it reads, and where its shift can go. */
export interface Shiftable {
  readonly span: Span;
  /** W1 x + b1, and its axis of channels. */
  readonly value: Value;
  readonly axis: number;
}

/**
 * The span as a layer with a bias, a Relu and layers that read it with a place for a bias; null if
 * it is something else. Zero padding of what they read would have to be -c, so they have none.
 */
export function shiftableOf(span: Span): Shiftable | null {
  const { values, makers, readers } = span;
  const relus = [...values.keys()].filter(({ producer }) => producer && isRelu(producer));
  if (relus.length !== 1 || makers.length !== 1) return null;
  const before = relus[0].producer?.inputs[0] as Value;
  const bias = biasReadBy(makers[0].node);
  if (!bias?.value.tensor || (bias.node.output !== before && bias.node !== makers[0].node)) {
    return null;
  }
  const inner = new Set([relus[0], before, makers[0].node.output]);
  if ([...values.keys()].some((value) => !inner.has(value))) return null;
  if (before.uses.size !== 1 || !readers.every(({ node }) => hasRoom(node))) return null;
  return { span, value: before, axis: values.get(before) as number };
}

function isRelu(node: Node): boolean {
  const bounds = boundsOf(node);
  return bounds?.low === 0 && (bounds.high === null || bounds.high === Number.POSITIVE_INFINITY);
}

/** Whether the layer pads nothing and has a bias, or a place for one. */
function hasRoom(node: Node): boolean {
  const isPadded =
    (node.ints("pads") ?? []).some((pad) => pad !== 0) ||
    (node.text("auto_pad") ?? "NOTSET").startsWith("SAME");
  const bias = biasReadBy(node);
  return !isPadded && (bias ? bias.value.tensor?.dtype === "float32" : biasInputOf(node) !== null);
}

/** Takes c [channels] out of the bias before the Relu and adds W2 c to the biases behind it. */
export function absorbBias({ span: { makers, readers } }: Shiftable, c: Float64Array): void {
  addToBias(
    makers[0].node,
    c.map((each) => -each),
  );
  for (const slot of readers) addToBias(slot.node, productOf(slot, c));
}

/** W c: what the layer makes of inputs that are c everywhere [outputs]. */
function productOf(slot: WeightSlot, c: Float64Array): Float64Array {
  const weight = slot.node.inputs[slot.index]?.tensor as Tensor;
  const input = channelAt(slot, weight.shape);
  const output = channelAt({ ...slot, side: "makes" }, weight.shape);
  const sum = new Float64Array(weight.shape[slot.role.outputAxis]);
  for (const [i, w] of weight.floats().entries()) sum[output(i)] += w * c[input(i)];
  return sum;
}

function addToBias(node: Node, by: Float64Array): void {
  const old = biasReadBy(node);
  const values = old?.value.tensor?.floats() ?? new Float32Array(by.length);
  const sum = Float32Array.from(by, (b, i) => values[i % values.length] + b);
  const bias = tensor("float32", [sum.length], sum);
  const constant = build(node.graph, node.name).constant(bias, { name: "bias" });
  if (old) old.node.setInput(old.index, constant);
  else node.setInput(biasInputOf(node) as number, constant);
  if (old && old.value.uses.size === 0) old.value.graph.removeConstant(old.value);
}
