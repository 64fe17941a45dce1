/** @file Mixed precision: each layer gets as many bits as its weights are worth, within a budget. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { errors, fail } from "../../errors.ts";
import { curvatures } from "../../evidence/curvature.ts";
import { gainsOf } from "../../evidence/gains.ts";
import { type Moments, momentsOf } from "../../evidence/moments.ts";
import type { Value } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { storeDequantized } from "../../layers/n-bit.ts";
import { bestChoices, bestWithinBoth, type TwoCosts } from "../../numeric/knapsack.ts";
import { roundByHessian, roundMoments } from "../../rounding/by-layer.ts";
import { type KernelTimes, kernelTimes } from "../../rounding/kernel-times.ts";
import { type HessianLayer, outputErrors, weightOf } from "../../rounding/matrix.ts";
import {
  gridOptions,
  type HessianChoice,
  hessianOptions,
  siteOptions,
} from "../../rounding/options.ts";
import { propagate } from "../../rounding/propagate.ts";
import { readWeight } from "../../weights/read.ts";
import type { Selection } from "../../weights/select.ts";
import { type LayerSite, type ThetaSite, thetasOf } from "../../weights/sites.ts";
import type { Composed } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

/**
 * Chooses bits b_l from a list for every layer l:
 *   min sum_l loss_l(b_l)   with   sum_l n_l b_l <= bits sum_l n_l
 * where n_l is the number of weights and loss_l = sum_o g_o dw_o^T H dw_o what GPTQ at b_l bits leaves
 * at the outputs of the network (gains.ts); by dynamic programming. Then the layers are rounded by
 * GPTQ in order, each with the inputs that the rounded layers before it give.
 *
 * With unit=milliseconds, also sum_l time_l <= budget sum_l time_l of now. Weights of any bits that are
 * unpacked at load take the same time, so that a layer is faster only where the engine has an n-bit MatMul
 * for it: that is a choice of its own, whose time is measured (rounding/kernel-times.ts).
 */
export const quantizeMixed = defineMethod({
  title: "mixed precision",
  equation:
    "min over b: sum_l loss_l(b_l) with sum_l n_l b_l <= bits sum_l n_l, loss_l = sum_o g_o dw_o^T H dw_o",
  cite: "Frantar, Alistarh 2022, arXiv 2208.11580, section 5; Dong et al. 2020 (HAWQ-V2), arXiv 1911.03852",
  summary: "Gives each layer the bits that its weights are worth, within a mean number of bits.",
  needs: ["calibration", "training"],
  simplifyFirst: true,
  options: z.object({
    bits: z
      .number()
      .min(2)
      .max(8)
      .default(4)
      .meta({ description: "Mean bits per weight, over all chosen layers.", search: [3, 4, 5] }),
    unit: z.enum(["bytes", "milliseconds"]).default("bytes").meta({
      description:
        "What `budget` counts: bytes of the weights in float32, in the place of `bits`; or milliseconds of the layers as they are, measured, beside `bits`. A layer gains time where the engine has an n-bit MatMul for its bits (products, 4 and 8 bits).",
    }),
    budget: z.number().min(0).max(1).default(0).meta({
      description: "Share of these bytes or milliseconds that may stay; 0: `bits` decides.",
    }),
    least: z.int().min(2).max(8).default(2).meta({ description: "Fewest bits of a layer." }),
    most: z.int().min(2).max(8).default(8).meta({ description: "Most bits of a layer." }),
    block: gridOptions.block,
    levels: gridOptions.levels,
    passes: z
      .int()
      .min(0)
      .max(100)
      .default(4)
      .meta({ description: "Passes of coordinate descent after GPTQ." }),
    ...hessianOptions,
    ...siteOptions,
  }),
  survey: [{}],
  neutral: null,
  async apply(model, { least, most, unit, budget, ...given }, context) {
    if (least > most) {
      const why = `least=${least} is above most=${most}`;
      throw fail(errors.badOption("quantize-mixed", why, "Give at least as many for most"));
    }
    const mean = unit === "bytes" && budget > 0 ? FLOAT_BITS * budget : given.bits;
    const options = { ...given, bits: Math.round(mean) };
    const widths = Array.from({ length: 9 }, (_, b) => b).filter((b) => b >= least && b <= most);
    const time = unit === "milliseconds" && budget > 0 ? budget : null;
    const chosen = await widthsFor(model, { ...options, widths, mean, time }, context);
    const round = (layer: HessianLayer) =>
      propagate(layer, { order: "activations", passes: options.passes });
    await roundByHessian(
      model,
      options,
      context,
      round,
      (site) => chosen.get(site.node.name)?.bits ?? options.bits,
    );
    for (const site of thetasOf(model, options, { skip() {} })) {
      const { node } = site;
      const weight = chosen.get(node.name)?.isInteger ? readWeight(node.inputs[1] as Value) : null;
      if (weight?.form)
        storeDequantized({ node, value: node.inputs[1] as Value }, weight as Composed);
    }
  },
});

