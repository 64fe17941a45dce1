/** @file Biases: where a layer's bias is read, at an input of its own or in an Add behind it. */
import type { Node, Value } from "../ir/graph.ts";
import { entryOf, type OpTable } from "./table.ts";
import { hasTrait } from "./traits.ts";

/** The input for a bias; "sum": the operator has none, but an Add behind the node may add one. */
const biasInputs: OpTable<number | "sum"> = {
  Conv: 2,
  ConvTranspose: 2,
  DeformConv: 4,
  GRU: 3,
  Gemm: 2,
  LSTM: 3,
  MatMul: "sum",
  QLinearConv: 8,
  RNN: 3,
};

/** A bias and the place where it is read. */
export interface Bias {
  readonly value: Value;
  /** The layer, or the Add that is the only reader of the layer's output. */
  readonly node: Node;
  /** Which input of `node` is the bias. */
  readonly index: number;
}

/**
 * The index of the layer's own bias input, whether it is given or left out; null if the
 * operator has none.
 */
export function biasInputOf(node: Node): number | null {
  const entry = entryOf(biasInputs, node);
  return entry === "sum" ? null : entry;
}

/**
 * The bias of a layer; null if it has none. In an Add behind a product only a constant
 * vector counts as a bias.
 */
export function biasReadBy(node: Node): Bias | null {
  const entry = entryOf(biasInputs, node);
  if (entry === null) return null;
  if (entry !== "sum") {
    const value = node.inputs[entry] ?? null;
    return value && { value, node, index: entry };
  }
  const [sum, ...others] = node.output.consumers;
  if (!hasTrait(sum, "adds") || others.length > 0 || node.output.isOutput) return null;
  const index = sum.inputs.findIndex((input) => input !== node.output);
  const value = sum.inputs[index] ?? null;
  return value?.tensor?.shape.length === 1 ? { value, node: sum, index } : null;
}

/**
 * The value of a layer's bias: its own input, or the constant vector added by the only
 * reader of a MatMul.
 */
export function biasOf(node: Node): Value | null {
  return biasReadBy(node)?.value ?? null;
}
