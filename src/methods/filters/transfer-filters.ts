/** @file Projects the filters of a trained network onto a structure of transferred filters. */
import { z } from "zod";
import { copyOptions, storeCopies, type Transforms } from "../../filters/copied.ts";
import { fitCopies } from "../../numeric/kmeans-copies.ts";
import { defineMethod } from "../method.ts";

/** The transforms of each structure, and how many filters it makes of a base filter. */
const structures: Readonly<Record<Structure, Partial<Transforms> & { readonly ratio: number }>> = {
  // W and -W (Shang et al. 2016, arXiv 1603.05201)
  crelu: { negate: true, ratio: 2 },
  // One filter, several biases (Li et al. 2016, arXiv 1604.00676)
  mba: { ratio: 2 },
  // Four quarter turns (Dieleman et al. 2016, arXiv 1602.02660)
  circ: { turn: true, ratio: 4 },
  // Windows of meta filters (Zhai et al. 2016, arXiv 1610.09716)
  dcnn: { shift: 1, ratio: 4 },
};
type Structure = "crelu" | "mba" | "circ" | "dcnn";

const none: Transforms = { negate: false, turn: false, mirror: false, shift: 0 };

/**
 * W_i = a_i T_i B_b(i) with a fixed number of base filters B, T from one structure. Filters choose
 * the base and the transform that suit them best, so a base may have more copies than another; bases
 * and scales are fitted by least squares.
 */
export const transferFilters = defineMethod({
  title: "transferred filters",
  equation: "W_i = a_i T_i B_b(i), T of one structure",
  cite: "Shang et al. 2016, arXiv 1603.05201; Li et al. 2016, arXiv 1604.00676; Dieleman et al. 2016, arXiv 1602.02660; Zhai et al. 2016, arXiv 1610.09716",
  summary:
    "Filters become negated, repeated, turned or shifted copies of fewer base filters; train after it.",
  needs: [],
  simplifyFirst: true,
  isStart: true,
  options: z.object({
    structure: z
      .enum(Object.keys(structures) as [Structure])
      .default("crelu")
      .meta({
        description:
          "Copies are negated (crelu), have biases of their own (mba), make quarter turns (circ), or are windows of larger filters (dcnn).",
        search: ["crelu", "mba", "circ", "dcnn"],
      }),
    ratio: z.number().min(0).max(64).default(0).meta({
      description:
        "Filters per base filter; 1 leaves all as they are, 0: as the structure has (2, 2, 4, 4).",
    }),
    ...copyOptions,
  }),
  survey: [{}],
  neutral: { ratio: 1 },
  async apply(model, { structure, ratio: asked, ...options }, context) {
    const { ratio: usual, ...own } = structures[structure];
    const ratio = asked || usual;
    if (ratio === 1) return;
    const how = { ...options, ...none, ...own, unit: "filter" } as const;
    await storeCopies(model, how, context, ({ vectors, copying, most }) => {
      const filters = vectors.weights.length;
      const count = Math.ceil(filters / ratio);
      if (count > most) return `has ${filters} filters; ${count} base filters take no fewer bytes`;
      return fitCopies(vectors, copying, count);
    });
  },
});
