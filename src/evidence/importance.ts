/** @file Importance: one number per weight that says what a squared error of it costs. */
import type { Context } from "../context.ts";
import type { Model } from "../ir/model.ts";
import type { LayerSite, ThetaSite } from "../weights/sites.ts";
import { curvatures } from "./curvature.ts";
import { momentsOf } from "./moments.ts";

/**
 * What an error (w_i - c)^2 is multiplied by. none: 1. hessian: E[x_j^2] of the input x_j that w_i
 * multiplies, the diagonal of the Hessian of the layer's squared output error. gradient: E
 * sum_k (dy_k / dw_i)^2 for the network's outputs y, the Fisher diagonal up to a factor.
 */
export const sensitivities = ["none", "hessian", "gradient"] as const;

export type Sensitivity = (typeof sensitivities)[number];

/** The records that each sensitivity is computed from. */
export const recordsFor = {
  none: [],
  hessian: ["calibration"],
  gradient: ["training"],
} as const;

/** Few records leave holes, so every weight counts at least this share of its layer's mean. */
const FLOOR = 0.02;

/**
 * The importances of the weights of each site, in their order; null where they count alike: with
 * "none", and with a warning where data say nothing of a site (a part of a form, say).
 */
export async function importancesOf(
  model: Model,
  sites: readonly ThetaSite[],
  sensitivity: Sensitivity,
  records: number,
  context: Context,
): Promise<(Float64Array | null)[]> {
  if (sensitivity === "none") return sites.map(() => null);
  const found =
    sensitivity === "gradient"
      ? (await curvatures(model, sites, records, context)).map((h) => h ?? "has no gradient")
      : await squaresOf(model, sites, records, context);
  return found.map((h, i) => {
    const mean = typeof h === "string" ? 0 : h.reduce((sum, x) => sum + x, 0) / h.length;
    if (typeof h !== "string" && mean > 0) return h.map((x) => x + FLOOR * mean);
    const reason = typeof h === "string" ? h : "reads zeros only";
    context.warn(`${sites[i].node.name} ${reason}: its weights count alike`);
    return null;
  });
}

/** E[x_j^2] for each weight, or why there is none. */
async function squaresOf(
  model: Model,
  sites: readonly ThetaSite[],
  records: number,
  context: Context,
): Promise<(Float64Array | string)[]> {
  const layers = sites.filter((site): site is ThetaSite & LayerSite => site.role !== null);
  const moments = await momentsOf(model, layers, "squares", records, context);
  return sites.map((site) => {
    const found = moments.get(site as LayerSite) ?? "stores a part of a form";
    if (typeof found === "string") return found;
    const { rows, groups } = found;
    const h = new Float64Array(site.weight.values.length);
    for (const [group, squares] of groups.entries()) {
      for (let row = 0; row < rows.rows; row++) {
        for (let j = 0; j < rows.columns; j++) h[rows.at(group, row, j)] = squares[j];
      }
    }
    return h;
  });
}
