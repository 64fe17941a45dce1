/** @file Fixed-point weights: whole numbers times a power of two, one for each layer. */
import { z } from "zod";
import { spanOf } from "../../numeric/quantize.ts";
import type { Random } from "../../numeric/random.ts";
import { uniformGrid } from "../../weights/forms/grid.ts";
import { siteOptions } from "../../weights/select.ts";
import { storeWeight, thetasOf } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

/**
 * The format <IL, FL>: IL bits in front of the binary point, with the sign, and FL behind it, so
 *   W = e q,  e = 2^-FL,  -2^(bits - 1) <= q < 2^(bits - 1),  IL + FL = bits.
 * Each layer has the largest FL for which its range fits.
 */
export const fixedPoint = defineMethod({
  title: "fixed-point weights",
  equation: "W = e q, e = 2^-FL, -2^(bits - 1) <= q < 2^(bits - 1)",
  cite: "Gupta et al. 2015, arXiv 1502.02551, section 3",
  summary:
    "Rounds weights to fixed-point numbers of 16 bits or fewer, to the nearest or at random.",
  needs: [],
  options: z.object({
    bits: z
      .int()
      .min(2)
      .max(16)
      .default(16)
      .meta({
        description: "Bits of a number, with its sign.",
        search: [8, 12, 16],
      }),
    rounding: z
      .enum(["nearest", "stochastic"])
      .default("nearest")
      .meta({
        description:
          "stochastic: up with the distance from the number below, in steps, as probability, so that the mean error is 0.",
        search: ["nearest", "stochastic"],
      }),
    ...siteOptions,
  }),
  survey: [{}, { bits: 8 }],
  neutral: null,
  async apply(model, { bits, rounding, ...selection }, context) {
    const sites = thetasOf(model, selection, context);
    for (const [i, site] of sites.entries()) {
      await context.progress(i, sites.length);
      const { values, shape } = site.weight;
      const step = stepOf(values, bits);
      const random = rounding === "stochastic" ? context.random.fork(`fixed-point ${i}`) : null;
      const levels = Int16Array.from(values, (w) => round(w / step, random));
      storeWeight(site, uniformGrid(levels, shape, step, bits));
    }
  },
});

/** The smallest power of two e with -2^(bits - 1) e <= w <= (2^(bits - 1) - 1) e for all w. */
function stepOf(values: Float32Array, bits: number): number {
  const [low, high] = spanOf(values);
  if (low === high) return 1;
  const fits = (e: number): boolean =>
    low >= -(2 ** (bits - 1)) * e && high <= (2 ** (bits - 1) - 1) * e;
  let step = 1;
  while (!fits(step)) step *= 2;
  // Below 2^-126 a float32 has fewer digits.
  while (step > 2 ** -126 && fits(step / 2)) step /= 2;
  return step;
}

/** The nearest whole number, the lower of two; with `random` one of the two around x. */
function round(x: number, random: Random | null): number {
  const below = Math.floor(x);
  return below + (x - below > (random ? random.float() : 0.5) ? 1 : 0);
}
