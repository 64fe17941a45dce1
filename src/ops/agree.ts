/** @file Agreement: which sizes must be equal for a node to run, and so which axes of inputs. */
import type { Dim, Node } from "../ir/graph.ts";
import { cloneModel, type Model } from "../ir/model.ts";
import { parseEinsum } from "./einsum.ts";
import { activations } from "./evaluate/activation.ts";
import { elementwise } from "./evaluate/elementwise.ts";
import { axisOf, mapDim, type Shape, shapeOf } from "./infer/dims.ts";
import { inferModel } from "./infer.ts";
import type { OpName } from "./schema.ts";
import { entryOf, type OpTable } from "./table.ts";

/** Two sizes that must be equal; nothing is said where one of them is unknown. */
type Pair = readonly [Dim | undefined, Dim | undefined];
type AgreeRule = (node: Node) => readonly Pair[];

/** The sizes of these shapes from the right, by NumPy's broadcasting; a size of 1 goes with any. */
function broadcast(...shapes: readonly (Shape | null)[]): Pair[] {
  const given = shapes.filter((shape) => shape !== null);
  const rank = Math.max(0, ...given.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, i) => {
    const dims = given.map((shape) => shape.at(-1 - i)).filter((dim) => dim != null && dim !== 1);
    return dims.slice(1).map((dim): Pair => [dims[0], dim]);
  }).flat();
}

const elements: AgreeRule = (node) => broadcast(...node.inputs.map((_, i) => shapeOf(node, i)));

/** All axes but the one along which the inputs are joined. */
const concat: AgreeRule = (node) => {
  const shapes = node.inputs.map((_, i) => shapeOf(node, i));
  const [first] = shapes;
  if (!first) return [];
  const along = axisOf(node.int("axis", 0), first.length);
  return shapes.flatMap((shape) =>
    first.map((dim, axis): Pair => (axis === along ? [null, null] : [dim, shape?.[axis]])),
  );
};

/** [..., M, K] by [..., K, N]. */
const product =
  (left: number, right: number): AgreeRule =>
  (node) => {
    const [a, b] = [shapeOf(node, left), shapeOf(node, right)];
    if (!a || !b) return [];
    return [[a.at(-1), b.at(b.length > 1 ? -2 : -1)], ...broadcast(a.slice(0, -2), b.slice(0, -2))];
  };

const gemm: AgreeRule = (node) => {
  const [a, b, c] = [0, 1, 2].map((i) => shapeOf(node, i));
  const [left, right] = [node.int("transA", 0), node.int("transB", 0)];
  const result = [a?.[left ? 1 : 0] ?? null, b?.[right ? 0 : 1] ?? null];
  return [[a?.[left ? 0 : 1], b?.[right ? 1 : 0]], ...broadcast(result, c)];
};

/** Channels of x [N, C, ...] and of a weight [M, C / groups, ...]. */
const conv =
  (weight: number): AgreeRule =>
  (node) => [
    [
      shapeOf(node, 0)?.[1],
      mapDim(shapeOf(node, weight)?.[1], (size) => size * node.int("group", 1)),
    ],
  ];

/** One number per channel of x [N, C, ...]. */
const perChannel: AgreeRule = (node) => [[shapeOf(node, 0)?.[1], shapeOf(node, 1)?.[0]]];

/** x [T, N, F] (layout 1: [N, T, F]), W [D, G H, F], initial states [D, N, H] ([N, D, H]). */
const recurrent: AgreeRule = (node) => {
  const isBatchFirst = node.int("layout", 0) === 1;
  const batch = shapeOf(node, 0)?.[isBatchFirst ? 0 : 1];
  const states = [5, 6].map((i): Pair => [batch, shapeOf(node, i)?.[isBatchFirst ? 0 : 1]]);
  return [
    [shapeOf(node, 0)?.[2], shapeOf(node, 1)?.[2]],
    [batch, shapeOf(node, 4)?.[0]],
    ...states,
  ];
};

/** Axes of one subscript. */
const einsum: AgreeRule = (node) => {
  const shapes = node.inputs.map((_, i) => shapeOf(node, i));
  if (shapes.includes(null)) return [];
  const ranks = shapes.map((shape) => (shape as Shape).length);
  const sizes = new Map<string, Dim[]>();
  for (const [i, axes] of parseEinsum(node.text("equation", ""), ranks).inputs.entries()) {
    for (const [k, axis] of axes.entries()) {
      const size = shapes[i]?.[k] ?? null;
      sizes.set(axis, [...(sizes.get(axis) ?? []), ...(size === 1 ? [] : [size])]);
    }
  }
  return [...sizes.values()].flatMap(([first, ...others]) =>
    others.map((other): Pair => [first, other]),
  );
};

