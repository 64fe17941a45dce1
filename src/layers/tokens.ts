/**
 * @file Tokens of a transformer: where attention reads them, and how similar ones become one (Bolya et
 * al. 2023, arXiv 2210.09461, section 3).
 */
import type { Graph, Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { type Builder, build } from "../ops/builder.ts";
import { inferNode } from "../ops/infer.ts";
import { linearOf } from "../ops/linear.ts";
import { hasTrait } from "../ops/traits.ts";
import { isConstantExpression } from "../ops/weights.ts";
import { type Block, blocksOf } from "./residual.ts";

/** A residual block y = x + attention(x) over tokens. */
export interface Attention extends Pick<Block, "sum"> {
  /** The softmax over keys of the scores [N, heads, T, T], or [N, T, T]. */
  readonly softmax: Node;
  /** Keys, transposed: [N, heads, d, T] or [N, d, T]. */
  readonly keys: Value;
  readonly tokens: number;
  /** D of y [N, T, D]. */
  readonly features: number;
}

/** The attention blocks in order; for each other softmax inside the model the reason. */
export function attentionsOf(
  model: Model,
  skip: (node: Node, reason: string) => void,
): Attention[] {
  const all = model.graph.sorted();
  const softmaxes = all.filter(
    (node) => hasTrait(node, "probabilities") && (node.output.shape?.length ?? 0) >= 3,
  );
  const blocks = blocksOf(model, new Set(softmaxes));
  return softmaxes.flatMap((softmax) => {
    const block = blocks.find(({ layers }) => layers.includes(softmax));
    const found = block ? attentionOf(block, softmax) : "is in no residual block";
    if (typeof found === "string") skip(softmax, found);
    return typeof found === "string" ? [] : [found];
  });
}

function attentionOf({ sum }: Block, softmax: Node): Attention | string {
  const rank = softmax.output.shape?.length ?? 0;
  const axis = softmax.int("axis", -1);
  if (axis !== -1 && axis !== rank - 1) return "is a softmax over another axis than keys";
  let scores = softmax.inputs[0] as Value;
  for (;;) {
    const node = scores.producer;
    if (!node) return "reads no product of queries and keys";
    const given = node.inputs.filter((input) => input && !isConstantExpression(input));
    if (linearOf(node)?.kind === "product" && given.length === 2) break;
    if (given.length > 1) return "has a mask, which tells tokens apart";
    if (!given[0]) return "reads no product of queries and keys";
    scores = given[0];
  }
  const keys = scores.producer?.inputs[1] as Value;
  const [, tokens, features] = sum.output.shape ?? [];
  if (sum.output.shape?.length !== 3) return "adds to values that are no [N, tokens, features]";
  if (typeof tokens !== "number" || typeof features !== "number") {
    return "reads an unknown number of tokens: give the model fixed sizes";
  }
  if (keys.shape?.at(-1) !== tokens) return "reads keys of other tokens than it writes";
  if (rank > 4) return `has scores of ${rank} axes`;
  return { sum, softmax, keys, tokens, features };
}

/**
 * Why the nodes behind `first` cannot read fewer than `tokens` tokens; null if they can. Reshapes that
 * keep the axis of tokens are rewritten so that they keep any number of them.
 */
export function whyFixedTokens(graph: Graph, first: Value, tokens: number): string | null {
  const behind = new Set<Value>([first]);
  for (const node of graph.sorted()) {
    if (!node.inputs.some((input) => input && behind.has(input))) continue;
    for (const output of node.outputs) behind.add(output);
    if (node.subgraphs.length > 0) return `${node.name} behind it holds bodies of its own`;
    if (freeTokens(node, tokens)) continue;
    for (const input of node.inputs) {
      if (!input || behind.has(input)) continue;
      if (!isConstantExpression(input))
        return `${node.name} behind it reads a mask, or other tokens`;
      const { dtype, shape, tensor } = input;
      const isPerToken = dtype !== "int64" && shape?.at(-2) === tokens && !linearOf(node);
      const isCounted =
        dtype === "int64" && tensor !== null && Array.from(tensor.numbers()).includes(tokens);
      if (isPerToken || isCounted) return `${node.name} behind it counts on ${tokens} tokens`;
    }
  }
  return null;
}

/** Writes 0, "as in the input", for records and tokens in the shape that the node gives. */
function freeTokens(node: Node, tokens: number): boolean {
  const [x, shape] = node.inputs;
  const [from, to] = [x?.shape ?? [], node.output.shape ?? []];
  const wanted = shape?.tensor;
  if (!hasTrait(node, "rearranges") || wanted?.dtype !== "int64") return false;
  if (wanted.size !== to.length || from[1] !== tokens || to[1] !== tokens || from[0] !== to[0]) {
    return false;
  }
  const sizes = Array.from(wanted.numbers()).map((size, i) => (i < 2 ? 0 : size));
  const rest = to.slice(2).map((size, i) => (typeof size === "number" ? size : sizes[i + 2]));
  node.setInput(1, build(node.graph, node.name).ints([0, 0, ...rest], "shape"));
  return true;
}

/** Tokens with the number of original ones that each stands for. */
export interface Merged {
  /** [N, T - r, D]. */
  readonly tokens: Value;
  /** [N, T - r, 1]. */
  readonly sizes: Value;
}

/**
 * Bipartite soft matching: the tokens are split into two sets, at even and at odd places; each token of
 * the first proposes to the most similar one of the second, by the cosine of the keys' mean over
 * heads; the r best proposals become means, weighted by sizes. The first token, which may be one for
 * the class, never is merged, and stays in front; the order of the others is that of no place.
 */
export function mergeTokens(
  y: Value,
  { keys, features }: Pick<Attention, "keys" | "features">,
  {
    sizes,
    tokens,
    r,
  }: { readonly sizes: Value | null; readonly tokens: number; readonly r: number },
): Merged {
  const g = build(y.graph, `${y.name}/merge`, inferNode);
  const [even, odd] = [Math.ceil(tokens / 2), Math.floor(tokens / 2)];
  const half = (x: Value, axis: number, from: 0 | 1): Value =>
    g.Slice(x, g.ints([from]), g.ints([tokens]), g.ints([axis]), g.ints([2]));
  const cut = (x: Value, axis: number, from: number, to: number): Value =>
    g.Slice(x, g.ints([from]), g.ints([to]), g.ints([axis]));

  const mean =
    keys.shape?.length === 4 ? g.ReduceMean(keys, g.ints([1], "axes"), { keepdims: 0 }) : keys;
  const squares = g.ReduceSum(g.Mul(mean, mean), g.ints([1], "axes"), { keepdims: 1 });
  const unit = g.Div(mean, g.Sqrt(g.Add(squares, g.constant(1e-12))));
  const likeness = g.MatMul(g.Transpose(half(unit, 2, 0), { perm: [0, 2, 1] }), half(unit, 2, 1));
  const best = g.ReduceMax(likeness, g.ints([2], "axes"), { keepdims: 0 });
  const partner = g.ArgMax(likeness, { axis: 2, keepdims: 0 });
  // Cosines are at least -1, so that the first token comes last.
  const first = Float32Array.from({ length: even }, (_, i) => (i === 0 ? -4 : 0));
  const ranked = g.many("TopK", [g.Add(best, g.constant(first)), g.ints([even], "k")], {
    outputs: 2,
    attributes: { axis: -1, largest: 1, sorted: 1 },
  })[1];
  const gone = cut(ranked, 1, 0, r);
  const kept = g.many("TopK", [cut(ranked, 1, r, even), g.ints([even - r], "k")], {
    outputs: 2,
    attributes: { axis: -1, largest: 0, sorted: 1 },
  })[0];

  // Sums of the tokens and, as one more feature, of their sizes.
  const ones = () =>
    g.Expand(
      g.constant(new Float32Array(tokens).fill(1), { shape: [1, tokens, 1] }),
      g.Concat(g.Shape(y, { start: 0, end: 1 }), g.ints([1, 1]), { axis: 0 }),
    );
  const all = sizes
    ? g.Concat(g.Mul(y, sizes), sizes, { axis: 2 })
    : g.Concat(y, ones(), { axis: 2 });
  const [givers, takers] = [half(all, 1, 0), half(all, 1, 1)];
  const rows = (index: Value): Value =>
    g.GatherND(givers, g.Unsqueeze(index, g.ints([2], "axes")), { batch_dims: 1 });
  const places = g.constant(
    Array.from({ length: odd }, (_, i) => i),
    { dtype: "int64", shape: [odd, 1] },
  );
  const to = g.Unsqueeze(g.GatherElements(partner, gone, { axis: 1 }), g.ints([1], "axes"));
  const taken = g.Cast(g.Equal(places, to), { to: 1 });
  const sums = g.Add(takers, g.MatMul(taken, rows(gone)));
  const joined = g.Concat(rows(kept), sums, { axis: 1 });
  const weights = cut(joined, 2, features, features + 1);
  return { tokens: g.Div(cut(joined, 2, 0, features), weights), sizes: weights };
}

/** A token counts as many times as it stands for: scores + log size, before the softmax. */
export function weighKeys(softmax: Node, sizes: Value): void {
  const g = build(softmax.graph, `${softmax.name}/sizes`, inferNode);
  const scores = softmax.inputs[0] as Value;
  const row = g.Transpose(g.Log(sizes), { perm: [0, 2, 1] });
  const term = scores.shape?.length === 4 ? g.Unsqueeze(row, g.ints([1], "axes")) : row;
  softmax.setInput(0, g.Add(scores, term));
}

/**
 * Means over tokens become means over all that they stand for: sum_t s_t x_t / T. `count` is how many
 * tokens are left of T.
 */
export function weighMeans(
  graph: Graph,
  from: Value,
  {
    sizes,
    count,
    total,
  }: { readonly sizes: Value; readonly count: number; readonly total: number },
): void {
  const behind = new Set<Value>([from]);
  for (const node of graph.sorted()) {
    const [x] = node.inputs;
    if (!x || !behind.has(x)) continue;
    const isOfTokens = x.shape?.length === 3 && x.shape[1] === count;
    if (hasTrait(node, "averages") && isOfTokens && node.output.shape?.at(-1) === x.shape?.[2]) {
      const g: Builder = build(graph, `${node.name}/sizes`, inferNode);
      node.setInput(0, g.Mul(x, g.Mul(sizes, g.constant(count / total))));
      continue;
    }
    for (const output of node.outputs) behind.add(output);
  }
}
