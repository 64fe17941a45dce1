/** @file Rate-distortion quantization: levels chosen by their coded size and their error. */
import { z } from "zod";
import { chooseByRate } from "../../codec/encode/choose.ts";
import type { Context } from "../../context.ts";
import { curvatures } from "../../evidence/curvature.ts";
import { calibrationOptions, momentOptions } from "../../evidence/options.ts";
import type { Model } from "../../ir/model.ts";
import {
  asGrid,
  hessianLayers,
  type RateSite as Layer,
  type RateChoice,
  stepFor,
} from "../../rounding/rate-sites.ts";
import { uniformStep } from "../../weights/forms/grid.ts";
import { siteOptions } from "../../weights/select.ts";
import { storeWeight, type ThetaSite, thetasOf } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

const sensitivities = ["weights", "gradient", "hessian"] as const;

/**
 * Chooses the levels q to minimize
 *   sum_i h_i (w_i - s q_i)^2 + lambda bits(q)
 * with one lambda for the whole model, so that in every layer the last bit reduces the error by the
 * same amount. The step s of each layer follows from the slope at high rates, lambda = -dD/dR = h
 * s^2 ln(2) / 6 per weight, so s = sqrt(6 lambda / (ln(2) h)).
 */
export const quantizeRate = defineMethod({
  title: "rate-distortion quantization",
  equation:
    "min over q: sum_i h_i (w_i - s q_i)^2 + lambda bits(q), s = sqrt(6 lambda / (ln(2) h))",
  cite: "Wiedemann et al. 2019, arXiv 1907.11900; Choi et al. 2017, arXiv 1612.01543; Conzelmann, Wiegand 2025, arXiv 2505.18758",
  summary: "Rounds weights to levels that are cheap to code and change the outputs little.",
  simplifyFirst: true,
  needs: ({ sensitivity }) =>
    sensitivity === "weights"
      ? []
      : sensitivity === "gradient"
        ? ["training"]
        : ["calibration", "training"],
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
          "How errors are weighted: relative to the energy of their layer, by the outputs' gradients (needs training records), or by these and the layer's inputs, where later weights make up for the errors of earlier ones (needs calibration records, too).",
        search: [...sensitivities],
      }),
    records: calibrationOptions.records.meta({
      description: "Records for the gradients; eight times as many for the inputs.",
    }),
    kappa: z
      .number()
      .min(0.5)
      .max(5)
      .default(2)
      .meta({
        description: "hessian: the step of the grid, in units of the best one at high rates.",
        search: [1.4, 1.8, 2.2],
      }),
    damping: momentOptions.damping.default(0.05),
    ...siteOptions,
  }),
  survey: [{ distortion: 0.003 }, { distortion: 0.01 }],
  neutral: { distortion: 0 },
  async apply(model, { distortion, ...options }, context) {
    if (distortion === 0) return;
    const sites = thetasOf(model, options, context);
    if (sites.length === 0) return;
    const layers = await layersFor(model, sites, options, context);
    const energy = layers.reduce((sum, layer) => sum + layer.energy, 0);
    const trials = await search(layers, distortion * energy, context);
    for (const [i, { site }] of layers.entries()) storeWeight(site, trials[i].weight);
  },
});

interface Choice extends RateChoice {
  readonly sensitivity: (typeof sensitivities)[number];
}

/** How each site can be quantized. With "hessian" a site without inputs is weighted by gradients. */
async function layersFor(
  model: Model,
  sites: readonly ThetaSite[],
  options: Choice,
  context: Context,
): Promise<Layer[]> {
  const { sensitivity, records } = options;
  const found = sensitivity === "weights" ? [] : await curvatures(model, sites, records, context);
  const byHessian =
    sensitivity === "hessian"
      ? await hessianLayers(model, sites, found, options, context)
      : new Map<ThetaSite, Layer>();
  return sites.map((site, i) => byHessian.get(site) ?? layerOf(site, found[i] ?? null));
}

/** Curvature from few records has holes, so every weight gets at least this share of the mean. */
const floor = 0.02;

/** A site with its importances: the curvature if there is one, otherwise 1 / (sum w^2) for all. */
function layerOf(site: ThetaSite, curvature: Float64Array | null): Layer {
  const { values, shape } = site.weight;
  const power = values.reduce((sum, w) => sum + w * w, 0) || 1;
  const mean = curvature ? curvature.reduce((a, b) => a + b, 0) / values.length : 1 / power;
  const importance = Float64Array.from(values, (_, i) =>
    curvature ? curvature[i] + floor * mean : mean,
  );
  const energy = values.reduce((sum, w, i) => sum + importance[i] * w * w, 0);
  const known = uniformStep(site.weight);
  const level = mean * (curvature ? 1 + floor : 1);
  return {
    site,
    energy,
    quantize(lambda) {
      const step = known ?? stepFor(lambda, level, values);
      const x = values.map((w) => w / step);
      const weights = importance.map((h) => h * step * step);
      const { values: q, distortion } = chooseByRate(x, weights, lambda, shape);
      return { weight: asGrid(Int8Array.from(q), shape, step), distortion };
    },
  };
}

/** Steps of the bisection. */
const rounds = 14;

/**
 * Quantizes all layers at the largest lambda whose total error is at most `allowed`, found by
 * bisection of its logarithm.
 */
async function search(layers: readonly Layer[], allowed: number, context: Context) {
  let [low, high] = [1e-12 * allowed, allowed];
  let best = layers.map((layer) => layer.quantize(low));
  for (let round = 0; round < rounds; round++) {
    await context.progress(round, rounds);
    const lambda = Math.sqrt(low * high);
    const trials = layers.map((layer) => layer.quantize(lambda));
    const isAllowed = trials.reduce((sum, { distortion }) => sum + distortion, 0) <= allowed;
    if (isAllowed) [low, best] = [lambda, trials];
    else high = lambda;
  }
  return best;
}
