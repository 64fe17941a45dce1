/**
 * @file A decoder as optimum exports Llama (Touvron et al. 2023, arXiv 2302.13971): it reads new
 * tokens and the keys and values of those before, and gives scores and the longer keys and values.
 */

import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { drawn } from "./drawn.ts";

/** Sizes of a decoder. */
export interface DecoderSizes {
  readonly layers: number;
  readonly width: number;
  readonly inner: number;
  readonly heads: number;
  /** Heads of keys and values; each is read by heads / groups heads of queries. */
  readonly groups: number;
  readonly words: number;
}

/** TinyLlama 1.1B (Zhang et al. 2024, arXiv 2401.02385): 4.4 GB of float32. */
export const tinyLlama: DecoderSizes = {
  layers: 22,
  width: 2048,
  inner: 5632,
  heads: 32,
  groups: 4,
  words: 32000,
};

/** The layers of Llama 3.2 1B, 23 of them, with 32,000 words: 6.1 GB of float32. */
export const largeDecoder: DecoderSizes = {
  ...tinyLlama,
  layers: 23,
  inner: 8192,
  groups: 8,
};

const float = 1;

/**
 * input_ids, position_ids [batch, new] and attention_mask [batch, all], with
 * past_key_values.N.key and .value [batch, groups, past, size] -> logits [batch, new, words] and
 * present.N.key and .value [batch, groups, all, size], where all = past + new.
 */
export function decoder({ layers, width, inner, heads, groups, words }: DecoderSizes): Model {
  const graph = new Graph("decoder");
  const size = width / heads;
  const ids = graph.addInput("input_ids", "int64", ["batch", "new"]);
  const mask = graph.addInput("attention_mask", "int64", ["batch", "all"]);
  const places = graph.addInput("position_ids", "int64", ["batch", "new"]);
  const g = build(graph);
  const linear = (x: Value, from: number, to: number, name: string): Value => {
    const weight = graph.addConstant(`${name}.weight`, drawn([from, to], from ** -0.5));
    return build(graph, name).MatMul(x, weight);
  };
  /** x / sqrt(mean x^2 + epsilon), times a weight. */
  const norm = (x: Value, name: string): Value => {
    const b = build(graph, name);
    const mean = b.ReduceMean(b.Mul(x, x), b.ints([-1]), { keepdims: 1 });
    const root = b.Sqrt(b.Add(mean, b.constant(1e-5)));
    const ones = tensor("float32", [width], new Float32Array(width).fill(1));
    return b.Mul(b.Div(x, root), graph.addConstant(`${name}.weight`, ones));
  };
  // Rotary positions: the angle of pair i at position p is p / 10000^(2 i / size).
  const rates = Float32Array.from(
    { length: size },
    (_, i) => 1e4 ** ((-2 * (i % (size / 2))) / size),
  );
  const angles = g.Mul(
    g.Cast(g.Unsqueeze(places, g.ints([1, 3])), { to: float }),
    g.constant(rates),
  );
  const [cos, sin] = [g.Cos(angles), g.Sin(angles)];
  const turned = (x: Value): Value => {
    const [low, high] = g.many("Split", [x], {
      outputs: 2,
      attributes: { axis: -1, num_outputs: 2 },
    });
    return g.Add(g.Mul(x, cos), g.Mul(g.Concat(g.Neg(high), low, { axis: -1 }), sin));
  };
  // A token sees those at its own position and before, where the mask has a 1: [batch, 1, 1, new, all].
  const all = g.Shape(mask, { start: 1, end: 2 });
  const steps = g.Range(
    g.constant(0, { dtype: "int64" }),
    g.Squeeze(all),
    g.constant(1, { dtype: "int64" }),
  );
  const isEarlier = g.LessOrEqual(steps, g.Unsqueeze(places, g.ints([1, 2, 4])));
  const isSeen = g.And(isEarlier, g.Cast(g.Unsqueeze(mask, g.ints([1, 2, 3])), { to: 9 }));
  const hidden = g.Where(isSeen, g.constant(0), g.constant(-1e9));
  const table = graph.addConstant("embed_tokens.weight", drawn([words, width], 0.02));
  let x = build(graph, "embed_tokens").Gather(table, ids);
  const present: Value[] = [];
  for (let i = 0; i < layers; i++) {
    const name = (part: string): string => `layers.${i}.${part}`;
    const past = (part: string): Value =>
      graph.addInput(`past_key_values.${i}.${part}`, "float32", ["batch", groups, "past", size]);
    const h = norm(x, name("input_layernorm"));
    const split = (y: Value, count: number): Value =>
      g.Transpose(g.Reshape(y, g.ints([0, 0, count, size])), { perm: [0, 2, 1, 3] });
    const q = turned(split(linear(h, width, width, name("q_proj")), heads));
    const key = turned(split(linear(h, width, groups * size, name("k_proj")), groups));
    const value = split(linear(h, width, groups * size, name("v_proj")), groups);
    const keys = g.Concat(past("key"), key, { axis: 2 });
    const values = g.Concat(past("value"), value, { axis: 2 });
    for (const [part, own] of [
      ["key", keys],
      ["value", values],
    ] as const) {
      own.name = `present.${i}.${part}`;
      own.dtype = "float32";
      own.shape = ["batch", groups, "all", size];
      present.push(own);
    }
    // Heads that read the same keys are an axis of their own: [batch, groups, heads / groups, new, size].
    const grouped = g.Mul(
      g.Reshape(q, g.ints([0, groups, heads / groups, -1, size])),
      g.constant(size ** -0.5),
    );
    const across = g.Transpose(g.Unsqueeze(keys, g.ints([2])), { perm: [0, 1, 2, 4, 3] });
    const scores = g.Softmax(g.Add(g.MatMul(grouped, across), hidden), { axis: -1 });
    const mixed = g.MatMul(scores, g.Unsqueeze(values, g.ints([2])));
    const flat = g.Transpose(g.Reshape(mixed, g.ints([0, heads, -1, size])), {
      perm: [0, 2, 1, 3],
    });
    const out = linear(g.Reshape(flat, g.ints([0, 0, width])), width, width, name("o_proj"));
    x = g.Add(x, out);
    const y = norm(x, name("post_attention_layernorm"));
    const gate = linear(y, width, inner, name("gate_proj"));
    const up = linear(y, width, inner, name("up_proj"));
    x = g.Add(x, linear(g.Mul(g.Mul(gate, g.Sigmoid(gate)), up), inner, width, name("down_proj")));
  }
  const logits = linear(norm(x, "norm"), width, words, "lm_head");
  logits.name = "logits";
  logits.dtype = "float32";
  logits.shape = ["batch", "new", words];
  graph.setOutputs([logits, ...present]);
  const model = createModel(graph, 21);
  inferModel(model);
  return model;
}
