/** @file Half-precision storage: weights take two bytes in the file and are widened at load. */
import { z } from "zod";
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "../../numeric/float16.ts";
import { siteOptions } from "../../weights/select.ts";
import { storeWeight, thetasOf } from "../../weights/sites.ts";
import { leaf } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

/** The largest finite float16. */
const LARGEST = 65504;

/**
 * Each weight is rounded to the nearest 16-bit float; a Cast widens it when the
 * engine loads the model.
 */
export const storeFloat16 = defineMethod({
  title: "half-precision storage",
  cite: "Gupta et al. 2015, arXiv 1502.02551 (limited precision)",
  summary:
    "Stores weights in 16 bits; computation stays float32, because CPUs gain nothing from half.",
  needs: [],
  options: z.object({
    dtype: z
      .enum(["float16", "bfloat16"])
      .default("float16")
      .meta({
        description: "float16 has more precision, bfloat16 the range of float32.",
        search: ["float16"],
      }),
    ...siteOptions,
  }),
  survey: [{}],
  neutral: null,
  async apply(model, { dtype, only, except }, context) {
    const round =
      dtype === "float16"
        ? (x: number) => fromFloat16(toFloat16(x))
        : (x: number) => fromBfloat16(toBfloat16(x));
    const sites = thetasOf(model, { only, except }, context);
    for (const [i, site] of sites.entries()) {
      await context.progress(i, sites.length);
      const { weight } = site;
      const { values } = weight;
      const stored = weight.form === null ? weight.coding : weight.form.kind;
      if (stored !== "float32") {
        context.skip(site.node.name, `is stored as ${stored} already`);
      } else if (dtype === "float16" && values.some((w) => Math.abs(w) > LARGEST)) {
        context.skip(site.node.name, `holds weights beyond ${LARGEST}, float16's largest`);
      } else {
        storeWeight(site, leaf(values.map(round), weight.shape, dtype));
      }
    }
  },
});
