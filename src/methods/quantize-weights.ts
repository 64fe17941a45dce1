/** @file Weight-only quantization: integers and scales in the file, float arithmetic at run time. */
import { z } from "zod";
import { quantizeBlocks, quantizeChannels } from "../numeric/quantize.ts";
import { build } from "../ops/builder.ts";
import type { Grid } from "../weights/form.ts";
import { defineMethod } from "./method.ts";
import { type Site, siteOptions, sitesOf, storeWeight } from "./sites.ts";

export const quantizeWeights = defineMethod({
  title: "weight-only quantization",
  family: "quantization",
  cite: "Krishnamoorthi 2018, arXiv 1806.08342, section 3; Dettmers et al. 2022, arXiv 2208.07339",
  summary: "Rounds weights to a few bits per channel or block; activations stay float32.",
  needs: [],
  options: z.object({
    bits: z
      .int()
      .min(2)
      .max(8)
      .default(8)
      .meta({
        description: "Bits per weight.",
        search: [8, 6, 4, 3],
      }),
    block: z
      .int()
      .min(0)
      .max(1024)
      .default(0)
      .meta({
        description:
          "Weights per scale along the input axis; 0 gives one scale per output channel.",
        search: [0, 32, 128],
      }),
    scale: z
      .enum(["minmax", "mse"])
      .default("mse")
      .meta({
        description: "Scale from the largest weight, or the one with the least squared error.",
        search: ["mse"],
      }),
    kernel: z.enum(["float", "integer"]).default("float").meta({
      description:
        "float: unpacked once at load. integer: DequantizeLinear stays, ONNX Runtime uses its n-bit MatMul (fast on native CPUs for batch 1, never in a browser).",
    }),
    ...siteOptions,
  }),
  survey: [{ bits: 8 }, { bits: 4 }],
  neutral: null,
  async apply(model, { bits, block, scale, kernel, only, except }, context) {
    const sites = sitesOf(model, { only, except }, context);
    for (const [i, site] of sites.entries()) {
      await context.progress(i, sites.length);
      const { role, weight, node } = site;
      const { shape, values } = weight;
      let grid: Grid;
      if (block > 0 && shape[role.inputAxis] % block === 0) {
        const axis = role.inputAxis;
        const { q, scales } = quantizeBlocks(values, shape, axis, block, {
          bits,
          symmetric: true,
          search: scale,
        });
        grid = { kind: "grid", bits, q, scale: scales, axis, block };
      } else {
        if (block > 0) {
          context.skip(
            node.name,
            `its ${shape[role.inputAxis]} inputs are no multiple of ${block}: one scale per channel`,
          );
        }
        const axis = role.outputAxis;
        const { q, scales } = quantizeChannels(values, shape, axis, {
          bits,
          symmetric: true,
          search: scale,
        });
        grid = { kind: "grid", bits, q, scale: scales, axis, block: null };
      }
      if (kernel === "integer" && (bits === 4 || bits === 8) && role.kind === "linear") {
        storeDequantized(site, grid);
      } else storeWeight(site, grid);
    }
  },
});

/** DequantizeLinear -> MatMul is what ONNX Runtime turns into MatMulNBits (ENGINE 1.3). */
function storeDequantized({ value, weight, node }: Site, grid: Grid): void {
  const g = build(value.graph, value.name || node.name);
  const { shape } = weight;
  const { axis, block, bits } = grid;
  const levels = g.constant(grid.q, { dtype: bits === 4 ? "int4" : "int8", shape, name: "levels" });
  const dims =
    axis === null
      ? []
      : block === null
        ? [shape[axis]]
        : shape.map((dim, i) => (i === axis ? dim / block : dim));
  const scale = g.constant(grid.scale, { shape: dims, name: "scale" });
  const attributes = {
    ...(axis === null ? {} : { axis }),
    ...(block ? { block_size: block } : {}),
  };
  value.graph.replace(value, g.DequantizeLinear(levels, scale, attributes));
  if (value.tensor) value.graph.removeConstant(value);
}
