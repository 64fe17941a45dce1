/** @file Embedding tables in 8 bits or less, whose rows are looked up before they become floats. */
import { z } from "zod";
import { roundRows } from "../../int8/store-table.ts";
import type { Model } from "../../ir/model.ts";
import { quantizeBlocks } from "../../numeric/quantize.ts";
import { build } from "../../ops/builder.ts";
import type { WeightUse } from "../../ops/weights.ts";
import { pays, type TargetDevice } from "../../targets/target.ts";
import { elementsOf } from "../../weights/elements.ts";
import { isSparse } from "../../weights/layout.ts";
import { hasRows, rowReaders, storeRows, whyNotRows } from "../../weights/look-up.ts";
import { storedType } from "../../weights/read.ts";
import { siteOptions } from "../../weights/select.ts";
import { tablesOf } from "../../weights/sites.ts";
import type { FloatWeight } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

const options = z.object({
  bits: z
    .int()
    .min(2)
    .max(8)
    .default(8)
    .meta({ description: "Bits per number; the file has 2, 4 or 8.", search: [8, 4, 2] }),
  block: z
    .int()
    .min(0)
    .max(4096)
    .default(0)
    .meta({ description: "Numbers of a row per scale; 0: one scale per row.", search: [0, 32] }),
  symmetric: z.boolean().default(true).meta({
    description: "Levels on both sides of 0; false: with a zero point beside each scale.",
  }),
  scale: z.enum(["minmax", "mse"]).default("mse").meta({
    description: "Scale from the largest number, or the one with the least squared error.",
  }),
  kernel: z.enum(["float", "integer"]).default("float").meta({
    description:
      "float: standard operators, in any engine. integer: GatherBlockQuantized of ONNX Runtime (4 or 8 bits, native).",
  }),
  ...siteOptions,
});

type Options = z.output<typeof options>;

/**
 * Row i of a table E [vocabulary, features] is s_i q_i, with q_i = round(E_i / s_i) of `bits` bits.
 * A look-up gathers q_i and s_i and multiplies these. A table that an earlier step has stored on a
 * grid or with a codebook keeps its numbers, and is looked up in the same way.
 */
export const quantizeEmbeddings = defineMethod({
  title: "quantized embeddings",
  equation: "E_i = s_i q_i for row i of a table, q_i = round(E_i / s_i)",
  cite: "Guan et al. 2019, arXiv 1911.02079 (uniform quantization by rows)",
  summary: "Embedding tables in a few bits per number, small in the file and in memory.",
  needs: [],
  options,
  survey: [{}, { bits: 4 }],
  neutral: null,
  async apply(model, options, context) {
    const tables = tablesOf(model, options, context);
    await context.progress(0, tables.length);
    const missing = options.kernel === "integer" ? missingKernel(options, context.target) : null;
    if (missing) context.warn(`${missing}: tables are looked up by standard operators`);
    for (const [i, table] of tables.entries()) {
      if (i > 0) await context.progress(i, tables.length);
      const { node, value, weight } = table;
      const reason = whyNotRows(table) ?? whyNotStored(weight, options);
      if (reason) {
        context.skip(node.name, reason);
        continue;
      }
      const isTied = rowReaders(value).length < value.uses.size;
      if (options.kernel === "integer" && !missing && !isTied && !weight.form) {
        storeBlockQuantized(model, table, weight, options);
      } else
        storeRows(
          table,
          weight.form ? weight : roundRows(weight, { ...options, search: options.scale }),
        );
    }
  },
});

/** Why the table is not stored in levels that can be looked up; null if it can be. */
function whyNotStored(weight: FloatWeight, { block, bits, symmetric }: Options): string | null {
  const [, features] = weight.shape;
  if (weight.form) {
    const at = elementsOf(weight)?.at;
    if (!at || !hasRows(weight))
      return `is stored as ${weight.form.kind}, which has no rows of its own`;
    const isPacked = isSparse(at) || storedType(at) === null;
    return isPacked
      ? `is stored as ${weight.form.kind} in fewer bits than bytes can look up`
      : null;
  }
  const perScale = block > 0 ? Math.min(block, features) : features;
  const coded = (bits > 4 ? 8 : bits > 2 ? 4 : 2) + (symmetric ? 32 : 48) / perScale;
  return coded < 32 ? null : `has only ${features} numbers a row, too few for a scale`;
}

/** Why ONNX Runtime 1.30 has no kernel for such rows; null if it has one. */
function missingKernel({ bits, symmetric, block }: Options, target: TargetDevice): string | null {
  if (target.engine === "web" && !pays(target, "rows-4")) {
    return `quantized look-ups are slow on ${target.id}`;
  }
  if (bits !== 4 && bits !== 8) return `there is no ${bits}-bit kernel`;
  if (!symmetric) return "zero points have no kernel here";
  const isPower = block === 0 || (block >= 16 && (block & (block - 1)) === 0);
  return isPower ? null : `there is no kernel for blocks of ${block}`;
}

/** GatherBlockQuantized: levels [vocabulary, features], scales [vocabulary, blocks]. */
function storeBlockQuantized(
  model: Model,
  { value, node }: WeightUse,
  { values, shape }: FloatWeight,
  { bits, block, scale: search }: Options,
): void {
  const [rows, features] = shape;
  // A block may be longer than a row, so that the row has one scale.
  const least = 2 ** (32 - Math.clz32(features - 1));
  const size = block || Math.max(16, least);
  const { q, scales } = quantizeBlocks(values, shape, 1, size, { bits, symmetric: true, search });
  const g = build(value.graph, value.name || node.name);
  const levels =
    bits === 4
      ? g.constant(q, { dtype: "int4", shape, name: "levels" })
      : g.constant(
          Uint8Array.from(q, (x) => x + 128),
          { dtype: "uint8", shape, name: "levels" },
        );
  const steps = g.constant(scales, { shape: [rows, Math.ceil(features / size)], name: "scale" });
  const attributes = { bits, block_size: size, gather_axis: 0, quantize_axis: 1 };
  for (const reader of rowReaders(value)) {
    const [found] = build(reader.graph, reader.name).many(
      "GatherBlockQuantized",
      [levels, reader.inputs[1], steps],
      { outputs: 1, domain: "com.microsoft", attributes },
    );
    if (!reader.output.isOutput) found.name = reader.output.name;
    reader.graph.replace(reader.output, found);
    reader.graph.remove(reader);
  }
  model.domains.set("com.microsoft", 1);
  value.graph.removeConstant(value);
}
