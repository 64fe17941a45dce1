/** @file The cost of a model: multiply-accumulates (MACs) per node, and parameters. */
import type { Dim, Graph, Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { constantExpressions, constantValue } from "./constant.ts";
import { parseEinsum } from "./einsum.ts";
import { inferRuleOf } from "./infer/rules.ts";
import { bindDims, type Dims } from "./infer.ts";
import { schemaOf } from "./schema.ts";
import { perByteOf } from "./storage.ts";
import { entryOf, keyOf, type OpTable } from "./table.ts";
import { hasTrait } from "./traits.ts";
import { weightRole } from "./weights.ts";

export interface NodeCost {
  /** Multiply-accumulates of one run; null if a size on which they depend is not known. */
  readonly macs: number | null;
  /** Elements of the weights and biases that this node reads, shared ones included. */
  readonly params: number;
}

export interface ModelCost {
  /** Null if a size is not known, or if an operator outside the standard has no rule. */
  readonly macs: number | null;
  readonly params: number;
  /** The cost of every node of the given model, bodies included. */
  readonly perNode: ReadonlyMap<Node, NodeCost>;
}

/** The MACs of a node; null if they depend on a size that is not known. */
type MacsRule = (node: Node) => number | null;

/** The product of dims; null unless all of them are numbers. */
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

/**
 * Convolution: each element of y [N, M, ...] sums over C / groups channels and the kernel. `weight`
 * is the index of the weight [M, C / groups, ...kernel] among the inputs.
 */
const conv =
  (weight: number): MacsRule =>
  (node) =>
    product(...outputOf(node), ...inputOf(node, weight).slice(1));

/**
 * Transposed convolution: each element of x [N, C, ...] is spread over the output channels of its
 * group and the kernel, weight [C, M / groups, ...kernel].
 */
const convTranspose: MacsRule = (node) =>
  product(...inputOf(node, 0), ...inputOf(node, 1).slice(1));

/** Product [..., n, k] by [..., k, m]: each element of the output sums over k. */
const matMul =
  (left: number): MacsRule =>
  (node) =>
    product(...outputOf(node), inputOf(node, left).at(-1));

const fusedMatMul: MacsRule = (node) =>
  product(...outputOf(node), inputOf(node, 0).at(node.int("transA", 0) ? -2 : -1));

const gemm: MacsRule = (node) =>
  product(...outputOf(node), inputOf(node, 0)[node.int("transA", 0) ? 0 : 1]);

/**
 * Recurrent layers: at each time step, for each sequence and direction, all gates are computed from
 * the input and the state, with W [directions, gates H, X] and R [directions, gates H, H].
 */
const recurrent: MacsRule = (node) => {
  const [time, batch] = inputOf(node, 0);
  const [inputs, states] = [product(...inputOf(node, 1)), product(...inputOf(node, 2))];
  return inputs === null || states === null ? null : product(time, batch, inputs + states);
};

/** Einsum: one product of all operands for each combination of subscripts. */
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

/**
 * Attention: scores Q K^T and their product with V, queries x keys x (query width + value
 * width) for each head.
 */
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
 * Multiply-accumulates of one run of a node with inferred shapes; elementwise operators count
 * 0. Null if a size or the operator is not known. An If counts as its more expensive branch. A
 * Loop or Scan counts 0 if its body is free, and null otherwise, since the number of
 * iterations is not known.
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

/**
 * The inputs that hold parameters, for operators where not every vector of floats is one: scales of
 * quantization and running statistics are not.
 */
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

/**
 * How many parameters input `index` holds: the elements of a weight, or of a constant
 * of several floats.
 */
function paramsOf(node: Node, index: number, value: Value): number {
  const listed = entryOf(parameterInputs, node);
  if (listed && !listed.includes(index)) return 0;
  const { dtype, shape } = typeOf(value);
  const size = product(...shape) ?? 0;
  // Several quantized weights share a byte.
  if (keyOf(node) === "com.microsoft:MatMulNBits" && index === 1) {
    return node.int("K", 0) * node.int("N", 0);
  }
  if (keyOf(node) === "com.microsoft:GatherBlockQuantized" && dtype === "uint8") {
    return size * (8 / node.int("bits", 4));
  }
  const perByte = value.tensor && perByteOf(node, value.tensor);
  // Where a layer computes with all of the table, that layer counts it.
  if (perByte) {
    const isTied = value.consumers.some((other) => perByteOf(other, value.tensor!) === null);
    return isTied ? 0 : size * perByte;
  }
  const isFloat =
    dtype === "float32" || dtype === "float16" || dtype === "bfloat16" || dtype === "float64";
  if (listed || weightRole(node, index)) return size;
  return isFloat && size > 1 ? size : 0;
}

/** Nodes that decode weights and were just added may not have inferred types yet. */
function typeOf(value: Value): { dtype: string; shape: readonly Dim[] } {
  if (value.dtype && value.shape) return { dtype: value.dtype, shape: value.shape };
  return constantValue(value) ?? { dtype: "", shape: unknown };
}

/**
 * MACs and parameters of a model. `dims` fixes input sizes (see `bindDims`); sizes that stay open
 * count as 1, so that the cost is that of one record.
 *
 * Parameters are what layers read, each counted once however often it is shared, in whatever form
 * it is stored: a codebook with its indices counts as the weight that it stands for. Running
 * statistics, scales and zero points are no parameters.
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

/** The value that a weight and a transposed or reshaped copy of it have in common. */
export function storedOf(value: Value): Value | Tensor {
  let at = value;
  while (
    at.producer &&
    /^(Cast|Identity|Reshape|Squeeze|Transpose|Unsqueeze)$/.test(at.producer.op)
  ) {
    at = at.producer.inputs[0] as Value;
  }
  return at.tensor ?? at;
}

/** All nodes in the order of `walk`, which a cloned model has as well. */
function* nodesOf(model: Model): Generator<Node, undefined> {
  for (const graph of model.graph.walk()) yield* graph.nodes;
}
