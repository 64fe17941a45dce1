/** @file Ties the filters of a trained network that are transformed copies of one another. */
import { z } from "zod";
import { type Alike, alike, copyOptions, storeCopies } from "../../filters/copied.ts";
import { energies, fewestCopies, total } from "../../numeric/kmeans-copies.ts";
import { defineMethod } from "../method.ts";

/**
 * Transferred filters from a trained network: of each layer, the fewest base filters B of which the
 * filters W_i are copies with an error of at most `error` times their energy,
 *   sum_i |W_i - a_i T_i B_b(i)|^2 <= error sum_i |W_i|^2
 * T one of the turns, mirror images, shifts and signs that are allowed, and a_i by least squares.
 * Training afterwards moves B and a.
 */
export const tieFilters = defineMethod({
  title: "tied filters",
  equation: "W_i = a_i T_i B_b(i), T turns, mirrors, shifts or negates",
  cite: "Cheng et al. 2017, arXiv 1710.09282, section IV (which trains such filters from scratch)",
  summary:
    "Filters that resemble turned, mirrored, shifted or negated copies of others are stored as copies; train after it.",
  needs: [],
  simplifyFirst: true,
  options: z.object({
    error: z
      .number()
      .min(0)
      .max(1)
      .default(0.05)
      .meta({
        description: "Share of a layer's energy that copies may change; 0: exact copies only.",
        search: [0.05, 0.1, 0.2, 0.3],
      }),
    unit: z
      .enum(["filter", "kernel"])
      .default("filter")
      .meta({
        description: "What is copied: whole filters, or the kernels of single input channels.",
        search: ["filter", "kernel"],
      }),
    negate: z.boolean().default(true).meta({ description: "Copies may be negated." }),
    turn: z.boolean().default(true).meta({ description: "Copies may make quarter turns." }),
    mirror: z.boolean().default(true).meta({ description: "Copies may be mirror images." }),
    shift: z.int().min(0).max(2).default(0).meta({
      description:
        "Copies may be shifted by so many positions: base filters have as many more rows and columns.",
    }),
    ...copyOptions,
  }),
  survey: [{ error: 0.1, unit: "kernel" }],
  neutral: { error: 0 },
  apply: (model, options, context) =>
    storeCopies(model, options, context, (units) => {
      const { site, vectors, copying, most } = units;
      const count = vectors.weights.length;
      context.note(`${site.node.name}: ${histogram(alike(units), options.unit)}`);
      if (most < 1) return `has ${count} ${options.unit}s, too few to save bytes`;
      // What rounding leaves of exact copies is no error.
      const budget = (options.error + 1e-10) * total(energies(vectors));
      return (
        fewestCopies(vectors, copying, budget, most) ??
        `has more than ${most} different ${options.unit}s of ${count}, which would take no fewer bytes`
      );
    }),
});

/** A line of progress: how many units have a copy that explains 0 to 10 %, 10 to 20 %, ... of them. */
function histogram({ tenths, median, noise }: Alike, unit: string): string {
  return (
    `${unit}s by what the best copy of another explains, in tenths: ${tenths.join(" ")}; ` +
    `median ${median.toFixed(2)}, of noise ${noise.toFixed(2)}`
  );
}
