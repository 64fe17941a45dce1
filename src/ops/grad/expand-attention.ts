/** @file Expands Attention to plain nodes, which have gradients. */
import { dtypes } from "../../ir/dtype.ts";
import type { Graph, Node, Value } from "../../ir/graph.ts";
import { type Builder, build } from "../builder.ts";
import { inferNode } from "../infer.ts";
import { scalar, sizesOf, unsupported } from "./rule.ts";

/** Replaces masked scores. It is finite, so that a row that is masked completely gives no NaN. */
const LOWEST = -1e30;

/**
 * Replaces the node by Y = softmax(scale Q K^T + mask) V per head (Vaswani et al. 2017, arXiv
 * 1706.03762, eq. 1). Throws TersorError "no-gradient" for a cache, further outputs that are used,
 * softcap and windows.
 */
export function expandAttention(graph: Graph, node: Node): void {
  const [query, key, value, mask, ...cache] = node.inputs as (Value | null | undefined)[];
  const isUsed = ({ uses }: Value): boolean => uses.size > 0;
  if (cache.some(Boolean)) throw unsupported(node, "a cache of keys");
  if (node.outputs.slice(1).some(isUsed)) throw unsupported(node, "its other outputs");
  if (node.float("softcap", 0) !== 0) throw unsupported(node, "softcap");
  const isWindowed = ["left_window_size", "right_window_size"].some((at) => node.int(at, -1) >= 0);
  if (isWindowed) throw unsupported(node, "a window");

  const g = build(graph, node.name, inferNode);
  const isFlat = query?.shape?.length === 3;
  const q = heads(g, query as Value, node.int("q_num_heads", 1));
  const count = headsOf(q);
  const [k, v] = [key, value].map((x) =>
    repeated(g, heads(g, x as Value, node.int("kv_num_heads", 1)), count, node),
  );
  const [width] = sizesOf(q, node, 3);
  const scale = node.float("scale") ?? 1 / Math.sqrt(width);
  const scaled = g.Mul(q, scalar(g, q, scale));
  let scores = g.MatMul(scaled, g.Transpose(k, { perm: [0, 1, 3, 2] }));
  const hide = (kept: Value): Value => g.Where(kept, scores, scalar(g, scores, LOWEST));
  if (node.int("is_causal", 0) === 1) scores = hide(lowerLeft(g, q, k));
  if (mask) {
    const isReal = dtypes[mask.dtype ?? "float32"].kind === "float";
    scores = isReal ? g.Add(scores, mask) : hide(mask);
  }
  const mixed = g.MatMul(g.Softmax(scores, { axis: -1 }), v);
  const joint = isFlat
    ? g.Reshape(g.Transpose(mixed, { perm: [0, 2, 1, 3] }), g.ints([0, 0, -1], "shape"))
    : mixed;
  const { output } = node;
  graph.remove(node);
  inferNode(graph.add("Identity", [joint], { name: output.name, outputs: [output] }));
}

/** [N, L, heads E] -> [N, heads, L, E]; 4-D inputs are that already. */
function heads(g: Builder, x: Value, count: number): Value {
  if (x.shape?.length !== 3) return x;
  const split = g.Reshape(x, g.ints([0, 0, count, -1], "shape"));
  return g.Transpose(split, { perm: [0, 2, 1, 3] });
}

const headsOf = ({ shape }: Value): number | null =>
  typeof shape?.[1] === "number" ? shape[1] : null;

/** Repeats each head of keys or values for the neighbouring query heads that share it. */
function repeated(g: Builder, x: Value, count: number | null, node: Node): Value {
  const own = headsOf(x);
  if (own === null || count === null || own === count) return x;
  const [width] = sizesOf(x, node, 3);
  const groups = g.Expand(g.Unsqueeze(x, g.ints([2], "axes")), g.ints([1, 1, count / own, 1, 1]));
  return g.Reshape(groups, g.ints([0, count, -1, width], "shape"));
}

/** Causal mask [L, S]: position i of the queries may attend to positions j <= i of the keys. */
function lowerLeft(g: Builder, q: Value, k: Value): Value {
  const places = (x: Value): Value => {
    const length = g.Squeeze(g.Shape(x, { start: 2, end: 3 }), g.ints([0]));
    const [zero, one] = [0, 1].map((n) => g.constant(n, { dtype: "int64" }));
    return g.Range(zero, length, one);
  };
  return g.GreaterOrEqual(g.Unsqueeze(places(q), g.ints([1])), places(k));
}
