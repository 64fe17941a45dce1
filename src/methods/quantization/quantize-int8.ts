/** @file Static int8: calibrated uint8 activations and int8 weights per channel, in QDQ form. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { observeRanges } from "../../evidence/ranges.ts";
import { approximated, warnOfApproximation } from "../../int8/approximation.ts";
import { computeOnIntegers, roundingParams } from "../../int8/compute.ts";
import { equalize } from "../../int8/equalize.ts";
import { observeMeans } from "../../int8/means.ts";
import { type Choice, leaveOut, type Plan, planInt8 } from "../../int8/plan.ts";
import { saturatedShares } from "../../int8/saturation.ts";
import { storeTable } from "../../int8/store-table.ts";
import { trialOf } from "../../int8/trial.ts";
import { worthwhile } from "../../int8/worthwhile.ts";
import type { Node, Value } from "../../ir/graph.ts";
import { cloneModel, type Model } from "../../ir/model.ts";
import type { Calibrator } from "../../numeric/calibrate.ts";
import { quantParams } from "../../numeric/quantize.ts";
import { roundToGrid } from "../../weights/forms/grid.ts";
import { rescueOptions, siteOptions } from "../../weights/select.ts";
import { scaleAxisOf, storeWeight } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

const options = z.object({
  calibrator: z
    .enum(["minmax", "percentile", "entropy", "mse", "aciq"])
    .default("mse")
    .meta({
      description: "How an activation's range is chosen from the calibration data.",
      search: ["minmax", "percentile", "entropy", "mse", "aciq"],
    }),
  percentile: z
    .number()
    .min(90)
    .max(100)
    .default(99.999)
    .meta({
      description: "For calibrator=percentile: share of values inside the range, percent.",
      search: [99.9, 99.99, 99.999],
    }),
  kernel: z
    .enum(["integer", "expected", "auto"])
    .default("integer")
    .meta({
      description:
        "integer: all layers with an integer kernel compute on integers; auto: those that are faster so, as measured here, and the others store integers and compute in float; expected: the same by the target's table alone, so that equal seeds give equal bytes.",
      search: ["integer", "auto"],
    }),
  ops: z
    .enum(["weighted", "all"])
    .default("all")
    .meta({
      description:
        "Only layers with weights, or also Add, pools, Concat and activations between them.",
      search: ["weighted", "all"],
    }),
  activations: z
    .enum(["exact", "approximate"])
    .default("exact")
    .meta({
      description:
        "For ops=all: exact: SiLU, Tanh and HardSigmoid run on integers; approximate: also Gelu, as x Sigmoid(1.702 x), and the step tells what that costs.",
      search: ["exact", "approximate"],
    }),
  scale: z
    .enum(["minmax", "mse"])
    .default("mse")
    .meta({
      description: "Weight scales from the largest weight, or with the least squared error.",
      search: ["minmax", "mse"],
    }),
  correctBias: z.boolean().default(true).meta({
    description:
      "Takes the mean output error of rounded weights out of the bias (arXiv 1906.04721).",
  }),
  equalize: z.boolean().default(true).meta({
    description: "Moves scales between layers first, so that all channels use the 8 bits.",
  }),
  reduceRange: z
    .enum(["target", "false", "true", "auto"])
    .default("target")
    .meta({
      description:
        "7-bit weights, for x64 CPUs without VNNI, whose int8 sums saturate; auto: in layers where they do on calibration records; target: auto for a target whose sums saturate (--on), else false.",
      search: ["false", "auto"],
    }),
  ...siteOptions,
  ...rescueOptions,
});

/**
 * q = saturate(round(x / s) + z) around every integer layer as QuantizeLinear -> DequantizeLinear,
 * from which the engine makes its integer kernels: activations uint8 with one s and z per tensor,
 * weights int8 with one s per output channel, biases int32 in steps of s_x s_w.
 */