const FLOAT_BITS = 32;

/** How a layer is stored. */
interface Chosen {
  readonly bits: number;
  /** Left to the engine's n-bit MatMul; else unpacked at load. */
  readonly isInteger: boolean;
}

interface Plan extends HessianChoice, Selection {
  /** The bits to choose from, and the most that they may be in the mean. */
  readonly widths: readonly number[];
  readonly mean: number;
  /** The share of the layers' time that may stay; null: any. */
  readonly time: number | null;
}

const isLayer = (site: ThetaSite): site is ThetaSite & LayerSite => site.role !== null;

interface Option extends TwoCosts, Chosen {}

/** How every layer whose inputs and gradients are known is stored, by the node's name. */
async function widthsFor(model: Model, plan: Plan, context: Context): Promise<Map<string, Chosen>> {
  const sites = thetasOf(model, plan, { skip() {} }).filter(isLayer);
  const times =
    plan.time === null ? null : await kernelTimes(model, sites, plan.widths, plan, context);
  if (plan.time !== null && !times) {
    context.warn("the engine does not tell the time of each layer: bits alone decide");
  }
  const found = await curvatures(model, sites, Math.ceil(plan.records / 4), context);
  const moments = await momentsOf(model, sites, "gram", plan.records, context);
  const items: { site: ThetaSite; options: Option[]; now: number }[] = [];
  for (const [i, site] of sites.entries()) {
    await context.progress(i, sites.length);
    const own = moments.get(site) as Moments | string;
    const curvature = found[i];
    if (typeof own === "string" || !curvature) continue;
    const gains = gainsOf(own.rows, own.groups, curvature);
    const options = plan.widths.flatMap((bits) =>
      stored(bits, site.weight.values.length, lossOf(site, own, gains, bits, plan), times?.[i]),
    );
    items.push({ site, options, now: times?.[i].float ?? 0 });
  }
  const taken = takenOf(items, plan, times !== null, context);
  const chosen = items.map(({ site, options }, i) => [site.node.name, options[taken[i]]] as const);
  const text = chosen.map(
    ([name, { bits, isInteger }]) => `${name} ${bits}${isInteger ? " (n-bit kernel)" : ""}`,
  );
  context.note(`bits by layer: ${text.join(", ")}`);
  return new Map(chosen);
}

/** What a layer loses in so many bits: sum_o g_o dw_o^T H dw_o. */
function lossOf(
  site: ThetaSite,
  moments: Moments,
  gains: Float64Array,
  bits: number,
  plan: Plan,
): number {
  const rounded = roundMoments(site, moments, { ...plan, bits }, (layer) =>
    propagate(layer, { order: "activations", passes: 0 }),
  );
  return rounded.reduce((sum, { layer, levels }, group) => {
    const difference = weightOf(levels, layer).map((w, k) => w - layer.weight[k]);
    const errors = outputErrors(difference, layer.hessian, layer.columns);
    return sum + errors.reduce((a, e, row) => a + e * gains[group * layer.rows + row], 0);
  }, 0);
}

/** The ways to store a layer in so many bits: unpacked at load, and for the engine's kernel. */
function stored(bits: number, count: number, loss: number, times?: KernelTimes): Option[] {
  const both = { bits, cost: count * bits, loss };
  const kernel = times?.integer.get(bits);
  return [
    { ...both, time: times?.float ?? 0, isInteger: false },
    ...(kernel === undefined ? [] : [{ ...both, time: kernel, isInteger: true }]),
  ];
}

/** The option for every layer, within the bits and the time; warns where none fits. */
function takenOf(
  items: readonly {
    readonly site: ThetaSite;
    readonly options: readonly Option[];
    readonly now: number;
  }[],
  { mean, time }: Plan,
  isTimed: boolean,
  context: Context,
): number[] {
  const choices = items.map(({ options }) => options);
  const total = items.reduce((sum, { site }) => sum + site.weight.values.length, 0);
  const now = items.reduce((sum, item) => sum + item.now, 0);
  const wanted = (time ?? 0) * now;
  const least = choices.reduce(
    (sum, own) => sum + Math.min(...own.map((option) => option.time)),
    0,
  );
  if (isTimed && least > wanted) {
    const share = ((100 * least) / now).toFixed(0);
    context.warn(
      `no kernels take less than ${share} % of the layers' time, which is taken as the budget`,
    );
  }
  const budget = { cost: mean * total, time: Math.max(wanted, least) };
  const found = isTimed ? bestWithinBoth(choices, budget) : bestChoices(choices, budget.cost);
  if (found) return found;
  const limits = isTimed ? " in that time" : "";
  context.warn(`${mean} bits are fewer than the fewest allowed${limits}: all layers get these`);
  // The fewest bits come first.
  return choices.map(() => 0);
}
