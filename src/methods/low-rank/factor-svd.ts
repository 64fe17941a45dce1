/** @file Truncated SVD: one layer is replaced by two thin ones. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { calibrationOptions } from "../../evidence/options.ts";
import { unwhiten, type Whitener, whiten, whitenersOf } from "../../evidence/whitener.ts";
import type { Node } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { type Layer, layerOf } from "../../layers/matrix.ts";
import { replaceLayer } from "../../layers/replace.ts";
import { dot, transpose } from "../../numeric/matrix.ts";
import { energyRank, type Svd, svd, truncate } from "../../numeric/svd.ts";
import { rescueOptions, siteOptions } from "../../weights/select.ts";
import { layersOf } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

const weightings = ["none", "activations"] as const;

/**
 * Per layer W [m, n]: truncated SVD at the least rank that keeps `energy` of sum s^2, rounded up to
 * `multiple`. With weighting=activations W is whitened first, so that sum s^2 is the energy of the
 * layer's outputs on the calibration records instead of that of its weights.
 */
export const factorSvd = defineMethod({
  title: "truncated SVD",
  cite: "Denil et al. 2013, arXiv 1306.0543; Denton et al. 2014, arXiv 1404.0736; Wang et al. 2024, arXiv 2403.07378",
  summary:
    "Replaces a layer by two thin ones, W = U V of a rank low enough that they do less work.",
  needs: ({ weighting }) => (weighting === "activations" ? ["calibration"] : []),
  options: z.object({
    energy: z
      .number()
      .min(0.01)
      .max(1)
      .default(0.9)
      .meta({
        description:
          "Share of the squared singular values to keep; decides the rank of each layer.",
        search: [0.7, 0.8, 0.9, 0.95],
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
      .default("none")
      .meta({
        description:
          "What the factors approximate: the weights, or the outputs on calibration records.",
        search: [...weightings],
      }),
    records: calibrationOptions.records.meta({
      description: "For weighting=activations: calibration records to look at.",
    }),
    damping: z.number().min(1e-9).max(1).default(0.01).meta({
      description:
        "For weighting=activations: added to the inputs' second moments, as a share of their mean.",
    }),
    ...siteOptions,
    ...rescueOptions,
  }),
  survey: [{ energy: 0.9 }, { energy: 0.7 }],
  neutral: { energy: 1 },
  async apply(model, options, context) {
    const sites = layersOf(model, options, context, 1024);
    const layers = sites.map((site) => layerOf(site));
    const open = layers.filter((layer) => typeof layer !== "string");
    const isWeighted = options.weighting === "activations";
    const whiteners = isWeighted ? await observe(model, open, options, context) : null;
    for (const [i, layer] of layers.entries()) {
      await context.progress(i, layers.length);
      const why =
        typeof layer === "string" ? layer : factor(layer, options, whiteners?.get(layer) ?? null);
      if (why !== null) context.skip(sites[i].node.name, why);
    }
  },
});

/** The whitener of each layer; null, with a warning, for layers whose inputs cannot be observed. */
async function observe(
  model: Model,
  layers: readonly Layer[],
  options: { readonly records: number; readonly damping: number },
  context: Context,
): Promise<Map<Layer, Whitener | null>> {
  const found = await whitenersOf(model, layers, options, context);
  const pairs = [...found].map(([layer, whitener]) => {
    if (typeof whitener !== "string") return [layer, whitener] as const;
    context.warn(`${layer.node.name} ${whitener}: factored without data`);
    return [layer, null] as const;
  });
  return new Map(pairs);
}

/**
 * Replaces one layer, or gives the reason why not. With W = U diag(s) V^T, or W S = U diag(s) V^T
 * if there is a whitener S, cut to the least rank r that keeps the energy,
 *   y = W x + b  ->  y = (U_r diag(s_r)^1/2) ((diag(s_r)^1/2 V_r^T S^-1) x) + b
 * which takes less work if r (m + n) < m n for W [m, n].
 */
function factor(
  layer: Layer,
  { energy, multiple }: { readonly energy: number; readonly multiple: number },
  whitener: Whitener | null,
): string | null {
  const { matrix, outputs, inputs, kernel } = layer;
  const columns = matrix.length / outputs;
  const parts = svd(whitener ? whiten(matrix, whitener) : matrix, outputs, columns);
  // A matrix of zeros has rank 0, but no convolution has 0 channels.
  const wanted = Math.max(1, energyRank(parts.s, energy));
  const rank = wanted > multiple ? Math.ceil(wanted / multiple) * multiple : wanted;
  const breakEven = (outputs * columns) / (outputs + columns);
  if (rank >= breakEven) {
    return `needs rank ${rank}; only ${Math.ceil(breakEven) - 1} or less would save work`;
  }
  const { down, up } = factorsOf(truncate(parts, rank), whitener);
  const added = replaceLayer(layer, [
    { name: "down", shape: [rank, inputs, ...kernel], values: down },
    { name: "up", shape: [outputs, rank, ...kernel.map(() => 1)], values: up },
  ]);
  if (typeof added === "string") return added;
  keepNames(layer, added);
  return null;
}

/**
 * down [rank, columns] and up [rows, rank]. Row k of `down` and column k of `up` are scaled to
 * equal length, so that both learn at like rates.
 */
function factorsOf({ u, s, v, rows, cols, rank }: Svd, whitener: Whitener | null) {
  const turned = transpose(v, cols, rank);
  const down = whitener ? unwhiten(turned, whitener) : turned;
  const up = new Float64Array(rows * rank);
  for (let k = 0; k < rank; k++) {
    const length = whitener ? Math.sqrt(dot(down, k * cols, down, k * cols, cols)) : 1;
    const [right, left] = [Math.sqrt(s[k] / length), Math.sqrt(s[k] * length)];
    for (let j = k * cols; j < (k + 1) * cols; j++) down[j] *= right;
    for (let i = 0; i < rows; i++) up[i * rank + k] = left * u[i * rank + k];
  }
  return { down, up };
}

/**
 * Gives the nodes the names that files of earlier versions have: `<layer>/Conv` for the stage "up".
 */
function keepNames({ kind, node }: Layer, [down, up]: readonly Node[]): void {
  if (kind === "linear") down.name = down.output.name = `${node.name}/${down.op}`;
  up.name = `${node.name}/${up.op}`;
}
