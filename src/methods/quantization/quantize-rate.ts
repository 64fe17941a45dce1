/** @file Rate-distortion quantization: levels chosen by their coded size and their error. */
import { z } from "zod";
import { type Chosen, chooseByRate } from "../../codec/encode/choose.ts";
import type { Context } from "../../context.ts";
import { curvatures } from "../../evidence/curvature.ts";
import { calibrationOptions } from "../../sparsity/by-score.ts";
import { uniformGrid, uniformStep } from "../../weights/forms/grid.ts";
import { siteOptions } from "../../weights/select.ts";
import { storeWeight, type ThetaSite, thetasOf } from "../../weights/sites.ts";
import type { Composed } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

const sensitivities = ["weights", "gradient"] as const;

/**
 * Chooses the levels q to minimize
 *   sum_i h_i (w_i - s q_i)^2 + lambda bits(q)
 * with one lambda for the whole model, so that in every layer the last bit reduces the error by the
 * same amount. The step s of each layer follows from the slope at high rates, lambda = -dD/dR = h
 * s^2 ln(2) / 6 per weight, so s = sqrt(6 lambda / (ln(2) h)).
 */
export const quantizeRate = defineMethod({
  title: "rate-distortion quantization",
  cite: "Wiedemann et al. 2019, arXiv 1907.11900; Choi et al. 2017, arXiv 1612.01543",
  summary: "Rounds weights to levels that are cheap to code and change the outputs little.",
  simplifyFirst: true,
  needs: ({ sensitivity }) => (sensitivity === "gradient" ? ["training"] : []),
  options: z.object({
    distortion: z
      .number()
      .min(0)
      .max(0.5)
      .default(0.003)
      .meta({
        description: "Error allowed, as a share of the weights' energy; 0 leaves weights alone.",
        search: [0.001, 0.003, 0.01, 0.03],
      }),
    sensitivity: z
      .enum(sensitivities)
      .default("weights")
      .meta({
        description:
          "How errors are weighted: relative to the energy of their layer, or by the outputs' gradients (needs training records).",
        search: [...sensitivities],
      }),
    records: calibrationOptions.records.meta({ description: "Records for the gradients." }),
    ...siteOptions,
  }),
  survey: [{ distortion: 0.003 }, { distortion: 0.01 }],
  neutral: { distortion: 0 },
  async apply(model, { distortion, sensitivity, records, ...selection }, context) {
    if (distortion === 0) return;
    const sites = thetasOf(model, selection, context);
    if (sites.length === 0) return;
    const found =
      sensitivity === "gradient" ? await curvatures(model, sites, records, context) : [];
    const layers = sites.map((site, i) => layerOf(site, found[i] ?? null));
    const energy = layers.reduce((sum, layer) => sum + layer.energy, 0);
    const trials = await search(layers, distortion * energy, context);
    for (const [i, { site }] of layers.entries()) storeWeight(site, trials[i].weight);
  },
});

interface Layer {
  readonly site: ThetaSite;
  /** h_i, the cost of an error of 1 in weight i. */
  readonly importance: Float64Array;
  readonly mean: number;
  /** sum_i h_i w_i^2, the cost of losing all weights. */
  readonly energy: number;
  /**
   * The step of the grid on which an earlier step has put the weights, which stays; null for none.
   */
  readonly step: number | null;
  readonly largest: number;
}

interface Rounded {
  readonly weight: Composed;
  readonly distortion: number;
}

/** Curvature from few records has holes, so every weight gets at least this share of the mean. */
const floor = 0.02;

/** A site with its importances: the curvature if there is one, otherwise 1 / (sum w^2) for all. */
function layerOf(site: ThetaSite, curvature: Float64Array | null): Layer {
  const { values } = site.weight;
  const power = values.reduce((sum, w) => sum + w * w, 0) || 1;
  const mean = curvature ? curvature.reduce((a, b) => a + b, 0) / values.length : 1 / power;
  const importance = Float64Array.from(values, (_, i) =>
    curvature ? curvature[i] + floor * mean : mean,
  );
  const energy = values.reduce((sum, w, i) => sum + importance[i] * w * w, 0);
  const step = uniformStep(site.weight);
  const largest = values.reduce((most, w) => Math.max(most, Math.abs(w)), 0);
  return { site, importance, mean: mean * (curvature ? 1 + floor : 1), energy, step, largest };
}

/** Levels are stored in int8. */
const LEVELS = 127;

/** Quantizes one layer at a given lambda. */
function tryOut({ site, importance, mean, step, largest }: Layer, lambda: number): Rounded {
  const { values, shape } = site.weight;
  const best = Math.sqrt((6 * lambda) / (Math.LN2 * mean || 1));
  const scale = Math.fround(step ?? Math.max(best, largest / LEVELS, 1e-30));
  const x = values.map((w) => w / scale);
  const weights = importance.map((h) => h * scale * scale);
  const { values: q, distortion }: Chosen = chooseByRate(x, weights, lambda, shape);
  const levels = Int8Array.from(q);
  return { weight: uniformGrid(levels, shape, scale, bitsOf(levels)), distortion };
}

/** Steps of the bisection. */
const rounds = 14;

/**
 * Quantizes all layers at the largest lambda whose total error is at most `allowed`, found by
 * bisection of its logarithm.
 */
async function search(layers: readonly Layer[], allowed: number, context: Context) {
  let [low, high] = [1e-12 * allowed, allowed];
  let best = layers.map((layer) => tryOut(layer, low));
  for (let round = 0; round < rounds; round++) {
    await context.progress(round, rounds);
    const lambda = Math.sqrt(low * high);
    const trials = layers.map((layer) => tryOut(layer, lambda));
    const isAllowed = trials.reduce((sum, { distortion }) => sum + distortion, 0) <= allowed;
    if (isAllowed) [low, best] = [lambda, trials];
    else high = lambda;
  }
  return best;
}

/** The fewest bits, at least 2, that hold all levels. */
function bitsOf(levels: Int8Array): number {
  const largest = levels.reduce((most, q) => Math.max(most, q < 0 ? -q - 1 : q), 0);
  return Math.max(2, 33 - Math.clz32(largest));
}
