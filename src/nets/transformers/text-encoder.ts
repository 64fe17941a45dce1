/** @file A text encoder like BERT: words -> vectors, or the scores of classes. */
import { z } from "zod";
import { defineTransformer } from "./net.ts";
import { size } from "./options.ts";
import { wordTokenizer } from "./tokenizer.ts";

export const textEncoder = defineTransformer({
  title: "text encoder",
  cite: "Devlin et al. 2019, arXiv 1810.04805",
  options: z.object({
    ...{ words: size(2000, 20_000), width: size(128), layers: size(2), heads: size(4) },
    inner: size(512),
    positions: size(128),
    classes: z.int().min(0).default(0).meta({ description: "0: vectors of words, not classes." }),
  }),
  models: {
    model(blocks, { words, width, layers, heads, inner, positions, classes }) {
      const { graph, nodesOf, embed, norm, gelu, add } = blocks;
      const [ids, mask, types] = ["input_ids", "attention_mask", "token_type_ids"].map((name) =>
        graph.addInput(name, "int64", ["batch_size", "sequence_length"]),
      );
      const g = nodesOf("embeddings");
      const table = blocks.drawn("embeddings.positions.weight", [positions, width], 0.1);
      const ends = g.Shape(ids, { start: 1, end: 2 });
      const place = g.Slice(table, g.ints([0]), ends, g.ints([0]));
      const word = embed(ids, [words, width], "embeddings.words");
      const type = embed(types, [2, width], "embeddings.types");
      let x = norm(g.Add(g.Add(word, type), place), width, "embeddings.norm");
      const hidden = blocks.padding(mask);
      const sizes = { width, heads };
      for (let i = 0; i < layers; i++) {
        const name = `encoder.layer.${i}`;
        const query = blocks.queries(x, sizes, `${name}.attention`);
        const keys = blocks.keysValues(x, sizes, `${name}.attention`);
        const mixed = blocks.attend(query, keys, hidden, sizes, `${name}.attention`);
        x = norm(add(x, mixed, `${name}.add1`), width, `${name}.norm1`);
        const more = gelu(x, [width, inner], `${name}.mlp`);
        x = norm(add(x, more, `${name}.add2`), width, `${name}.norm2`);
      }
      if (classes === 0) {
        graph.setOutputs([Object.assign(x, { name: "last_hidden_state" })]);
        return;
      }
      const pooler = nodesOf("pooler");
      const zero = pooler.constant([0], { dtype: "int64", shape: [], name: "first" });
      const first = pooler.Gather(x, zero, { axis: 1 });
      const pooled = pooler.Tanh(blocks.linear(first, [width, width], "pooler.dense"));
      const logits = blocks.linear(pooled, [width, classes], "classifier");
      graph.setOutputs([Object.assign(logits, { name: "logits" })]);
    },
  },
  files({ words, width, layers, heads, inner, positions, classes }) {
    const names = Array.from({ length: classes }, (_, i) => `class ${i}`);
    return {
      "config.json": {
        architectures: [classes > 0 ? "BertForSequenceClassification" : "BertModel"],
        model_type: "bert",
        hidden_size: width,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        intermediate_size: inner,
        max_position_embeddings: positions,
        vocab_size: words,
        type_vocab_size: 2,
        ...(classes > 0 && { id2label: { ...names }, label2id: indexOf(names) }),
      },
      ...wordTokenizer({ words, frame: ["[CLS]", "[SEP]"], length: positions }),
    };
  },
});

const indexOf = (names: readonly string[]) => Object.fromEntries(names.map((name, i) => [name, i]));
