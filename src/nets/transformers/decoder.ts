/** @file A decoder like Llama, with a cache of keys and values: words -> scores of the next word. */
import { z } from "zod";
import type { Value } from "../../ir/graph.ts";
import type { Blocks } from "./blocks.ts";
import { defineTransformer } from "./net.ts";
import { size } from "./options.ts";
import { wordTokenizer } from "./tokenizer.ts";

/** The base of the angles (Su et al. 2021, arXiv 2104.09864). */
const THETA = 10_000;

export const decoder = defineTransformer({
  title: "decoder with a cache",
  cite: "Touvron et al. 2023, arXiv 2302.13971; Ainslie et al. 2023, arXiv 2305.13245 (shared keys)",
  options: z.object({
    ...{ words: size(2000, 20_000), width: size(128), layers: size(2), heads: size(4) },
    ...{ keyHeads: size(2), inner: size(384), positions: size(256) },
  }),
  models: {
    model(blocks, { words, width, layers, heads, keyHeads, inner, positions }) {
      const { graph, rmsNorm, swiglu, add } = blocks;
      const ids = graph.addInput("input_ids", "int64", ["batch_size", "sequence_length"]);
      const mask = graph.addInput("attention_mask", "int64", [
        "batch_size",
        "past_sequence_length + sequence_length",
      ]);
      const places = graph.addInput("position_ids", "int64", ["batch_size", "sequence_length"]);
      const sizes = { width, heads, keyHeads, bias: false };
      const rotate = rotation(blocks, places, width / heads, positions);
      const hidden = blocks.padding(mask);
      let x = blocks.embed(ids, [words, width], "embed_tokens");
      let bias: Value | null = null;
      const caches = Array.from({ length: layers }, (_, i) =>
        blocks.past(`${i}`, ["batch_size", keyHeads, "past_sequence_length", width / heads]),
      );
      const outputs: Value[] = [];
      for (let i = 0; i < layers; i++) {
        const name = `layers.${i}`;
        const h = rmsNorm(x, width, `${name}.input_norm`);
        const query = rotate(blocks.queries(h, sizes, `${name}.self_attn`), `${name}.rotate_q`);
        const { key, value } = blocks.keysValues(h, sizes, `${name}.self_attn`);
        const turned = { key: rotate(key, `${name}.rotate_k`), value };
        const all = blocks.after(caches[i], turned, `${i}`);
        outputs.push(all.key, all.value);
        bias ??= add(hidden, blocks.causal(ids, all.key), "mask.add");
        x = add(x, blocks.attend(query, all, bias, sizes, `${name}.self_attn`), `${name}.add1`);
        const more = swiglu(rmsNorm(x, width, `${name}.post_norm`), [width, inner], `${name}.mlp`);
        x = add(x, more, `${name}.add2`);
      }
      const last = rmsNorm(x, width, "norm");
      const logits = blocks.linear(last, [width, words], "lm_head", { bias: false, spread: 2 });
      graph.setOutputs([Object.assign(logits, { name: "logits" }), ...outputs]);
    },
  },
  files: ({ words, width, layers, heads, keyHeads, inner, positions }) => ({
    "config.json": {
      architectures: ["LlamaForCausalLM"],
      model_type: "llama",
      hidden_size: width,
      intermediate_size: inner,
      num_hidden_layers: layers,
      num_attention_heads: heads,
      num_key_value_heads: keyHeads,
      max_position_embeddings: positions,
      rope_theta: THETA,
      vocab_size: words,
      ...ends,
    },
    "generation_config.json": { ...ends, do_sample: false },
    ...wordTokenizer({
      words,
      frame: ["<s>"],
      length: positions,
      special: ["<pad>", "<unk>", "<s>", "</s>"],
      ...{ unknown: "<unk>", padding: "<pad>", className: "PreTrainedTokenizer" },
    }),
  }),
});

const ends = { pad_token_id: 0, bos_token_id: 2, eos_token_id: 3 };

/**
 * Turns each pair (x_i, x_{i + size / 2}) of a head by the angle position / THETA^(2 i / size), as the
 * Llama of the library transformers does: x cos + (-x2, x1) sin.
 */
function rotation(
  { nodesOf }: Blocks,
  places: Value,
  size: number,
  positions: number,
): (x: Value, name: string) => Value {
  const table = (f: (angle: number) => number): Float32Array =>
    Float32Array.from({ length: positions * size }, (_, at) => {
      const [place, i] = [Math.floor(at / size), at % (size / 2)];
      return f(place / THETA ** ((2 * i) / size));
    });
  const g = nodesOf("rotary");
  const rows = (name: string, f: (angle: number) => number): Value => {
    const values = g.constant(table(f), { shape: [positions, size], name });
    return g.Unsqueeze(g.Gather(values, places), g.ints([1]));
  };
  const [cos, sin] = [rows("cos", Math.cos), rows("sin", Math.sin)];
  return (x, name) => {
    const g = nodesOf(name);
    const [low, high] = g.many("Split", [x], {
      outputs: 2,
      attributes: { axis: -1, num_outputs: 2 },
    });
    const turned = g.Concat(g.Neg(high), low, { axis: -1 });
    return g.Add(g.Mul(x, cos), g.Mul(turned, sin));
  };
}
