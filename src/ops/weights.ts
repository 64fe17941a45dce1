/** @file Weights: which inputs of which operators are weights, and what their axes mean. */
import type { Graph, Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { constantExpressions, constantValue, isConstantExpression } from "./constant.ts";
import { entryOf, type OpTable } from "./table.ts";

export { biasOf } from "./bias.ts";
export { constantExpressions, constantValue, isConstantExpression } from "./constant.ts";

/** How a layer uses a weight. */
export interface WeightRole {
  readonly kind: "conv" | "convtranspose" | "linear" | "embedding" | "recurrent";
  /** The axis that counts outputs: filters, neurons, features of a token. */
  readonly outputAxis: number;
  /**
   * The axis that is summed over (within a group), or looked up in (the vocabulary of an
   * embedding).
   */
  readonly inputAxis: number;
  readonly groups: number;
}

/** A constant weight and the node that reads it. */
export interface WeightUse {
  readonly value: Value;
  readonly node: Node;
  /** Which input of the node is the weight. */
  readonly index: number;
  readonly role: WeightRole;
}

type RoleRule = (node: Node, index: number) => WeightRole | null;

/** A rule from a table: [outputAxis, inputAxis] of each input that holds a weight. */
const at =
  (kind: WeightRole["kind"], axes: Readonly<Record<number, readonly [number, number]>>): RoleRule =>
  (node, index) => {
    if (!axes[index]) return null;
    const [outputAxis, inputAxis] = axes[index];
    return { kind, outputAxis, inputAxis, groups: node.int("group", 1) };
  };

/**
 * A product [..., rows, inner] by [..., inner, columns], of which either operand may be the weight.
 */
const product =
  (left: number, right: number): RoleRule =>
  (node, index) => {
    if (index !== left && index !== right) return null;
    const rank = rankOf(node.inputs[index]);
    if (rank === null || rank < 2) return null;
    const [first, last] = [rank - 2, rank - 1];
    const [outputAxis, inputAxis] = index === right ? [last, first] : [first, last];
    return { kind: "linear", outputAxis, inputAxis, groups: 1 };
  };

const gemm: RoleRule = (node, index) => {
  if (index > 1) return null;
  const isTransposed = node.int(index === 1 ? "transB" : "transA", 0) === 1;
  const outputAxis = (index === 1) === isTransposed ? 0 : 1;
  return { kind: "linear", outputAxis, inputAxis: 1 - outputAxis, groups: 1 };
};

/** A Gather from a table of floats [vocabulary, features], or its transpose. */
const embedding: RoleRule = (node, index) => {
  const table = node.inputs[0];
  if (index !== 0 || rankOf(table) !== 2 || !isFloat(table)) return null;
  const inputAxis = node.int("axis", 0) === 0 ? 0 : 1;
  return { kind: "embedding", outputAxis: 1 - inputAxis, inputAxis, groups: 1 };
};

const recurrent = at("recurrent", { 1: [1, 2], 2: [1, 2] });

const roles: OpTable<RoleRule> = {
  Conv: at("conv", { 1: [0, 1] }),
  ConvInteger: at("conv", { 1: [0, 1] }),
  DeformConv: at("conv", { 1: [0, 1] }),
  QLinearConv: at("conv", { 3: [0, 1] }),
  ConvTranspose: at("convtranspose", { 1: [1, 0] }),
  Gemm: gemm,
  MatMul: product(0, 1),
  MatMulInteger: product(0, 1),
  QLinearMatMul: product(0, 3),
  Gather: embedding,
  GRU: recurrent,
  LSTM: recurrent,
  RNN: recurrent,
  "com.microsoft:GatherBlockQuantized": at("embedding", { 0: [1, 0] }),
  "com.microsoft:MatMulNBits": at("linear", { 1: [0, 1] }),
};

/**
 * How input `index` is used if a weight is fed there, constant or not; null if no weight belongs
 * there. Operands of products need a known rank, so infer first.
 */
export function weightRole(node: Node, index: number): WeightRole | null {
  const rule = node.inputs[index] ? entryOf(roles, node) : null;
  return rule ? rule(node, index) : null;
}

/**
 * Every constant weight and the node that reads it, in execution order, bodies included. The value
 * is what the node reads: a constant, or the last value of nodes that decode one (Cast, Mul,
 * Gather(codebook) ...). Nodes inside such expressions are no layers.
 */
export function weightsOf(model: Model): WeightUse[] {
  return [...model.graph.walk()].flatMap(weightsIn);
}

function weightsIn(graph: Graph): WeightUse[] {
  const constants = constantExpressions(graph);
  // A body may read what the main graph computes from constants.
  const isConstant = (value: Value): boolean =>
    value.tensor !== null ||
    (value.graph === graph ? constants.has(value) : isConstantExpression(value));
  const found: WeightUse[] = [];
  for (const node of graph.sorted()) {
    if (constants.has(node.output)) continue;
    for (const [index, value] of node.inputs.entries()) {
      const role = value && isConstant(value) ? weightRole(node, index) : null;
      if (value && role) found.push({ value, node, index, role });
    }
  }
  return found;
}

/** The rank of a value; inside expressions that decode weights it may not be inferred yet. */
function rankOf(value: Value | null): number | null {
  return (value?.shape ?? typed(value)?.shape)?.length ?? null;
}

function isFloat(value: Value | null): boolean {
  return /^b?float(16|32|64)$/.test(value?.dtype ?? typed(value)?.dtype ?? "");
}

function typed(value: Value | null): Tensor | null {
  return value && constantValue(value);
}
