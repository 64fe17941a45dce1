/** @file Shortcuts that only pick positions and channels become 1x1 convolutions. */
import { z } from "zod";
import { convolveShortcuts } from "../../layers/convolve-shortcuts.ts";
import { defineMethod } from "../method.ts";

/**
 * With s the stride of a shortcut and k(c) the channel of x that it passes on as its channel c,
 *   y_c,i,j = x_k(c),s i,s j or 0   becomes   y = W * x with the stride s, W_c,k = 1 if k = k(c), else 0
 * also in the bodies of If and Loop. Outputs stay the same as long as values are finite. It comes last
 * in a recipe, because methods that change weights would change these, too.
 */
export const projectShortcuts = defineMethod({
  title: "shortcuts as convolutions",
  cite: "He et al. 2016, arXiv 1512.03385, section 4.1: option B in the place of option A",
  equation: "y_c,i,j = x_k(c),si,sj or 0 becomes y = W * x, W_c,k = 1 if k = k(c), else 0",
  summary:
    "Computes shortcuts without parameters by 1x1 convolutions, so that the engine stays in its own layout.",
  needs: [],
  simplifyFirst: true,
  grows: true,
  options: z.object({
    noise: z.number().min(0).max(1).default(0).meta({
      description:
        "Deviation of the numbers in the place of the zeros, for a step `train` after it, which leaves exact zeros alone; 0: zeros.",
    }),
  }),
  survey: [{}],
  neutral: null,
  async apply(model, { noise }, context) {
    await context.progress(0, 1);
    const added = [...model.graph.walk()].flatMap((graph) => {
      const nodes = graph.sorted();
      const draw = () => (noise > 0 ? noise * context.random.normal() : 0);
      return convolveShortcuts(nodes, draw).filter((node) => !nodes.includes(node));
    });
    if (added.length > 0) return;
    const last = model.graph.outputs[0]?.producer?.name ?? "the output";
    context.skip(last, "no shortcut only picks positions and channels of a map [N, C, H, W]");
  },
});
