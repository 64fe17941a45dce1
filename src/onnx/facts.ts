/**
 * @file Ranks and element types of values in an old model, as far as one forward pass gives them.
 */
import { type DType, dtypeOfCode, dtypes } from "../ir/dtype.ts";
import type { Node, Value } from "../ir/graph.ts";
import { schemaOf } from "../ops/schema.ts";
import type { Facts } from "./adapter.ts";

/**
 * Facts that grow with each call of `learn`, which must see every node, producers first and before
 * the node is rewritten.
 */
export function createFacts(): Facts & { learn(node: Node): void } {
  const ranks = new Map<Value, number>();
  const types = new Map<Value, DType>();
  const facts: Facts = {
    rank: (value) => (value ? (value.shape?.length ?? ranks.get(value) ?? null) : null),
    dtype: (value) => (value ? (value.dtype ?? types.get(value) ?? null) : null),
    shape: (value) => value?.shape ?? null,
  };
  return {
    ...facts,
    learn(node) {
      const rank = Object.hasOwn(rankRules, node.op) ? rankRules[node.op]?.(node, facts) : null;
      const dtype = outputType(node, facts);
      if (rank != null) for (const output of node.outputs) ranks.set(output, rank);
      if (dtype) types.set(node.output, dtype);
    },
  };
}

/** The rank of a node's outputs, or null where it is not determined. */
type RankRule = (node: Node, facts: Facts) => number | null;

/** The rank of the first input. */
const same: RankRule = (node, facts) => facts.rank(node.inputs[0]);

/** The rank after broadcasting: the largest one. It is unknown if that of any input is. */
const largest: RankRule = (node, facts) => {
  const ranks = node.inputs.map((input) => facts.rank(input));
  return ranks.includes(null) ? null : Math.max(...(ranks as number[]));
};

/** The rank after a reduction. Without axes it reduces all. */
const reduced: RankRule = (node, facts) => {
  const rank = facts.rank(node.inputs[0]);
  if (node.int("keepdims", 1) === 1 || rank === null) return rank;
  const axes = axesOf(node);
  return axes === null ? (node.inputs[1] ? null : 0) : rank - axes;
};

/** The number of axes in the attribute or the constant input; null where neither gives it. */
function axesOf(node: Node): number | null {
  return node.ints("axes")?.length ?? node.inputs[1]?.tensor?.size ?? null;
}

/** The rank of the first input, with one more (`sign` 1) or less (-1) for each axis. */
const shifted =
  (sign: number): RankRule =>
  (node, facts) => {
    const rank = facts.rank(node.inputs[0]);
    const axes = axesOf(node);
    return rank === null || axes === null ? null : rank + sign * axes;
  };

/** Operators that old exporters put before a Softmax or a broadcast; others stay unknown. */
const rankRules: Readonly<Record<string, RankRule | undefined>> = {
  ...rulesFor(
    same,
    "Abs AveragePool BatchNormalization Cast Ceil Clip Concat Conv ConvTranspose Dropout Elu Erf Exp",
    "Floor GlobalAveragePool GlobalMaxPool HardSigmoid Hardmax Identity InstanceNormalization LRN",
    "LeakyRelu Log LogSoftmax MaxPool Neg Not PRelu Pad Reciprocal Relu Resize Selu Sigmoid Slice",
    "Softmax Softplus Softsign Split Sqrt Tanh Upsample",
  ),
  ...rulesFor(largest, "Add And Div Equal Greater Less Max Mean Min Mul Or Pow Sub Sum Where Xor"),
  ...rulesFor(
    reduced,
    "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd",
    "ReduceSum ReduceSumSquare",
  ),
  ...rulesFor(() => 2, "Flatten Gemm"),
  ...rulesFor(() => 1, "Shape"),
  MatMul: (node, facts) => {
    const rank = largest(node, facts);
    return rank !== null && node.inputs.every((i) => (facts.rank(i) ?? 0) >= 2) ? rank : null;
  },
  Reshape: (node, facts) => {
    const shape = facts.shape(node.inputs[1]);
    return node.ints("shape")?.length ?? (typeof shape?.[0] === "number" ? shape[0] : null);
  },
  Transpose: (node, facts) => node.ints("perm")?.length ?? same(node, facts),
  Squeeze: shifted(-1),
  Unsqueeze: shifted(1),
};

/** The same rule for all operators in `ops`, each of which is a list of names. */
function rulesFor(rule: RankRule, ...ops: string[]): Record<string, RankRule> {
  return Object.fromEntries(ops.flatMap((line) => line.split(" ")).map((op) => [op, rule]));
}

/**
 * The type of the first output by the schema: its own, or that of the first input with the
 * same type constraint.
 */
function outputType(node: Node, facts: Facts): DType | null {
  if (node.domain !== "") return null;
  if (node.op === "Cast") return dtypeOfCode(node.int("to", 0)) ?? null;
  if (node.op === "Upsample" || node.op === "Scatter") return facts.dtype(node.inputs[0]);
  const schema = schemaOf(node.op);
  const wanted = schema?.outputs[0]?.type;
  if (!schema || !wanted) return null;
  if (Object.hasOwn(dtypes, wanted)) return wanted as DType;
  const port = schema.inputs.findIndex(({ type }) => type === wanted);
  return port < 0 ? null : facts.dtype(node.inputs[port]);
}
