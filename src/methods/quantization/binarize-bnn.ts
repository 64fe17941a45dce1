/** @file Binarized neural networks: weights and activations of -1 and +1. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { meansOf } from "../../evidence/pooled.ts";
import type { Node, Value } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { openConnected, roundingOption } from "../../learned/connect.ts";
import { innerOptions, trainInner } from "../../learned/inner.ts";
import { openSigns } from "../../learned/signs.ts";
import { inputsOf } from "../../learned/training.ts";
import type { Builder } from "../../ops/builder.ts";
import { weightsOf } from "../../ops/weights.ts";
import type { ThetaSite } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

/**
 * Every layer computes with W = H sign(u) as BinaryConnect trains it, and every layer but the first
 * reads sign(x) with the gradient 1(|x| <= 1). H is the mean magnitude of the weights times that of
 * what the layer read before; the paper has none, since its normalizations cancel it.
 */
export const binarizeBnn = defineMethod({
  title: "binarized neural network (BNN)",
  equation: "W = H sign(u), u in [-1, 1]; x -> sign(x), d sign(x) / dx = 1(|x| <= 1)",
  cite: "Courbariaux et al. 2016, arXiv 1602.02830",
  summary:
    "Trains weights and activations of one bit; layers compute with the signs of their inputs.",
  needs: ["calibration", "training"],
  options: z.object({
    rounding: roundingOption,
    ...innerOptions({ rate: 0.005, ends: 1 }),
  }),
  survey: [{}],
  neutral: { epochs: 0 },
  apply: (model, { rounding, ...options }, context) =>
    trainInner(
      model,
      options,
      context,
      "-1 and +1, a scale for each layer, and signs of inputs",
      async (sites) => {
        const first = weightsOf(model)[0]?.node;
        const later = sites.filter(({ node }) => node !== first);
        const sizes = await sizesOf(model, later, context);
        const signs = openSigns(model, later, context);
        const signed = new Set(signs.flatMap(({ readers = [] }) => readers));
        const opened = sites.map((site) => {
          const size = signed.has(site.node) ? sizes.get(site.node) : null;
          return openConnected(site, rounding, size ?? null);
        });
        return [...opened, ...signs];
      },
    ),
});

/** The mean magnitude of what each layer of these sites reads. */
async function sizesOf(
  model: Model,
  sites: readonly ThetaSite[],
  context: Context,
): Promise<Map<Node, number>> {
  const sources = Array.from(inputsOf(model, sites), ([value, readers]) => ({
    ...{ value, readers },
    axis: (value.shape?.length ?? 1) - 1,
    each: (g: Builder, x: Value) => g.Abs(x),
  }));
  const means = await meansOf(model, sources, context.observe);
  return new Map(
    [...means].flatMap(([{ readers }, channels]) => {
      const mean = channels.reduce((sum, x) => sum + x, 0) / channels.length;
      return readers.map((node) => [node, mean || 1] as const);
    }),
  );
}
