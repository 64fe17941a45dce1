/** @file Sparsity training: a regularizer drives weights to zero, the smallest are removed. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import type { Value } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { type Tensor, tensor } from "../../ir/tensor.ts";
import { batchScaleOf } from "../../ops/norms.ts";
import { lowest, type Site, setZero, sharedOptions } from "../../sparsity/by-score.ts";
import { gated } from "../../sparsity/hard-concrete.ts";
import { extentOf, type Regularizer, regularizers, unitsOf } from "../../sparsity/regularizers.ts";
import { needsOfLoss } from "../../train/objective.ts";
import { trainOptions } from "../../train/options.ts";
import { openable } from "../../weights/latent.ts";
import { chosenLayers, siteOptions } from "../../weights/select.ts";
import { layersOf, type Skips, thetasOf } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

const keysOf = <T extends object>(table: T) => Object.keys(table) as [keyof T & string];
const { sparsity } = sharedOptions("layer");
const { epochs, batch, rate, loss, optimizer, augment } = trainOptions.shape;
const names = [...keysOf(regularizers), "l0", "slimming"] as const;
const docs = Object.entries(regularizers).map(([name, { doc }]) => `${name}: ${doc}`);
/**
 * Default strengths of the regularizers that need more than the weights: l0 (gates) and slimming
 * (scales of normalizations).
 */
const strengths = { l0: 1e-6, slimming: 1e-4 } as const;

export const pruneTrained = defineMethod({
  title: "sparsity training",
  cite: "Hanson, Pratt 1989; arXiv 1608.03665, 1506.02515, 1708.06519, 1712.01312",
  summary:
    "Trains with a penalty that drives weights, filters or channels to zero, then removes the smallest.",
  needs: needsOfLoss,
  options: z.object({
    regularizer: z
      .enum(names)
      .default("l1")
      .meta({
        description: `${docs.join("; ")}; l0: hard concrete gates (Louizos et al. 2018); slimming: l1 on the scales of batch normalizations (Liu et al. 2017).`,
        search: ["l1", "filters", "l0"],
      }),
    strength: z
      .number()
      .min(0)
      .max(10)
      .default(0)
      .meta({ description: "Factor of the penalty; 0: the regularizer's default." }),
    sparsity: sparsity.meta({ description: "Share of weights, or of groups, that end at zero." }),
    scope: z
      .enum(["auto", "layer", "global"])
      .default("auto")
      .meta({
        description:
          "One threshold for one layer (layer) or the whole model (global); auto: for the whole model with slimming, and always with layers, else for one layer.",
        search: ["layer", "global"],
      }),
    ...{ epochs, batch, rate, loss, optimizer, augment },
    ...siteOptions,
  }),
  survey: [],
  neutral: { sparsity: 0 },
  async apply(model, options, context) {
    if (options.sparsity === 0) return;
    const { regularizer } = options;
    if (regularizer === "slimming") await slim(model, options, context);
    else await penalize(model, options, context, regularizer);
  },
});

type Options = z.output<typeof pruneTrained.options>;

const training = ({ epochs, batch, rate, loss, optimizer, augment, only, except }: Options) =>
  ({
    epochs,
    batch,
    rate,
    loss,
    optimizer,
    augment,
    only,
    except,
    holdout: 0,
    keep: "last",
  }) as const;

/** Trains with a penalty on weights, or with gates (l0), and sets the smallest units to zero. */
async function penalize(
  model: Model,
  options: Options,
  context: Context,
  id: keyof typeof regularizers | "l0",
): Promise<void> {
  const rule: Regularizer = regularizers[id === "l0" ? "l1" : id];
  // Single weights may be parts of a form; groups are rows and columns of the matrix itself.
  const find = (notes: Skips): Site[] =>
    rule.unit === "weight" ? thetasOf(model, options, notes) : layersOf(model, options, notes);
  const sites = openable(find(context), model, context).filter((site) => {
    const reason = extentOf(rule.unit, site);
    if (typeof reason === "string") context.skip(site.node.name, reason);
    return typeof reason !== "string";
  });
  if (sites.length === 0) return;
  if (id === "l0") {
    const strength = options.strength || strengths.l0;
    const gates = sites.map((site) => gated(site, strength));
    await context.train(model, training(options), { latents: gates });
  } else {
    const strength = options.strength || rule.strength;
    await context.train(model, training(options), {
      penalty(g, student) {
        const terms = sites.map((site) => {
          const axes = extentOf(rule.unit, site) as number[];
          const size = axes.reduce((product, axis) => product * site.weight.shape[axis], 1);
          return rule.penalty(g, student.of(site.value), axes, size);
        });
        return g.Mul(
          terms.reduce((a, b) => g.Add(a, b)),
          g.constant(strength),
        );
      },
    });
  }
  const trained = new Set(sites.map(({ node }) => node));
  const quiet = { ...context, skip() {} };
  const after = find(quiet).filter(({ node }) => trained.has(node));
  zeroSmallest(after, rule, options);
}

