/** @file Speech to words like Whisper: an encoder of mel spectrograms and a decoder with a cache. */
import { z } from "zod";
import { Graph, type Value } from "../../ir/graph.ts";
import { type Blocks, type Heads, type KeysValues, present } from "./blocks.ts";
import { defineTransformer } from "./net.ts";
import { size } from "./options.ts";
import { madeUp, wordTokenizer } from "./tokenizer.ts";

const MELS = 80;
/** Samples a second, and samples from one frame of the spectrogram to the next. */
const [RATE, HOP] = [16_000, 160];

export const speech = defineTransformer({
  title: "speech to text",
  cite: "Radford et al. 2023, arXiv 2212.04356",
  options: z.object({
    ...{ words: size(1000, 20_000), width: size(128), layers: size(2), heads: size(4) },
    ...{ inner: size(512), seconds: size(2, 30), positions: size(64) },
  }),
  models: {
    encoder_model(blocks, { width, layers, heads, inner, seconds }) {
      const { graph, nodesOf, norm, gelu, add } = blocks;
      const frames = (seconds * RATE) / HOP;
      const dims = ["batch_size", MELS, frames];
      const features = graph.addInput("input_features", "float32", dims);
      const conv = (x: Value, channels: number, stride: number, name: string): Value => {
        const g = nodesOf(name);
        const spread = 1 / Math.sqrt(3 * channels);
        const weight = blocks.drawn(`${name}.weight`, [width, channels, 3], spread);
        const bias = blocks.drawn(`${name}.bias`, [width], 0.02);
        const shape = { kernel_shape: [3], strides: [stride], pads: [1, 1] };
        return g.Gelu(g.Conv(x, weight, bias, shape));
      };
      const g = nodesOf("embeddings");
      const map = conv(conv(features, MELS, 1, "conv1"), width, 2, "conv2");
      const places = blocks.drawn("embed_positions.weight", [frames / 2, width], 0.2);
      let x = g.Add(g.Transpose(map, { perm: [0, 2, 1] }), places);
      const sizes = { width, heads };
      for (let i = 0; i < layers; i++) {
        const name = `layers.${i}`;
        const h = norm(x, width, `${name}.norm1`);
        const query = blocks.queries(h, sizes, `${name}.self_attn`);
        const keys = blocks.keysValues(h, sizes, `${name}.self_attn`);
        x = add(x, blocks.attend(query, keys, null, sizes, `${name}.self_attn`), `${name}.add1`);
        const more = gelu(norm(x, width, `${name}.norm2`), [width, inner], `${name}.mlp`);
        x = add(x, more, `${name}.add2`);
      }
      const states = norm(x, width, "layer_norm");
      graph.setOutputs([Object.assign(states, { name: "last_hidden_state" })]);
    },
    decoder_model_merged(blocks, { words, width, layers, heads, inner, seconds, positions }) {
      const { graph, norm, gelu, add } = blocks;
      const ids = graph.addInput("input_ids", "int64", ["batch_size", "decoder_sequence_length"]);
      const frames = (seconds * RATE) / HOP / 2;
      const dims = ["batch_size", frames, width];
      const states = graph.addInput("encoder_hidden_states", "float32", dims);
      const isLater = graph.addInput("use_cache_branch", "bool", [1]);
      const sizes = { width, heads };
      const size = width / heads;
      const ofDecoder = ["batch_size", heads, "past_decoder_sequence_length", size];
      const ofEncoder = ["batch_size", heads, "encoder_sequence_length_out", size];
      const caches = Array.from({ length: layers }, (_, i) => ({
        own: blocks.past(`${i}.decoder`, ofDecoder),
        heard: blocks.past(`${i}.encoder`, ofEncoder),
      }));
      const outputs: Value[] = [];
      const embedded = blocks.embed(ids, [words, width], "embed_tokens");
      let x = add(embedded, placed(blocks, ids, caches[0].own.key, [positions, width]), "add");
      let bias: Value | null = null;
      for (const [i, cache] of caches.entries()) {
        const name = `layers.${i}`;
        const h = norm(x, width, `${name}.norm1`);
        const query = blocks.queries(h, sizes, `${name}.self_attn`);
        const now = blocks.keysValues(h, sizes, `${name}.self_attn`);
        const all = blocks.after(cache.own, now, `${i}.decoder`);
        bias ??= blocks.causal(ids, all.key);
        const own = blocks.attend(query, all, bias, sizes, `${name}.self_attn`);
        x = add(x, own, `${name}.add1`);
        const cross = `${name}.encoder_attn`;
        const asked = blocks.queries(norm(x, width, `${name}.norm2`), sizes, cross);
        const heard = ofStates(blocks, states, {
          isLater,
          cached: cache.heard,
          sizes,
          name: cross,
        });
        present(heard, `${i}.encoder`);
        outputs.push(all.key, all.value, heard.key, heard.value);
        x = add(x, blocks.attend(asked, heard, null, sizes, cross), `${name}.add2`);
        const more = gelu(norm(x, width, `${name}.norm3`), [width, inner], `${name}.mlp`);
        x = add(x, more, `${name}.add3`);
      }
      const last = norm(x, width, "layer_norm");
      const logits = blocks.linear(last, [width, words], "proj_out", { bias: false, spread: 2 });
      graph.setOutputs([Object.assign(logits, { name: "logits" }), ...outputs]);
    },
  },
  files({ words, width, layers, heads, inner, seconds, positions }) {
    // Special words come last, as Whisper's do: what follows <|notimestamps|> would be times.
    const all = [...madeUp(words - special.length), ...special];
    const [end, , begin, silent] = special.map((word) => all.indexOf(word));
    const ends = { pad_token_id: end, bos_token_id: end, eos_token_id: end };
    const start = { decoder_start_token_id: begin };
    return {
      "config.json": {
        architectures: ["WhisperForConditionalGeneration"],
        model_type: "whisper",
        is_encoder_decoder: true,
        d_model: width,
        encoder_layers: layers,
        decoder_layers: layers,
        encoder_attention_heads: heads,
        decoder_attention_heads: heads,
        encoder_ffn_dim: inner,
        decoder_ffn_dim: inner,
        num_mel_bins: MELS,
        max_source_positions: (seconds * RATE) / HOP / 2,
        max_target_positions: positions,
        vocab_size: words,
        ...{ ...ends, ...start },
      },
      "generation_config.json": {
        ...{ ...ends, ...start },
        max_length: positions,
        is_multilingual: false,
        no_timestamps_token_id: silent,
      },
      "preprocessor_config.json": {
        feature_extractor_type: "WhisperFeatureExtractor",
        processor_class: "WhisperProcessor",
        feature_size: MELS,
        chunk_length: seconds,
        hop_length: HOP,
        n_fft: 400,
        n_samples: seconds * RATE,
        nb_max_frames: (seconds * RATE) / HOP,
        sampling_rate: RATE,
        padding_value: 0,
      },
      ...wordTokenizer({
        words: all,
        frame: ["<|startoftranscript|>", "<|endoftext|>"],
        length: positions,
        special,
        ...{ unknown: "<|unk|>", padding: "<|endoftext|>", className: "WhisperTokenizer" },
      }),
    };
  },
});

