/** @file Weight-only quantization: the file has integers and scales, kernels compute in float. */
import { z } from "zod";
import { build } from "../../ops/builder.ts";
import { linearOf, whyNotRight } from "../../ops/linear.ts";
import { gridOptions } from "../../rounding/options.ts";
import { pays, type TargetDevice } from "../../targets/target.ts";
import { transposed } from "../../weights/elements.ts";
import { leafOf } from "../../weights/form.ts";
import { roundToGrid } from "../../weights/forms/grid.ts";
import { rescueOptions, siteOptions } from "../../weights/select.ts";
import { blockAxisOf, storeWeight, type ThetaSite, thetasOf } from "../../weights/sites.ts";
import type { Composed, Whole } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

/**
 * W ~ s q with q = round(W / s) of `bits` bits, symmetric, one s per output channel or per block of
 * inputs. Unlike int8 methods this leaves activations in float.
 */
export const quantizeWeights = defineMethod({
  title: "weight-only quantization",
  equation: "W ~ s q, q = round(W / s) of few bits, s per output channel or block",
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
    block: gridOptions.block,
    scale: z
      .enum(["minmax", "mse"])
      .default("mse")
      .meta({
        description: "Scale from the largest weight, or the one with the least squared error.",
        search: ["mse"],
      }),
    kernel: z.enum(["float", "integer", "auto"]).default("float").meta({
      description:
        "float: unpacked once at load. integer: DequantizeLinear stays, ONNX Runtime uses its n-bit MatMul (fast on native CPUs for batch 1, slow in WebAssembly). auto: integer where that is fast on the target (--on).",
    }),
    ...siteOptions,
    ...rescueOptions,
  }),
  survey: [{ bits: 8 }, { bits: 4 }],
  neutral: null,
  async apply(model, { bits, block, scale, kernel, ...selection }, context) {
    const sites = thetasOf(model, selection, context);
    const missing = missingKernel(bits, block, context.target);
    if (missing && kernel === "integer") context.warn(`${missing}: weights are unpacked at load`);
    for (const [i, site] of sites.entries()) {
      await context.progress(i, sites.length);
      const { node, weight } = site;
      const along = blockAxisOf(site);
      const inputs = weight.shape[along];
      // A block larger than all inputs would be an output channel of a matrix.
      const isBlocked = block > 0 && block <= inputs;
      const isFused = kernel !== "float" && !missing && isProduct(site);
      const isRagged = isBlocked && inputs % block > 0;
      if (isFused && isRagged) {
        context.warn(
          `${node.name}: ${inputs} inputs are no multiple of ${block}: unpacked at load`,
        );
      }
      const grid = roundToGrid(weight.values, weight.shape, {
        bits,
        block: isBlocked ? block : 0,
        axis: isBlocked ? along : site.channels,
        search: scale,
      });
      if (isFused && !isRagged) storeDequantized(site, grid);
      else storeWeight(site, grid);
    }
  },
});

/**
 * Why ONNX Runtime 1.30 would not run its n-bit MatMul on such weights, or not fast; null if it
 * would.
 */
function missingKernel(bits: number, block: number, target: TargetDevice): string | null {
  if (bits !== 4 && bits !== 8) return `there is no ${bits}-bit MatMul`;
  if (block !== 0 && ![16, 32, 64, 128, 256].includes(block)) {
    return `there is no n-bit MatMul for blocks of ${block}`;
  }
  const kernel = bits === 4 ? "weights-4" : "weights-8";
  return pays(target, kernel) ? null : `the n-bit MatMul is slow on ${target.id}`;
}

/** Whether the layer is x W and the only reader of its weight. */
function isProduct({ node, value, weight, part }: ThetaSite): boolean {
  const { shape } = weight;
  if (part || shape.length !== 2 || value.uses.size !== 1 || node.inputs[1] !== value) return false;
  return linearOf(node)?.kind === "product" && whyNotRight({ node, index: 1 }) === null;
}

/**
 * Stores integers -> DequantizeLinear, which ONNX Runtime fuses with a MatMul x W to MatMulNBits.
 */
function storeDequantized({ value, node }: ThetaSite, grid: Composed): void {
  const isTurned = linearOf(node)?.turned[1] ?? false;
  const weight = isTurned ? (transposed(grid) ?? grid) : grid;
  const { shape } = weight;
  const levels = leafOf<Int8Array>(weight, "levels");
  const scale = leafOf<Float32Array>(weight, "scale");
  const { bits } = levels.coding as Whole;
  // If an axis is split into blocks, the scale has a 1 in the place of their size.
  const axis =
    levels.shape.length > shape.length
      ? levels.shape.findIndex((dim, i) => dim !== shape[i])
      : scale.shape.findIndex((dim) => dim > 1);
  const block = levels.shape.length > shape.length ? levels.shape[axis + 1] : null;
  const dims = block ? scale.shape.toSpliced(axis + 1, 1) : [shape[axis]];
  const g = build(value.graph);
  const stored = g.constant(levels.values, {
    dtype: bits === 4 ? "int4" : "int8",
    shape,
    name: "levels",
  });
  const steps = g.constant(scale.values, { shape: dims, name: "scale" });
  const attributes = block ? { axis, block_size: block } : { axis };
  node.setInput(1, g.DequantizeLinear(stored, steps, attributes));
  if (isTurned) node.set("transB", null);
  if (value.tensor) value.graph.removeConstant(value);
}
