/** @file Network sketching: weights as sums of binary tensors, found without data. */
import { z } from "zod";
import { binarySketch } from "../../numeric/binary-sketch.ts";
import { groupPlaces } from "../../numeric/quantize.ts";
import { sketch } from "../../weights/forms/sketch.ts";
import { siteOptions } from "../../weights/select.ts";
import { storeWeight, type ThetaSite, thetasOf } from "../../weights/sites.ts";
import { type Composed, composed, leaf, wholeLeaf } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

/** W = sum_k a_k B_k with B_k of -1 and +1 and one factor a_k per output channel. */
export const sketchWeights = defineMethod({
  title: "network sketching",
  equation: "W = sum_k a_k B_k, B_k of -1 and +1, a_k per output channel",
  cite: "Guo et al. 2017, arXiv 1706.02021, section 3",
  summary: "Weights become sums of a few binary tensors with a scale per output channel.",
  needs: [],
  options: z.object({
    bases: z
      .int()
      .min(1)
      .max(8)
      .default(4)
      .meta({
        description: "Binary tensors, each of one bit per weight.",
        search: [2, 3, 4, 5],
      }),
    scales: z
      .enum(["direct", "refined"])
      .default("refined")
      .meta({
        description:
          "direct: each tensor's scale is fitted when it is added; refined: all scales again, by least squares, before the next sign is taken.",
        search: ["direct", "refined"],
      }),
    ...siteOptions,
  }),
  survey: [{}, { bases: 2 }],
  neutral: null,
  async apply(model, { bases, scales, ...selection }, context) {
    const sites = thetasOf(model, selection, context);
    for (const [i, site] of sites.entries()) {
      await context.progress(i, sites.length);
      storeWeight(site, sketchOf(site, bases, scales === "refined"));
    }
  },
});

function sketchOf({ weight, channels }: ThetaSite, bases: number, isRefined: boolean): Composed {
  const { values, shape } = weight;
  const groups = groupPlaces(shape, channels);
  const count = groups.length;
  const signs = new Int8Array(bases * values.length);
  const scales = new Float32Array(bases * count);
  for (const [channel, places] of groups.entries()) {
    const own = Float32Array.from(places, (place) => values[place]);
    const found = binarySketch(own, bases, isRefined);
    for (let k = 0; k < bases; k++) {
      scales[k * count + channel] = found.scales[k];
      for (const [i, place] of places.entries()) {
        signs[k * values.length + place] = found.signs[k * own.length + i];
      }
    }
  }
  const dims = shape.map((dim, axis) => (axis === channels ? dim : 1));
  return composed(sketch, shape, {
    signs: wholeLeaf(signs, [bases, ...shape], true, 1),
    scales: leaf(scales, [bases, ...dims]),
  });
}