export const quantizeInt8 = defineMethod({
  title: "static int8",
  cite: "Jacob et al. 2018, arXiv 1712.05877; Nagel et al. 2019, arXiv 1906.04721; calibrator=aciq: Banner et al. 2018, arXiv 1810.05723",
  equation:
    "q = saturate(round(x / s) + z): activations uint8 per tensor, weights int8 per channel",
  summary: "Weights and activations in 8 bits, ranges from calibration data: smaller and faster.",
  needs: ["calibration"],
  quickens: true,
  options,
  gentler: [{ activations: "exact" }, { calibrator: "minmax" }, { calibrator: "percentile" }],
  quicker: { kernel: "auto" },
  survey: [{}, { kernel: "auto" }],
  neutral: null,
  async apply(model, options, context) {
    const choice = { ...options, floatDepthwise: !context.target.int8?.takesDepthwiseAlong };
    const every = planInt8(model, choice, context);
    const { kernel } = options;
    const time = kernel === "auto" ? context.time : undefined;
    const whole = kernel === "integer" ? every : await fastest(model, every, choice, context, time);
    for (const table of whole.tables) storeTable(table, table.weight, options.scale);
    for (const layer of whole.stored) storeInteger(layer, options.scale);
    if (whole.layers.length === 0) return;
    const { observe } = context;
    // Equalization changes the activations, so their ranges are observed after it.
    if (options.equalize) await equalize(model, whole, observe);
    const calibrator: Calibrator =
      options.calibrator === "percentile"
        ? { kind: "percentile", percentile: options.percentile }
        : { kind: options.calibrator };
    const wanted = [...whole.values.keys()];
    const ranges = await observeRanges(model, wanted, calibrator, observe);
    const endless = new Set(wanted.filter((value) => !ranges.has(value)));
    const plan = leaveOut(whole, endless, context);
    const params = roundingParams(plan, (value) => {
      const range = ranges.get(value);
      return range && quantParams(range.min, range.max);
    });
    const means = options.correctBias
      ? await observeMeans(model, plan, params, observe)
      : new Map();
    const { scale } = options;
    const bySaturation = context.target.saturates ? "auto" : "false";
    const reduceRange = options.reduceRange === "target" ? bySaturation : options.reduceRange;
    const saturated =
      reduceRange === "auto"
        ? await saturatedShares(model, plan, params, scale, observe)
        : new Map<Node, number>();
    if (options.reduceRange === "false" && context.target.saturates) {
      context.warn(`int8 sums may saturate on ${context.target.id}: reduceRange=auto avoids it`);
    }
    if (saturated.size > 0) context.warn(saturationWarning(saturated));
    const reducesRange = (node: Node): boolean => reduceRange === "true" || saturated.has(node);
    const weights = { scale, reducesRange };
    const close = approximated(plan);
    if (close.length === 0) return computeOnIntegers(plan, params, means, weights, context);
    const layers = new Set(plan.layers.map(({ node }) => node));
    const rounding = { paramsOf: (value: Value) => params.get(value), means, weights };
    const exact = { ...choice, activations: "exact" } as const;
    const compared = {
      float: cloneModel(model),
      exact: trialOf(model, layers, exact, context, rounding),
      close: model,
    };
    computeOnIntegers(plan, params, means, weights, context);
    await warnOfApproximation(close, compared, context);
  },
});

/** The plan of those layers that are faster on integers. Tells what was measured. */
async function fastest(
  model: Model,
  plan: Plan,
  choice: Choice,
  context: Context,
  time: Context["time"],
): Promise<Plan> {
  const { layers, speedup } = await worthwhile(model, plan, choice, context, time);
  const all = plan.layers.length;
  const factor = speedup === null ? "expected to be faster" : `${speedup.toFixed(2)} x as fast`;
  if (all > 0 && (speedup !== null || layers.size < all))
    context.warn(tellOf(layers.size, all, factor));
  return planInt8(
    model,
    { ...choice, computes: (node) => layers.has(node) },
    { ...context, skip() {} },
  );
}

function tellOf(some: number, all: number, factor: string): string {
  if (some === 0) {
    const why = factor.startsWith("expected") ? "expected to be slower" : factor;
    return `int8 arithmetic is not worth it here (${why}): all layers compute in float, from weights of 8 bits; kernel=integer computes on integers anyway`;
  }
  const which = some === all ? "all" : `${some} of`;
  return `${which} ${all} layers compute on integers (${factor})${some < all ? ", the others in float" : ""}`;
}

/** Stores the weight of a layer that computes in float as integers, with a scale per output. */
function storeInteger(
  { node, value, role, weight }: Plan["stored"][number],
  search: "minmax" | "mse",
): void {
  if (weight.form !== null) return;
  const rounding = { bits: 8, block: 0, axis: scaleAxisOf(role), search };
  storeWeight({ node, value }, roundToGrid(weight.values, weight.shape, rounding));
}

/** Names up to five layers with the share of their sums that saturate. */
function saturationWarning(shares: ReadonlyMap<Node, number>): string {
  const worst = [...shares].sort(([, a], [, b]) => b - a).slice(0, 5);
  const named = worst.map(([{ name }, share]) => `${name} ${(100 * share).toPrecision(2)} %`);
  const rest = shares.size > worst.length ? ` and ${shares.size - worst.length} more` : "";
  return `int8 sums would saturate without VNNI, so these layers have 7-bit weights: ${named.join(", ")}${rest}`;
}
