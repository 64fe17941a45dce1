/** @file A vision transformer: pictures -> the scores of classes. */
import { z } from "zod";
import { defineTransformer } from "./net.ts";
import { size } from "./options.ts";

export const vit = defineTransformer({
  title: "vision transformer",
  cite: "Dosovitskiy et al. 2021, arXiv 2010.11929",
  options: z.object({
    ...{ width: size(128), layers: size(2), heads: size(4), inner: size(512) },
    ...{ side: size(64), patch: size(8), classes: size(10) },
  }),
  models: {
    model(blocks, { width, layers, heads, inner, side, patch, classes }) {
      const { graph, nodesOf, norm, gelu, add } = blocks;
      const dims = ["batch_size", 3, side, side];
      const pixels = graph.addInput("pixel_values", "float32", dims);
      const g = nodesOf("embeddings");
      const spread = 1 / Math.sqrt(3 * patch * patch);
      const filters = blocks.drawn("embeddings.patch.weight", [width, 3, patch, patch], spread);
      const map = g.Conv(pixels, filters, blocks.drawn("embeddings.patch.bias", [width], 0.02), {
        ...{ kernel_shape: [patch, patch], strides: [patch, patch] },
      });
      const patches = g.Transpose(g.Reshape(map, g.ints([0, width, -1])), { perm: [0, 2, 1] });
      const token = blocks.drawn("embeddings.cls_token", [1, 1, width], 0.5);
      const batch = g.Shape(pixels, { start: 0, end: 1 });
      const first = g.Expand(token, g.Concat(batch, g.ints([1, width]), { axis: 0 }));
      const places = (side / patch) ** 2 + 1;
      const positions = blocks.drawn("embeddings.positions", [1, places, width], 0.2);
      let x = g.Add(g.Concat(first, patches, { axis: 1 }), positions);
      const sizes = { width, heads };
      for (let i = 0; i < layers; i++) {
        const name = `encoder.layer.${i}`;
        const h = norm(x, width, `${name}.norm1`);
        const query = blocks.queries(h, sizes, `${name}.attention`);
        const keys = blocks.keysValues(h, sizes, `${name}.attention`);
        x = add(x, blocks.attend(query, keys, null, sizes, `${name}.attention`), `${name}.add1`);
        const more = gelu(norm(x, width, `${name}.norm2`), [width, inner], `${name}.mlp`);
        x = add(x, more, `${name}.add2`);
      }
      const ends = nodesOf("pooler");
      const zero = ends.constant([0], { dtype: "int64", shape: [], name: "first" });
      const pooled = ends.Gather(norm(x, width, "norm"), zero, { axis: 1 });
      const logits = blocks.linear(pooled, [width, classes], "classifier");
      graph.setOutputs([Object.assign(logits, { name: "logits" })]);
    },
  },
  files({ width, layers, heads, inner, side, patch, classes }) {
    const names = Array.from({ length: classes }, (_, i) => `class ${i}`);
    return {
      "config.json": {
        architectures: ["ViTForImageClassification"],
        model_type: "vit",
        hidden_size: width,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        intermediate_size: inner,
        image_size: side,
        patch_size: patch,
        num_channels: 3,
        id2label: { ...names },
        label2id: Object.fromEntries(names.map((name, i) => [name, i])),
      },
      "preprocessor_config.json": {
        image_processor_type: "ViTImageProcessor",
        ...{ do_resize: true, size: { height: side, width: side }, resample: 2 },
        ...{ do_rescale: true, rescale_factor: 1 / 255 },
        ...{ do_normalize: true, image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] },
      },
    };
  },
});
