/** @file Mixed precision: each layer gets as many bits as its weights are worth, within a budget. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { curvatures } from "../../evidence/curvature.ts";
import { gainsOf } from "../../evidence/gains.ts";
import { type Moments, momentsOf } from "../../evidence/moments.ts";
import type { Model } from "../../ir/model.ts";
import { bestChoices, type Choice } from "../../numeric/knapsack.ts";
import { roundByHessian, roundMoments } from "../../rounding/by-layer.ts";
import { type HessianLayer, outputErrors, weightOf } from "../../rounding/matrix.ts";
import {
  gridOptions,
  type HessianChoice,
  hessianOptions,
  siteOptions,
} from "../../rounding/options.ts";
import { propagate } from "../../rounding/propagate.ts";
import type { Selection } from "../../weights/select.ts";
import { type LayerSite, type ThetaSite, thetasOf } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

/**
 * Chooses bits b_l from a list for every layer l:
 *   min sum_l loss_l(b_l)   with   sum_l n_l b_l <= bits sum_l n_l
 * where n_l is the number of weights and loss_l = sum_o g_o dw_o^T H dw_o what GPTQ at b_l bits leaves
 * at the outputs of the network (gains.ts); by dynamic programming. Then the layers are rounded by
 * GPTQ in order, each with the inputs that the rounded layers before it give.
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
  async apply(model, { bits, least, most, ...options }, context) {
    const widths = Array.from({ length: 9 }, (_, b) => b).filter((b) => b >= least && b <= most);
    const chosen = await widthsFor(model, { ...options, bits, widths }, context);
    const round = (layer: HessianLayer) =>
      propagate(layer, { order: "activations", passes: options.passes });
    await roundByHessian(
      model,
      { ...options, bits: Math.round(bits) },
      context,
      round,
      (site) => chosen.get(site.node.name) ?? Math.round(bits),
    );
  },
});

interface Plan extends HessianChoice, Selection {
  /** The bits to choose from; `bits` is their mean. */
  readonly widths: readonly number[];
}

const isLayer = (site: ThetaSite): site is ThetaSite & LayerSite => site.role !== null;

/** The bits of every layer whose inputs and gradients are known, by the node's name. */
async function widthsFor(model: Model, plan: Plan, context: Context): Promise<Map<string, number>> {
  const sites = thetasOf(model, plan, { skip() {} }).filter(isLayer);
  const found = await curvatures(model, sites, Math.ceil(plan.records / 4), context);
  const moments = await momentsOf(model, sites, "gram", plan.records, context);
  const items: { site: ThetaSite; choices: Choice[] }[] = [];
  for (const [i, site] of sites.entries()) {
    await context.progress(i, sites.length);
    const own = moments.get(site) as Moments | string;
    const curvature = found[i];
    if (typeof own === "string" || !curvature) continue;
    const gains = gainsOf(own.rows, own.groups, curvature);
    const choices = plan.widths.map((width): Choice => {
      const rounded = roundMoments(site, own, { ...plan, bits: width }, (layer) =>
        propagate(layer, { order: "activations", passes: 0 }),
      );
      const loss = rounded.reduce((sum, { layer, levels }, group) => {
        const difference = weightOf(levels, layer).map((w, k) => w - layer.weight[k]);
        const errors = outputErrors(difference, layer.hessian, layer.columns);
        return sum + errors.reduce((a, e, row) => a + e * gains[group * layer.rows + row], 0);
      }, 0);
      return { cost: site.weight.values.length * width, loss };
    });
    items.push({ site, choices });
  }
  const total = items.reduce((sum, { site }) => sum + site.weight.values.length, 0);
  const taken = bestChoices(
    items.map(({ choices }) => choices),
    plan.bits * total,
  );
  if (!taken)
    context.warn(`${plan.bits} bits are fewer than the fewest allowed: all layers get these`);
  const widths = items.map(({ site: { node } }, i): [string, number] => [
    node.name,
    plan.widths[taken?.[i] ?? 0],
  ]);
  context.note(`bits by layer: ${widths.map(([name, width]) => `${name} ${width}`).join(", ")}`);
  return new Map(widths);
}
