/** @file GPTQ: rounding column by column, with the error carried on to the columns to come. */
import { z } from "zod";
import { roundByHessian } from "../../rounding/by-layer.ts";
import { gridOptions, hessianOptions, siteOptions } from "../../rounding/options.ts";
import { propagate } from "../../rounding/propagate.ts";
import { defineMethod } from "../method.ts";

/** See rounding/propagate.ts for the equations. */
export const quantizeGptq = defineMethod({
  title: "GPTQ",
  equation: "e_j = (w_j - v) / U_jj, w_k -= e_j U_jk for k > j; H^-1 = U^T U, H = E[x x^T]",
  cite: "Frantar et al. 2022, arXiv 2210.17323, algorithm 1",
  summary: "Rounds weights column by column; later columns make up for the error of earlier ones.",
  needs: ["calibration"],
  options: z.object({
    ...gridOptions,
    order: z.enum(["activations", "natural"]).default("activations").meta({
      description:
        "Columns with the largest inputs first, which needs one scale per row, or from first to last.",
    }),
    passes: z
      .int()
      .min(0)
      .max(100)
      .default(4)
      .meta({ description: "Passes of coordinate descent after it; 0: GPTQ alone." }),
    ...hessianOptions,
    ...siteOptions,
  }),
  survey: [{}, { bits: 3 }],
  neutral: null,
  apply: (model, options, context) =>
    roundByHessian(model, options, context, (layer) => propagate(layer, options)),
});
