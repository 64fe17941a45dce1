/** @file Linear layers: how Conv, ConvTranspose, Gemm and MatMul write y = alpha W x + beta b. */
import type { Node, Value } from "../ir/graph.ts";
import { entryOf, type OpTable } from "./table.ts";

/** A layer whose weight W is input 0 or 1 and whose data x is the other one. */
export interface Linear {
  /** "conv": W is a kernel that slides over x. "product": a product of matrices. */
  readonly kind: "conv" | "convtranspose" | "product";
  /** Factors of W x and of the bias; 1 if the operator has none. */
  readonly alpha: number;
  readonly beta: number;
  /** Whether input 0 and input 1 are transposed before they are multiplied. */
  readonly turned: readonly [boolean, boolean];
  /** The axis of channels in y, and in x if it is not transposed; -1 is the last axis. */
  readonly channelAxis: 1 | -1;
}

const plain = { alpha: 1, beta: 1, turned: [false, false] } as const;
const product: Linear = { ...plain, kind: "product", channelAxis: -1 };

const layers: OpTable<(node: Node) => Linear> = {
  Conv: () => ({ ...plain, kind: "conv", channelAxis: 1 }),
  ConvTranspose: () => ({ ...plain, kind: "convtranspose", channelAxis: 1 }),
  Gemm: (node) => ({
    ...product,
    alpha: node.float("alpha", 1),
    beta: node.float("beta", 1),
    turned: [node.int("transA", 0) !== 0, node.int("transB", 0) !== 0],
  }),
  MatMul: () => product,
};

/**
 * How a node is linear. Null for all other operators, including those that sample their input
 * (DeformConv) or read integers.
 */
export function linearOf(node: Node): Linear | null {
  return entryOf(layers, node)?.(node) ?? null;
}

/** The data x that a layer's weight is multiplied by; `index` is the weight's input. */
export function factorBeside({ node, index }: { node: Node; index: number }): Value {
  return node.inputs[1 - index] as Value;
}

/** Why a product is not x W with x as it is; null if it is, and for convolutions. */
export function whyNotRight({ node, index }: { node: Node; index: number }): string | null {
  if (index !== 1) return "its weight is the left operand";
  return linearOf(node)?.turned[0] ? "its input is transposed" : null;
}
