/** @file Options that all methods share which round a layer's weight to a grid. */
import { z } from "zod";
import { calibrationOptions, momentOptions } from "../evidence/options.ts";
import { siteOptions } from "../weights/select.ts";

/** The grid: bits, what shares a scale, and whether 0 lies in the middle of the levels. */
export const gridOptions = {
  bits: z
    .int()
    .min(2)
    .max(8)
    .default(4)
    .meta({ description: "Bits per weight.", search: [8, 4, 3, 2] }),
  block: z
    .int()
    .min(0)
    .max(1024)
    .default(0)
    .meta({
      description:
        "Weights per scale along the input axis, the last block may be shorter; 0 gives one scale per output channel.",
      search: [0, 32, 128],
    }),
  levels: z
    .enum(["symmetric", "asymmetric"])
    .default("symmetric")
    .meta({
      description: "Around 0, or with a zero point for each scale, which fits one-sided weights.",
      search: ["symmetric", "asymmetric"],
    }),
};

/** The Hessian E[x x^T] of a layer's output error. */
export const hessianOptions = {
  ...momentOptions,
  records: calibrationOptions.records.default(512),
};

export { siteOptions };

export interface GridChoice {
  readonly bits: number;
  readonly block: number;
  readonly levels: "symmetric" | "asymmetric";
}

export interface HessianChoice extends GridChoice {
  readonly records: number;
  readonly damping: number;
  /** Share of the records that a layer's Hessian leaves out, for its `heldOut`; default 0. */
  readonly holdout?: number;
}