/**
 * Sets the units with the smallest root mean square to zero until the share is reached. Every layer
 * keeps its largest unit, unless the units are whole layers.
 */
function zeroSmallest(sites: readonly Site[], { unit }: Regularizer, options: Options): void {
  const units = sites.map((site) => unitsOf(site, extentOf(unit, site) as number[]));
  const sizes = units.map((each) => each.sizes);
  const removed =
    unit === "layer"
      ? shares(sizes, options.sparsity, "global")
      : keepLargest(sizes, shares(sizes, options.sparsity, options.scope));
  for (const [i, site] of sites.entries()) {
    const { places } = units[i];
    setZero(
      site,
      Uint8Array.from(places, (place) => removed[i][place]),
    );
  }
}

/** Unmarks the largest of each array that is marked as a whole, in place. */
function keepLargest(sizes: readonly Float32Array[], marks: Uint8Array[]): Uint8Array[] {
  for (const [i, own] of marks.entries()) {
    const largest = sizes[i].indexOf(sizes[i].reduce((a, b) => Math.max(a, b)));
    if (!own.includes(0)) own[largest] = 0;
  }
  return marks;
}

/** Marks the lowest share of each array, or of all arrays together (scope "global"). */
function shares(
  parts: readonly Float32Array[],
  sparsity: number,
  scope: Options["scope"],
): Uint8Array[] {
  const all = scope === "global" ? lowest(parts, sparsity) : null;
  return parts.map((part) => {
    const falls = all ?? lowest([part], sparsity);
    return Uint8Array.from(part, (size) => (falls(size) ? 1 : 0));
  });
}

/**
 * Network slimming (Liu et al. 2017, arXiv 1708.06519): l1 on the scales of batch normalizations;
 * those below one threshold for all layers, a percentile of all scales, are then set to zero, so
 * that their channels carry a constant. Every layer keeps its largest.
 */
async function slim(model: Model, options: Options, context: Context): Promise<void> {
  const chosen = chosenLayers(model, options);
  const scales: Value[] = [];
  for (const node of model.graph.sorted()) {
    const scale = batchScaleOf(node);
    const maker = node.inputs[0]?.producer;
    if (scale?.tensor && scale.uses.size === 1 && maker && chosen.has(maker)) scales.push(scale);
  }
  if (scales.length === 0) {
    const [first] = chosen;
    if (first)
      context.skip(first.name, "like all others, has no normalization with a scale behind it");
    return;
  }
  const strength = options.strength || strengths.slimming;
  await context.train(model, training(options), {
    penalty(g, student) {
      const sums = scales.map((scale) =>
        g.ReduceSum(g.Abs(student.of(scale)), null, { keepdims: 0 }),
      );
      return g.Mul(
        sums.reduce((a, b) => g.Add(a, b)),
        g.constant(strength),
      );
    },
  });
  const values = scales.map(({ tensor: x }) => (x as Tensor).floats());
  const sizes = values.map((part) => part.map(Math.abs));
  const scope = options.scope === "auto" ? "global" : options.scope;
  const removed = keepLargest(sizes, shares(sizes, options.sparsity, scope));
  for (const [i, scale] of scales.entries()) {
    const kept = values[i].map((x, channel) => (removed[i][channel] ? 0 : x));
    model.graph.setConstant(scale, tensor("float32", [kept.length], kept));
  }
}
