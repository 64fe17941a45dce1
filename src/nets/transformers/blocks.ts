/** @file What transformers are built from: layers with drawn weights, attention, caches, masks. */
import type { Graph, Value } from "../../ir/graph.ts";
import { Tensor } from "../../ir/tensor.ts";
import type { Random } from "../../numeric/random.ts";
import { type Builder, build } from "../../ops/builder.ts";
import { inferNode } from "../../ops/infer.ts";
import { product } from "../../util/product.ts";

/** Added to the scores of positions that are not looked at. */
const HIDDEN = -1e4;

/** Keys and values of an attention, [batch, heads, positions, width of a head]. */
export interface KeysValues {
  readonly key: Value;
  readonly value: Value;
}

/** The sizes of an attention. */
export interface Heads {
  readonly width: number;
  readonly heads: number;
  /** Heads of keys and values, each read by heads / keyHeads queries (default `heads`). */
  readonly keyHeads?: number;
  readonly bias?: boolean;
}

export type Blocks = ReturnType<typeof createBlocks>;

/**
 * Blocks that add to `graph`. Activations are [batch, positions, width]. Each weight has a random
 * stream under its own name and is drawn when it is first read; matrices are [inputs, outputs], as
 * PyTorch's exporter writes them.
 */
export function createBlocks(graph: Graph, random: Random) {
  const nodesOf = (name: string, into: Graph = graph): Builder => build(into, name, inferNode);

  /** Normal numbers of this deviation around `mean`. */
  function drawn(name: string, shape: readonly number[], spread: number, mean = 0): Value {
    const load = (): Uint8Array => {
      const stream = random.fork(name);
      const values = Float32Array.from(
        { length: product(shape) },
        () => mean + spread * stream.normal(),
      );
      return new Uint8Array(values.buffer);
    };
    return graph.addConstant(name, new Tensor("float32", shape, load));
  }

  /** x W + b */
  function linear(
    x: Value,
    [from, to]: readonly [number, number],
    name: string,
    { bias = true, into = graph, spread = 1 } = {},
  ): Value {
    const g = nodesOf(name, into);
    const y = g.MatMul(x, drawn(`${name}.weight`, [from, to], spread / Math.sqrt(from)));
    return bias ? g.Add(y, drawn(`${name}.bias`, [to], 0.02)) : y;
  }

  /** Rows of a table: [batch, positions] -> [batch, positions, width]. */
  const embed = (ids: Value, [rows, width]: readonly [number, number], name: string): Value =>
    nodesOf(name).Gather(drawn(`${name}.weight`, [rows, width], 0.5), ids);

  const norm = (x: Value, width: number, name: string): Value =>
    nodesOf(name).LayerNormalization(
      x,
      drawn(`${name}.weight`, [width], 0.1, 1),
      drawn(`${name}.bias`, [width], 0.02),
      { axis: -1, epsilon: 1e-5 },
    );

  /** x / sqrt(mean x^2 + 1e-5) * scale (Zhang, Sennrich 2019, arXiv 1910.07467) */
  function rmsNorm(x: Value, width: number, name: string): Value {
    const g = nodesOf(name);
    const power = g.ReduceMean(g.Mul(x, x), g.ints([-1]), { keepdims: 1 });
    const length = g.Sqrt(g.Add(power, g.constant([1e-5], { shape: [], name: "epsilon" })));
    return g.Mul(g.Div(x, length), drawn(`${name}.weight`, [width], 0.1, 1));
  }

  function gelu(x: Value, [width, inner]: readonly [number, number], name: string): Value {
    const up = linear(x, [width, inner], `${name}.up`);
    return linear(nodesOf(name).Gelu(up), [inner, width], `${name}.down`);
  }

  /** (u sigmoid(u) * v) W with u and v linear in x (Shazeer 2020, arXiv 2002.05202) */
  function swiglu(x: Value, [width, inner]: readonly [number, number], name: string): Value {
    const g = nodesOf(name);
    const gate = linear(x, [width, inner], `${name}.gate_proj`, { bias: false });
    const up = linear(x, [width, inner], `${name}.up_proj`, { bias: false });
    const open = g.Mul(g.Mul(gate, g.Sigmoid(gate)), up);
    return linear(open, [inner, width], `${name}.down_proj`, { bias: false });
  }

  /** [batch, positions, heads * size] -> [batch, heads, positions, size] */
  function split(x: Value, heads: number, size: number, name: string, into: Graph = graph): Value {
    const g = nodesOf(name, into);
    return g.Transpose(g.Reshape(x, g.ints([0, 0, heads, size])), { perm: [0, 2, 1, 3] });
  }

  const queries = (x: Value, { width, heads, bias }: Heads, name: string): Value =>
    split(linear(x, [width, width], `${name}.q_proj`, { bias }), heads, width / heads, `${name}.q`);

  /** `into`: a body whose nodes compute them; the weights are the outer graph's. */
  function keysValues(
    x: Value,
    { width, heads, keyHeads = heads, bias }: Heads,
    name: string,
    into: Graph = graph,
  ): KeysValues {
    const size = width / heads;
    const of = (part: string): Value => {
      const y = linear(x, [width, keyHeads * size], `${name}.${part}_proj`, { bias, into });
      return split(y, keyHeads, size, `${name}.${part}`, into);
    };
    return { key: of("k"), value: of("v") };
  }

  /**
   * softmax(q k^T / sqrt(size) + mask) v, and the layer after it. Where heads share keys, the queries
   * of a group are an axis of their own, over which keys are repeated without being copied.
   */
  function attend(
    query: Value,
    { key, value }: KeysValues,
    mask: Value | null,
    { width, heads, keyHeads = heads, bias }: Heads,
    name: string,
  ): Value {
    const g = nodesOf(name);
    const size = width / heads;
    const isShared = keyHeads < heads;
    const grouped = (x: Value): Value => (isShared ? g.Unsqueeze(x, g.ints([2])) : x);
    const q = isShared
      ? g.Reshape(query, g.ints([0, keyHeads, heads / keyHeads, -1, size]))
      : query;
    const turned = grouped(g.Transpose(key, { perm: [0, 1, 3, 2] }));
    const scale = g.constant([1 / Math.sqrt(size)], { shape: [], name: "scale" });
    const scores = g.Mul(g.MatMul(q, turned), scale);
    const masked = mask ? g.Add(scores, isShared ? grouped(mask) : mask) : scores;
    const mixed = g.MatMul(g.Softmax(masked, { axis: -1 }), grouped(value));
    const flat = isShared ? g.Reshape(mixed, g.ints([0, heads, -1, size])) : mixed;
    const rows = g.Reshape(g.Transpose(flat, { perm: [0, 2, 1, 3] }), g.ints([0, 0, width]));
    return linear(rows, [width, width], `${name}.o_proj`, { bias });
  }

  /** 0 where the mask [batch, positions] is 1, else HIDDEN: [batch, 1, 1, positions]. */
  function padding(attentionMask: Value): Value {
    const g = nodesOf("mask");
    const rows = g.Unsqueeze(attentionMask, g.ints([1, 2]));
    return g.Where(g.Cast(rows, { to: 9 }), scalar(g, 0), scalar(g, HIDDEN));
  }

  /**
   * 0 where key position j <= query position i, else HIDDEN: [queries, keys]. The queries are the last
   * of the keys, as they are where a cache holds those before.
   */
  function causal(ids: Value, keys: Value): Value {
    const g = nodesOf("causal");
    const total = g.Shape(keys, { start: 2, end: 3 });
    const count = g.Shape(ids, { start: 1, end: 2 });
    const one = g.constant(BigInt64Array.of(1n), { dtype: "int64", shape: [], name: "one" });
    const zero = g.constant(BigInt64Array.of(0n), { dtype: "int64", shape: [], name: "zero" });
    const end = g.Squeeze(total);
    const row = g.Range(g.Squeeze(g.Sub(total, count)), end, one);
    const column = g.Range(zero, end, one);
    const seen = g.LessOrEqual(column, g.Unsqueeze(row, g.ints([1])));
    return g.Where(seen, scalar(g, 0), scalar(g, HIDDEN));
  }

  const scalar = (g: Builder, value: number): Value =>
    g.constant([value], { shape: [], name: "bias" });

  /** Inputs for the keys and values of earlier positions: past_key_values.NAME.key and .value. */
  function past(name: string, shape: readonly (string | number)[]): KeysValues {
    const input = (part: string): Value =>
      graph.addInput(`past_key_values.${name}.${part}`, "float32", shape);
    return { key: input("key"), value: input("value") };
  }

  /** Keys and values after those before them, which become outputs: present.NAME.key and .value. */
  function after(before: KeysValues, now: KeysValues, name: string): KeysValues {
    const joined = (part: keyof KeysValues): Value =>
      nodesOf(`cache.${name}.${part}`).Concat(before[part], now[part], { axis: 2 });
    return present({ key: joined("key"), value: joined("value") }, name);
  }

  return {
    ...{ graph, nodesOf, drawn, linear, embed, norm, rmsNorm, gelu, swiglu },
    ...{ queries, keysValues, attend, padding, causal, past, after },
    add: (x: Value, y: Value, name: string): Value => nodesOf(name).Add(x, y),
  };
}

/** Names them as the outputs that transformers.js feeds back: present.NAME.key and .value. */
export function present(cache: KeysValues, name: string): KeysValues {
  cache.key.name = `present.${name}.key`;
  cache.value.name = `present.${name}.value`;
  return cache;
}
