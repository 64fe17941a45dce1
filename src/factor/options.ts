/** @file Options that all methods share which replace a layer by layers of low rank. */
import { z } from "zod";
import type { Context, Need } from "../context.ts";
import { errors, fail } from "../errors.ts";
import { calibrationOptions } from "../evidence/options.ts";
import { toleranceOption } from "../evidence/output-shift.ts";
import { rescueOptions, siteOptions } from "../weights/select.ts";

const weightings = ["auto", "none", "activations", "fisher"] as const;
const rankings = ["auto", "energy", "pool", "share", "vbmf"] as const;
const units = ["parameters", "macs", "bytes", "milliseconds"] as const;

/** What a budget counts. */
export type Unit = (typeof units)[number];

export const factorOptions = {
  energy: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .meta({
      description:
        "Share of each layer's energy (sum of squares) to keep; 0: 0.9, where `change` does not decide.",
      search: [0.7, 0.8, 0.9, 0.95],
    }),
  ranks: z
    .enum(rankings)
    .default("auto")
    .meta({
      description:
        "energy: each layer by itself. pool: all layers together, by what each costs the network's outputs. share: each layer to the share `budget` of its own cost. vbmf: what variational Bayes tells from noise in each layer. auto: pool if there are calibration records and neither energy nor weighting is given.",
      search: ["energy", "pool"],
    }),
  change: toleranceOption("takes the lowest ranks").meta({
    description:
      "For ranks=pool with records: largest accepted change of the network's outputs, |y' - y|^2 / |y - E[y]|^2.",
    search: [0.003, 0.01, 0.03],
  }),
  budget: z.number().min(0).max(1).default(0).meta({
    description:
      "For ranks=pool: share of the layers' cost that may stay; 0: `change` decides, without records `energy`. For ranks=share, which needs one: of each layer's own cost.",
  }),
  unit: z.enum(units).default("parameters").meta({
    description:
      "What ranks=pool saves and `budget` counts; a share counts weights, or multiply-accumulates.",
  }),
  measure: z.boolean().default(true).meta({
    description:
      "With unit=macs or milliseconds, replaces only layers with which the whole model is faster, timed on the engine of the run; false: all that the ranks allow.",
  }),
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
        "What the factors approximate: the weights (none), the outputs on calibration records (activations), or these weighted by the loss's curvature (fisher: needs training records). auto: activations if there are records and no energy is given.",
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

/** What `energy` is where it is not given. */
const ENERGY = 0.9;

/**
 * With calibration records at hand, data decide unless the user says how ranks are chosen. Throws
 * TersorError "bad-option" for ranks=share without a budget.
 */
export function settle<O extends FactorOptions>(
  options: O,
  { hasCalibration }: Pick<Context, "hasCalibration">,
): O & Settled {
  const { energy, weighting, ranks, repair, budget } = options;
  const byData = weighting === "auto" && energy === 0 && hasCalibration;
  if (ranks === "share" && budget === 0) {
    const why = "ranks=share cuts each layer to this share of its cost, and none is given";
    throw fail(errors.badOption("budget", why, "Give one, such as budget=0.5, or ranks=energy"));
  }
  const isPooled = ranks === "pool" || (ranks === "auto" && (byData || budget > 0));
  return {
    ...options,
    energy: energy || ENERGY,
    weighting: weighting === "auto" ? (byData ? "activations" : "none") : weighting,
    ranks: isPooled ? "pool" : ranks === "auto" ? "energy" : ranks,
    repair: repair === "auto" ? (byData && isPooled ? "least-squares" : "none") : repair,
  };
}
