/** @file Options that all methods share which replace a layer by layers of low rank. */
import { z } from "zod";
import type { Context, Need } from "../context.ts";
import { calibrationOptions } from "../evidence/options.ts";
import { rescueOptions, siteOptions } from "../weights/select.ts";

const weightings = ["auto", "none", "activations", "fisher"] as const;
const rankings = ["auto", "energy", "pool"] as const;
const units = ["parameters", "macs", "bytes", "milliseconds"] as const;

/** What a budget counts. */
export type Unit = (typeof units)[number];

export const factorOptions = {
  energy: z
    .number()
    .min(0.01)
    .max(1)
    .default(0.9)
    .meta({
      description:
        "Share of the energy (sum of squares) to keep: of each layer, or with ranks=pool of the network's outputs.",
      search: [0.7, 0.8, 0.9, 0.95],
    }),
  ranks: z
    .enum(rankings)
    .default("auto")
    .meta({
      description:
        "energy: each layer by itself. pool: all layers together, by what each costs the network's outputs. auto: pool if weighting=auto finds calibration records.",
      search: ["energy", "pool"],
    }),
  budget: z.number().min(0).max(1).default(0).meta({
    description:
      "For ranks=pool: share of the layers' cost that may stay, in place of `energy`; 0: `energy` decides.",
  }),
  unit: z
    .enum(units)
    .default("parameters")
    .meta({ description: "What ranks=pool saves and `budget` counts." }),
  multiple: z
    .int()
    .min(1)
    .max(64)
    .default(8)
    .meta({
      description: "Ranks above this are rounded up to a multiple of it; kernels prefer 8 or 16.",
      search: [8, 16],
    }),
  weighting: z
    .enum(weightings)
    .default("auto")
    .meta({
      description:
        "What the factors approximate: the weights (none), the outputs on calibration records (activations), or these weighted by the loss's curvature (fisher: needs training records). auto: activations if there are records.",
      search: ["none", "activations"],
    }),
  repair: z.enum(["auto", "none", "least-squares"]).default("auto").meta({
    description:
      "least-squares: each layer's last factor is fitted to what the layer gave before. auto: where ranks are pooled by data.",
  }),
  records: calibrationOptions.records.meta({
    description: "Calibration records to look at, where data weigh.",
  }),
  damping: z.number().min(1e-9).max(1).default(0.01).meta({
    description: "Added to the inputs' second moments, as a share of their mean.",
  }),
  ...siteOptions,
  ...rescueOptions,
};

export type FactorOptions = z.output<z.ZodObject<typeof factorOptions>>;

/** What a step with these options cannot run without. */
export function factorNeeds({
  weighting,
  repair,
}: Pick<FactorOptions, "weighting" | "repair">): readonly Need[] {
  if (weighting === "fisher") return ["calibration", "training"];
  return weighting === "activations" || repair === "least-squares" ? ["calibration"] : [];
}

/** The options without `auto`. */
export interface Settled extends FactorOptions {
  readonly weighting: Exclude<FactorOptions["weighting"], "auto">;
  readonly ranks: Exclude<FactorOptions["ranks"], "auto">;
  readonly repair: Exclude<FactorOptions["repair"], "auto">;
}

/** With calibration records at hand, data decide unless the user says otherwise. */
export function settle<O extends FactorOptions>(
  options: O,
  { hasCalibration }: Pick<Context, "hasCalibration">,
): O & Settled {
  const { weighting, ranks, repair, budget } = options;
  const byData = weighting === "auto" && hasCalibration;
  const isPooled = ranks === "pool" || (ranks === "auto" && (byData || budget > 0));
  const repairs = byData && isPooled ? "least-squares" : "none";
  return {
    ...options,
    weighting: weighting === "auto" ? (byData ? "activations" : "none") : weighting,
    ranks: isPooled ? "pool" : "energy",
    repair: repair === "auto" ? repairs : repair,
  };
}