const special = ["<|endoftext|>", "<|unk|>", "<|startoftranscript|>", "<|notimestamps|>"];

/** Rows of the table of positions for `ids`, which follow the words in the cache. */
function placed(
  { nodesOf, drawn }: Blocks,
  ids: Value,
  cache: Value,
  shape: readonly [number, number],
): Value {
  const g = nodesOf("positions");
  const start = g.Shape(cache, { start: 2, end: 3 });
  const end = g.Add(start, g.Shape(ids, { start: 1, end: 2 }));
  return g.Slice(drawn("embed_positions.weight", shape, 0.2), start, end, g.ints([0]));
}

/**
 * Keys and values of what the encoder heard: computed for the first word, and taken from the cache
 * for later ones, as in the merged decoders that the library optimum exports.
 */
function ofStates(
  { nodesOf, keysValues }: Blocks,
  states: Value,
  about: {
    readonly isLater: Value;
    readonly cached: KeysValues;
    readonly sizes: Heads;
    readonly name: string;
  },
): KeysValues {
  const { isLater, cached, sizes, name } = about;
  const later = new Graph(`${name}.later`);
  const g = nodesOf(`${name}.later`, later);
  later.setOutputs([g.Identity(cached.key), g.Identity(cached.value)]);
  const first = new Graph(`${name}.first`);
  const { key, value } = keysValues(states, sizes, name, first);
  first.setOutputs([key, value]);
  const attributes = { then_branch: later, else_branch: first };
  const [k, v] = nodesOf(`${name}.cache`).many("If", [isLater], { outputs: 2, attributes });
  return { key: k, value: v };
}
