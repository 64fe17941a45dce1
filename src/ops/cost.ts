/** @file What a model costs: multiply-accumulates per node, parameters. */
import type { Dim, Graph, Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { constantExpressions, constantValue } from "./constant.ts";
import { parseEinsum } from "./einsum.ts";
import { inferRuleOf } from "./infer/rules.ts";
import { bindDims, type Dims } from "./infer.ts";
import { schemaOf } from "./schema.ts";
import { entryOf, keyOf, type OpTable } from "./table.ts";
import { hasTrait } from "./traits.ts";
import { weightRole } from "./weights.ts";

export interface NodeCost {
  /** Null where a size it depends on is not known. */
  readonly macs: number | null;
  /** Elements of the weights and biases that this node reads, shared ones included. */
  readonly params: number;
}

export interface ModelCost {
  /** Null where a size is not known, or an operator outside the standard has no rule. */
  readonly macs: number | null;
  readonly params: number;
  /** For every node of the given model, bodies included. */
  readonly perNode: ReadonlyMap<Node, NodeCost>;
}

type MacsRule = (node: Node) => number | null;

/** Null unless every dim is a number. */
function product(...dims: readonly (Dim | undefined)[]): number | null {
  let result = 1;
  for (const dim of dims) {
    if (typeof dim !== "number") return null;
    result *= dim;
  }
  return result;
}

const unknown: readonly Dim[] = [null];
const outputOf = (node: Node): readonly Dim[] => node.output.shape ?? unknown;
const inputOf = (node: Node, index: number): readonly Dim[] => node.inputs[index]?.shape ?? unknown;

/** Each output element sums over the channels of its group and the kernel. */
const conv =
  (weight: number): MacsRule =>
  (node) =>
    product(...outputOf(node), ...inputOf(node, weight).slice(1));

/** Each input element is spread over the output channels of its group and the kernel. */
const convTranspose: MacsRule = (node) =>
  product(...inputOf(node, 0), ...inputOf(node, 1).slice(1));

/** Each output element sums over the inner size. */
const matMul =
  (left: number): MacsRule =>
  (node) =>
    product(...outputOf(node), inputOf(node, left).at(-1));

const fusedMatMul: MacsRule = (node) =>
  product(...outputOf(node), inputOf(node, 0).at(node.int("transA", 0) ? -2 : -1));

const gemm: MacsRule = (node) =>
  product(...outputOf(node), inputOf(node, 0)[node.int("transA", 0) ? 0 : 1]);

/** Per step, sequence and direction: all gates from input and state, W [dirs, gates H, X], R [.., H]. */
const recurrent: MacsRule = (node) => {
  const [time, batch] = inputOf(node, 0);
  const [inputs, states] = [product(...inputOf(node, 1)), product(...inputOf(node, 2))];
  return inputs === null || states === null ? null : product(time, batch, inputs + states);
};

/** One product of all operands per combination of subscripts. */
const einsum: MacsRule = (node) => {
  const shapes = node.inputs.map((_, i) => inputOf(node, i));
  if (node.inputs.length < 2) return 0;
  const { inputs } = parseEinsum(
    node.text("equation", ""),
    shapes.map((shape) => shape.length),
  );
  const dims = new Map<string, Dim>();
  for (const [i, axes] of inputs.entries()) {
    for (const [k, axis] of axes.entries()) {
      if (!dims.has(axis) || dims.get(axis) === 1) dims.set(axis, shapes[i][k] ?? null);
    }
  }
  return product(node.inputs.length - 1, ...dims.values());
};

/** Scores and their weighted sum: queries x keys x (query width + value width), per head. */
const attention: MacsRule = (node) => {
  const [q, k, v] = [0, 1, 2].map((i) => inputOf(node, i));
  if (q.length === 4) {
    const widths = [q[3], v[3]].map((dim) => (typeof dim === "number" ? dim : Number.NaN));
    const macs = product(q[0], q[1], q[2], k[2]);
    return macs === null || widths.some(Number.isNaN) ? null : macs * (widths[0] + widths[1]);
  }
  const heads = node.int("q_num_heads", 1) / node.int("kv_num_heads", 1);
  const macs = product(q[0], q[1], k[1]);
  const [width, values] = [product(q[2]), product(v[2])];
  return macs === null || width === null || values === null
    ? null
    : macs * (width + values * heads);
};

const rules: OpTable<MacsRule> = {
  Attention: attention,
  Conv: conv(1),
  ConvInteger: conv(1),
  ConvTranspose: convTranspose,
  DeformConv: conv(1),
  Einsum: einsum,
  GRU: recurrent,
  Gemm: gemm,
  LSTM: recurrent,
  MatMul: matMul(0),
  MatMulInteger: matMul(0),
  QLinearConv: conv(3),
  QLinearMatMul: matMul(0),
  RNN: recurrent,
  "com.microsoft:FusedMatMul": fusedMatMul,
  "com.microsoft:MatMulNBits": matMul(0),
};

/**
 * Multiply-accumulates of one run of a node with inferred shapes; elementwise operators count 0.
 * Null where a size is not known or the operator is not. A body counts once per run of it: an If as
 * its dearer branch, a Loop or Scan only if free, since the number of runs is not known.
 */
export function macsOf(node: Node): number | null {
  const rule = entryOf(rules, node);
  if (rule) return rule(node);
  const bodies = node.subgraphs.map(macsOfGraph);
  if (bodies.includes(null)) return null;
  const dearest = Math.max(0, ...(bodies as number[]));
  if (hasTrait(node, "repeats")) return dearest === 0 ? 0 : null;
  const isKnown = inferRuleOf(node) !== null || (node.domain === "" && schemaOf(node.op));
  return isKnown ? dearest : null;
}

function macsOfGraph(graph: Graph): number | null {
  const constants = constantExpressions(graph);
  return sum([...graph.nodes].map((node) => (constants.has(node.output) ? 0 : macsOf(node))));
}

function sum(parts: readonly (number | null)[]): number | null {
  let total = 0;
  for (const part of parts) {
    if (part === null) return null;
    total += part;
  }
  return total;
}

/** Inputs that hold parameters, where not every vector of floats does: scales and statistics do not. */
const parameterInputs: OpTable<readonly number[]> = {
  BatchNormalization: [1, 2],
  Clip: [],
  ConvInteger: [1],
  DequantizeLinear: [],
  MatMulInteger: [0, 1],
  Pad: [],
  QLinearConv: [3, 8],
  QLinearMatMul: [0, 3],
  QuantizeLinear: [],
  Range: [],
  Resize: [],
  RoiAlign: [],
  "com.microsoft:GatherBlockQuantized": [0],
  "com.microsoft:MatMulNBits": [1, 5],
};

/** Elements of input `index` as a parameter: a weight, or a constant of several floats. */
function paramsOf(node: Node, index: number, value: Value): number {
  const listed = entryOf(parameterInputs, node);
  if (listed && !listed.includes(index)) return 0;
  const { dtype, shape } = typeOf(value);
  const size = product(...shape) ?? 0;
  // Several codes share a byte.
  if (keyOf(node) === "com.microsoft:MatMulNBits" && index === 1) {
    return node.int("K", 0) * node.int("N", 0);
  }
  if (keyOf(node) === "com.microsoft:GatherBlockQuantized" && dtype === "uint8") {
    return size * (8 / node.int("bits", 4));
  }
  const isFloat =
    dtype === "float32" || dtype === "float16" || dtype === "bfloat16" || dtype === "float64";
  if (listed || weightRole(node, index)) return size;
  return isFloat && size > 1 ? size : 0;
}

/** Decode chains that were just written may not have been inferred. */
function typeOf(value: Value): { dtype: string; shape: readonly Dim[] } {
  if (value.dtype && value.shape) return { dtype: value.dtype, shape: value.shape };
  return constantValue(value) ?? { dtype: "", shape: unknown };
}

/**
 * MACs and parameters. `dims` fixes input sizes (see `bindDims`); sizes that stay open count as 1:
 * one record. Parameters are what the layers read, each once however often it is shared and in
 * whatever form it is stored: a codebook and its indices count as the weight they stand for.
 * Running statistics of BatchNormalization, scales and zero points are not parameters.
 */
export function costModel(model: Model, options: { readonly dims?: Dims } = {}): ModelCost {
  const bound = bindDims(model, options.dims ?? {}, 1);
  const perNode = new Map<Node, NodeCost>();
  const counted = new Map<Value | Tensor, number>();
  const originals = nodesOf(model);
  for (const graph of bound.graph.walk()) {
    const constants = constantExpressions(graph);
    for (const node of graph.nodes) {
      const original = originals.next().value as Node;
      const isDecoding = constants.has(node.output);
      let params = 0;
      for (const [index, value] of isDecoding ? [] : node.inputs.entries()) {
        if (!value || !(value.tensor || constants.has(value))) continue;
        const size = paramsOf(node, index, value);
        const stored = storedOf(value);
        counted.set(stored, Math.max(size, counted.get(stored) ?? 0));
        params += size;
      }
      perNode.set(original, { macs: isDecoding ? 0 : macsOf(node), params });
    }
  }
  return {
    macs: macsOfGraph(bound.graph),
    params: [...counted.values()].reduce((a, b) => a + b, 0),
    perNode,
  };
}

/** What a weight and its transposed or reshaped twin have in common. */
function storedOf(value: Value): Value | Tensor {
  let at = value;
  while (
    at.producer &&
    /^(Cast|Identity|Reshape|Squeeze|Transpose|Unsqueeze)$/.test(at.producer.op)
  ) {
    at = at.producer.inputs[0] as Value;
  }
  return at.tensor ?? at;
}

/** In the order of `walk`, which a clone shares. */
function* nodesOf(model: Model): Generator<Node, undefined> {
  for (const graph of model.graph.walk()) yield* graph.nodes;
}
