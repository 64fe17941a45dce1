/** @file Biases: where a layer's bias is read, at an input of its own or in the sum behind it. */
import type { Node, Value } from "../ir/graph.ts";
import { entryOf, type OpTable } from "./table.ts";
import { hasTrait } from "./traits.ts";

/** The input that is for a bias; "sum": the layer has none, the node that reads it may add one. */
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

/** A bias, and the input that it is. */
export interface Bias {
  readonly value: Value;
  /** The layer, or the Add that alone reads what the layer gives. */
  readonly node: Node;
  readonly index: number;
}

/** The layer's own input for a bias, given or left out; null where its operator has none. */
export function biasInputOf(node: Node): number | null {
  const entry = entryOf(biasInputs, node);
  return entry === "sum" ? null : entry;
}

/** Null where the layer has no bias. Behind a product only a constant vector is one. */
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

/** A layer's bias: its own input, or the constant vector that the only reader of a MatMul adds. */
export function biasOf(node: Node): Value | null {
  return biasReadBy(node)?.value ?? null;
}
