/** @file Net2Net: a wider and deeper copy of the model that starts with the model's own outputs. */
import { z } from "zod";
import { widenChannels } from "../../channels/widen.ts";
import { deepenLayers } from "../../layers/deepen.ts";
import { chosenLayers, siteOptions } from "../../weights/select.ts";
import { defineMethod } from "../method.ts";

/**
 * The start of a student that is larger than the model: train it next, with the model or a larger one
 * as its teacher.
 */
export const growLayers = defineMethod({
  title: "growing by Net2Net",
  cite: "Chen, Goodfellow, Shlens 2016, arXiv 1511.05641, sections 2.2 and 2.3",
  equation:
    "wider: W'[:, copy j of c] = share_j W[:, c], sum_j share_j = 1; deeper: f(I f(y)) = f(y)",
  summary: "Widens and deepens the model without changing its outputs, as a start for training.",
  needs: [],
  grows: true,
  options: z.object({
    width: z.number().min(1).max(8).default(1.5).meta({
      description: "Channels, heads and neurons of each layer, in shares of what there are.",
    }),
    depth: z.number().min(1).max(4).default(1).meta({
      description: "Layers with an activation, in shares of what there are.",
    }),
    ...siteOptions,
  }),
  survey: [],
  neutral: { width: 1, depth: 1 },
  async apply(model, { width, depth, ...selection }, context) {
    const chosen = chosenLayers(model, selection);
    await context.progress(0, 2);
    if (width > 1) widenChannels(model, width, chosen, context);
    await context.progress(1, 2);
    if (depth > 1) {
      const added = deepenLayers(model, depth - 1, chosen);
      if (typeof added !== "string") context.note(`layers added behind ${added.join(", ")}`);
      else for (const { name } of chosen) context.skip(name, added);
    }
  },
});