/** Queries, keys, values and the cached ones: one batch; keys and values of one length. */
const attention =
  (...cached: readonly [number, number]): AgreeRule =>
  (node) => {
    const [q, k, v, pastK, pastV] = [0, 1, 2, ...cached].map((i) => shapeOf(node, i));
    return [
      [q?.[0], k?.[0]],
      [q?.[0], v?.[0]],
      [q?.[0], pastK?.[0]],
      [q?.[0], pastV?.[0]],
      [k?.at(-2), v?.at(-2)],
      [pastK?.[2], pastV?.[2]],
    ];
  };

/** These inputs have one size along their first axes. */
const alike =
  (axes: number, ...indices: readonly number[]): AgreeRule =>
  (node) =>
    indices.slice(1).flatMap((index) => {
      const [a, b] = [shapeOf(node, indices[0]), shapeOf(node, index)];
      return Array.from({ length: axes }, (_, axis): Pair => [a?.[axis], b?.[axis]]);
    });

const rules: OpTable<AgreeRule> = {
  ...Object.fromEntries(
    ([...Object.keys(elementwise), ...Object.keys(activations)] as OpName[]).map((op) => [
      op,
      elements,
    ]),
  ),
  Attention: attention(4, 5),
  BatchNormalization: perChannel,
  Concat: concat,
  Conv: conv(1),
  ConvInteger: conv(1),
  ConvTranspose: (node) => [[shapeOf(node, 0)?.[1], shapeOf(node, 1)?.[0]]],
  DeformConv: conv(1),
  Einsum: einsum,
  GRU: recurrent,
  Gemm: gemm,
  InstanceNormalization: perChannel,
  LSTM: recurrent,
  LayerNormalization: elements,
  MatMul: product(0, 1),
  MatMulInteger: product(0, 1),
  QLinearConv: conv(3),
  QLinearMatMul: product(0, 3),
  RMSNormalization: elements,
  RNN: recurrent,
  ScatterElements: (node) => broadcast(shapeOf(node, 1), shapeOf(node, 2)),
  "com.microsoft:EmbedLayerNormalization": alike(2, 0, 1, 7, 8),
  "com.microsoft:GroupQueryAttention": (node) => [
    ...attention(3, 4)(node),
    ...alike(1, 0, 5)(node),
  ],
  "com.microsoft:MatMulNBits": (node) => [[shapeOf(node, 0)?.at(-1), node.int("K")]],
  "com.microsoft:SkipLayerNormalization": alike(3, 0, 1),
  "com.microsoft:SkipSimplifiedLayerNormalization": alike(3, 0, 1),
};

/** Few models need more than two; a file could be made to need as many as it has names. */
const ROUNDS = 8;

/**
 * For each open axis of the model's inputs ("x.2" is axis 2 of input x): the size that the graph
 * forces it to, or a name that it shares with the axes that must be of the same size. An axis is
 * open if its size is a symbol or unknown. Of sizes that contradict each other the first counts.
 */
export function agreeingAxes(model: Model): ReadonlyMap<string, number | string> {
  const copy = cloneModel(model);
  const { inputs } = copy.graph;
  const open = inputs.map(({ name, shape }) =>
    (shape ?? []).map((dim, axis) => (typeof dim === "number" ? null : (dim ?? `${name}.${axis}`))),
  );
  const parents = new Map<string, number | string>();
  const rootOf = (dim: number | string): number | string => {
    let root = dim;
    while (typeof root === "string" && parents.has(root)) root = parents.get(root) as typeof root;
    return root;
  };
  /** Makes two sizes equal; true if that was news. */
  const join = ([a, b]: Pair): boolean => {
    if (a == null || b == null) return false;
    const [left, right] = [rootOf(a), rootOf(b)];
    if (left === right || (typeof left === "number" && typeof right === "number")) return false;
    // A number is a root for good.
    if (typeof left === "string") parents.set(left, right);
    else parents.set(right as string, left);
    return true;
  };
  // The sum of values of sizes A and B is of unknown size, so what follows it is inferred again with one symbol.
  for (let [isNew, round] = [true, 0]; isNew && round < ROUNDS; round++) {
    for (const [i, input] of inputs.entries()) {
      input.shape =
        input.shape?.map((dim, axis) => (open[i][axis] ? rootOf(open[i][axis]) : dim)) ?? null;
    }
    inferModel(copy);
    isNew = false;
    for (const graph of copy.graph.walk()) {
      for (const node of graph.nodes) {
        for (const pair of entryOf(rules, node)?.(node) ?? []) isNew = join(pair) || isNew;
      }
    }
  }
  return new Map(
    inputs.flatMap(({ name }, i) =>
      open[i].flatMap((dim, axis) => (dim ? [[`${name}.${axis}`, rootOf(dim)] as const] : [])),
    ),
  );
}
