/** @file Weight-only quantization: the file has integers and scales, kernels compute in float. */
import { z } from "zod";
import { isProduct, missingKernel, storeDequantized } from "../../layers/n-bit.ts";
import { gridOptions } from "../../rounding/options.ts";
import { roundToGrid } from "../../weights/forms/grid.ts";
import { rescueOptions, siteOptions } from "../../weights/select.ts";
import { blockAxisOf, storeWeight, thetasOf } from "../../weights/sites.ts";
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
