/** @file Half-precision storage: weights take two bytes in the file and are widened at load. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { overflowsOf } from "../../evidence/overflow.ts";
import type { Value } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { computeInHalf, whyNotHalf } from "../../layers/half.ts";
import { areFinite } from "../../numeric/finite.ts";
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "../../numeric/float16.ts";
import { linearOf } from "../../ops/linear.ts";
import { weightsOf } from "../../ops/weights.ts";
import { pays } from "../../targets/target.ts";
import { chosenLayers, type Selection, siteOptions } from "../../weights/select.ts";
import { storeWeight, thetasOf } from "../../weights/sites.ts";
import { leaf } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

/** The largest finite number of each type, and the function that rounds to the type. */
const types = {
  float16: { largest: "65504", round: (x: number) => fromFloat16(toFloat16(x)) },
  bfloat16: { largest: "3.3895e+38", round: (x: number) => fromBfloat16(toBfloat16(x)) },
} as const;

/**
 * The largest accepted |w - w'| / |w| of a tensor: what bfloat16 has at worst. float16 exceeds it
 * only below 2^-14, where its steps no longer shrink with the numbers; 6e-8 is the last of them.
 */
const PRECISION = 2 ** -8;

/**
 * Each weight is rounded to the nearest 16-bit float; a Cast widens it when the
 * engine loads the model.
 */
export const storeFloat16 = defineMethod({
  title: "half-precision storage",
  equation: "W' = the nearest 16-bit float of W",
  cite: "Gupta et al. 2015, arXiv 1502.02551 (limited precision)",
  summary:
    "Stores weights in 16 bits; computation stays float32, because most processors gain nothing from half.",
  needs: ({ compute }) => (compute === "float16" ? ["calibration"] : []),
  options: z.object({
    dtype: z
      .enum(["float16", "bfloat16"])
      .default("float16")
      .meta({
        description: "float16 has more precision, bfloat16 the range of float32.",
        search: ["float16"],
      }),
    compute: z.enum(["float32", "float16", "auto"]).default("float32").meta({
      description:
        "float16: layers also compute in it, for engines that are faster so; those that would overflow on calibration records stay float32. auto: float16 where there are such records and it is faster on the target (--on).",
    }),
    ...siteOptions,
  }),
  survey: [{}],
  neutral: null,
  async apply(model, { dtype, compute, ...selection }, context) {
    const isHalf = compute === "float16" || (compute === "auto" && isFaster(context));
    const halved = isHalf ? await halveLayers(model, selection, context) : new Set<string>();
    const { largest, round } = types[dtype];
    const sites = thetasOf(model, selection, {
      // Layers that compute in float16 are stored in it already.
      skip: (name, reason) => halved.has(name) || context.skip(name, reason),
    });
    for (const [i, site] of sites.entries()) {
      await context.progress(i, sites.length);
      const { weight } = site;
      const { values } = weight;
      const stored = weight.form === null ? weight.coding : weight.form.kind;
      if (stored !== "float32") {
        context.skip(site.node.name, `is stored as ${stored} already`);
        continue;
      }
      const rounded = values.map(round);
      const reason = !areFinite(rounded)
        ? `holds weights beyond ${largest}, ${dtype}'s largest`
        : relativeError(values, rounded) > PRECISION
          ? `its weights are too small for ${dtype}`
          : null;
      if (reason) context.skip(site.node.name, reason);
      else storeWeight(site, leaf(rounded, weight.shape, dtype));
    }
  },
});

/** Whether float16 arithmetic is faster on the target, and overflows can be looked for. */
function isFaster({ target, hasCalibration, warn }: Context): boolean {
  if (!pays(target, "float16")) return false;
  if (!hasCalibration) {
    warn(
      `float16 arithmetic is faster on ${target.id}, but without calibration records nobody knows what overflows: layers compute in float32`,
    );
  }
  return hasCalibration;
}

/**
 * Lets the chosen layers compute in float16, but those whose inputs, outputs or sums overflow.
 * Returns the names of those that do.
 */
async function halveLayers(
  model: Model,
  selection: Selection,
  context: Context,
): Promise<Set<string>> {
  const chosen = chosenLayers(model, selection);
  const layers = weightsOf(model).filter(
    ({ node, index }) => chosen.has(node) && linearOf(node) && index < 2,
  );
  const open = layers.filter((layer) => {
    const why = layer.node.graph === model.graph ? whyNotHalf(layer) : "is inside a body";
    if (why) context.skip(layer.node.name, `computes in float32: ${why}`);
    return why === null;
  });
  const overflows = await overflowsOf(model, open, context.observe);
  const casts = new Map<Value, Value>();
  const halved = new Set<string>();
  for (const layer of open) {
    const why = overflows.get(layer.node);
    if (why) context.skip(layer.node.name, `computes in float32: ${why}`);
    else {
      halved.add(layer.node.name);
      computeInHalf(layer, casts);
    }
  }
  return halved;
}

/** |w - w'| / |w|; 0 where all are 0. */
function relativeError(values: Float32Array, rounded: Float32Array): number {
  let [error, energy] = [0, 0];
  for (const [i, w] of values.entries()) {
    error += (w - rounded[i]) ** 2;
    energy += w ** 2;
  }
  return energy > 0 ? Math.sqrt(error / energy) : 0;
}
