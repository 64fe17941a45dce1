/** @file Tai's separable filters: a d x d convolution becomes a d x 1 and a 1 x d one. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { spreadsOf } from "../../evidence/pooled.ts";
import type { Decompose } from "../../factor/decomposition.ts";
import { factorLayers } from "../../factor/layers.ts";
import { type FactorOptions, factorNeeds, factorOptions } from "../../factor/options.ts";
import { decomposeSeparable } from "../../factor/separable.ts";
import type { Node } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { unfoldBatchNorm } from "../../train/unfold-batch-norm.ts";
import { defineMethod } from "../method.ts";

/**
 * K[n, c, i, j] ~ sum_k H[n, k, j] V[k, c, i]: the SVD of K as a matrix [(c, i), (j, n)] gives the
 * best V and H of every rank at once. A normalization between the two keeps their outputs at one
 * scale while they train, which the paper found necessary from random weights; it is folded away
 * afterwards.
 */
export const factorBn = defineMethod({
  title: "separable filters in closed form",
  equation:
    "K[n,c,i,j] = sum_k H[n,k,j] V[k,c,i]; V, H from the SVD of K as a matrix [(c,i), (j,n)]",
  cite: "Tai et al. 2016, arXiv 1511.06067, section 2",
  summary:
    "Replaces a d x d convolution by a d x 1 and a 1 x d one, the best there are of their rank.",
  needs: (options) =>
    options.norm && factorNeeds(options).length === 0 ? ["calibration"] : factorNeeds(options),
  readsNorms: false,
  options: z.object({
    ...factorOptions,
    norm: z.boolean().default(false).meta({
      description:
        "Put a BatchNormalization with the statistics of the calibration records between the two, for training that follows.",
    }),
  }),
  survey: [{}],
  neutral: { energy: 1 },
  async apply(model, options, context) {
    const firsts: Node[] = [];
    const decompose: Decompose<FactorOptions> = async (layer, evidence, own) => {
      const found = decomposeSeparable(layer, evidence, own);
      if (typeof found === "string") return found;
      return { ...found, name: ([first]) => firsts.push(first) };
    };
    await factorLayers(model, options, context, decompose);
    if (options.norm && firsts.length > 0) await normalize(model, firsts, context);
  },
});

/** Adds a normalization behind each node that leaves the model's function as it is. */
async function normalize(model: Model, nodes: readonly Node[], context: Context): Promise<void> {
  const sources = nodes.map(({ output }) => ({ value: output, axis: 1 }));
  const spreads = await spreadsOf(model, sources, context.observe);
  unfoldBatchNorm(model, new Map(Array.from(spreads, ([{ value }, own]) => [value, own])));
}
