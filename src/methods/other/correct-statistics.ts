/** @file Gives each channel of a compressed layer the mean and the spread that it had in the original. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { type Spread, spreadsOf } from "../../evidence/pooled.ts";
import type { Node, Value } from "../../ir/graph.ts";
import { cloneModel, type Model } from "../../ir/model.ts";
import { reads } from "../../ir/sort.ts";
import { shiftOutputs } from "../../layers/shift.ts";
import { biasReadBy } from "../../ops/bias.ts";
import { constantValue } from "../../ops/constant.ts";
import { inferModel } from "../../ops/infer.ts";
import { linearOf } from "../../ops/linear.ts";
import { keepsStatistics } from "../../ops/norms.ts";
import { type WeightUse, weightsOf } from "../../ops/weights.ts";
import { rewrite } from "../../rewrite/index.ts";
import { withGains } from "../../weights/gains.ts";
import { readWeight } from "../../weights/read.ts";
import { chosenLayers, siteOptions } from "../../weights/select.ts";
import { refusalOf, storeWeight } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

/**
 * What re-estimating batch normalizations does, for networks in which they are part of the weights.
 * With a channel's outputs y = W x + b, their mean m and deviation s, and m0 and s0 in the original:
 *   W <- (s0 / s) W,   b <- m0 - (s0 / s) (m - b),   so that E[y] = m0 and sd(y) = s0
 * Layers are corrected in the order of execution, each on what the corrected ones before it give.
 */
export const correctStatistics = defineMethod({
  title: "correcting statistics",
  equation: "W <- (s0 / s) W, b <- m0 - (s0 / s) (m - b)",
  cite: "Finkelstein et al. 2019, arXiv 1906.03193; Nagel et al. 2019, arXiv 1906.04721, section 4.2",
  summary:
    "Corrects biases and scales after compression: each channel gets the mean and the spread of the original.",
  repairs: true,
  needs: ["calibration"],
  quickens: true,
  options: z.object({
    match: z
      .enum(["spread", "mean"])
      .default("spread")
      .meta({
        description: "spread: mean and deviation; mean: only biases change.",
        search: ["spread", "mean"],
      }),
    records: z.int().min(1).default(256).meta({
      description: "Calibration records, at most; they run once for each layer in a row.",
    }),
    ...siteOptions,
  }),
  survey: [],
  neutral: {},
  async apply(model, { match, records, ...selection }, context) {
    const layers = layersOf(model, chosenLayers(model, selection), context);
    const twins = twinsOf(layers, originalOf(model, context), context);
    const pairs = [...twins.values()].map((node) => ({ value: node.output, axis: axisOf(node) }));
    if (pairs.length === 0) return;
    const original = pairs[0].value.graph;
    const wanted = await spreadsOf({ ...model, graph: original }, pairs, context.observe, records);
    const targets = new Map(Array.from(wanted, ([{ value }, spread]) => [value, spread]));
    const levels = levelsOf(
      model,
      layers.filter(({ node }) => twins.has(node)),
    );
    for (const [i, level] of levels.entries()) {
      await context.progress(i, levels.length);
      inferModel(model);
      const sources = level.map((use) => ({ use, value: use.node.output, axis: axisOf(use.node) }));
      const found = await spreadsOf(model, sources, context.observe, records);
      for (const [{ use }, spread] of found) {
        const target = targets.get((twins.get(use.node) as Node).output);
        if (target) correct(use, spread, target, match === "spread");
      }
    }
  },
});

/** The axis of channels in what a layer gives. */
const axisOf = (node: Node): number => {
  const rank = node.output.shape?.length ?? 1;
  return ((linearOf(node)?.channelAxis ?? -1) + rank) % rank;
};

/** The chosen layers of the main graph that can be corrected; others are skipped with a reason. */
function layersOf(model: Model, chosen: ReadonlySet<Node>, context: Context): WeightUse[] {
  return weightsOf(model).filter(({ node, value, role }) => {
    if (!chosen.has(node) || role.kind === "embedding" || !linearOf(node)) return false;
    const why =
      node.output.graph === model.graph
        ? refusalOf(value, readWeight(value), true)
        : "lies inside a loop or a branch";
    if (why) context.skip(node.name, why);
    return why === null;
  });
}

/**
 * A copy of the original. Where the model has no batch normalizations of its own left, those of the
 * original are folded as well, so that the same layers give the same values.
 */
function originalOf(model: Model, { original }: Context): Model {
  const copy = cloneModel(original);
  inferModel(copy);
  if (![...model.graph.nodes].some(keepsStatistics)) rewrite(copy);
  inferModel(copy);
  return copy;
}

/** The layer of that name in the original, if it has as many channels; else a skip says why. */
function twinsOf(layers: readonly WeightUse[], original: Model, context: Context): Map<Node, Node> {
  const byName = new Map(Array.from(original.graph.nodes, (node) => [node.name, node]));
  const twins = new Map<Node, Node>();
  for (const { node } of layers) {
    const twin = byName.get(node.name);
    const channels = (of: Node) => of.output.shape?.[axisOf(of)];
    if (!twin || twin.op !== node.op) context.skip(node.name, "is no layer of the original");
    else if (typeof channels(node) !== "number" || channels(twin) !== channels(node)) {
      context.skip(node.name, "has other channels than in the original");
    } else twins.set(node, twin);
  }
  return twins;
}

/** Layers by the number of others on the longest way to them: those of one level are measured at once. */
function levelsOf(model: Model, layers: readonly WeightUse[]): WeightUse[][] {
  const own = new Map(layers.map((use) => [use.node, use]));
  const levels: WeightUse[][] = [];
  const depths = new Map<Value, number>();
  for (const node of model.graph.sorted()) {
    let depth = 0;
    for (const value of reads(node)) depth = Math.max(depth, depths.get(value) ?? 0);
    const use = own.get(node);
    if (use) {
      levels[depth] = [...(levels[depth] ?? []), use];
      depth++;
    }
    for (const output of node.outputs) if (output) depths.set(output, depth);
  }
  return levels;
}

/** Smaller changes, in deviations of a channel, are left out: they are rounding errors. */
const LEAST = 1e-4;
/** A channel that a few levels silence almost is not blown up beyond this. */
const MOST = 2;

/** Corrects one layer: its weight's scales where they can differ by channel, and its bias. */
function correct(use: WeightUse, found: Spread, target: Spread, matchesSpread: boolean): void {
  const { node, value, role } = use;
  const { alpha, beta } = linearOf(node) ?? { alpha: 1, beta: 1 };
  const sd = (variance: number): number => Math.sqrt(Math.max(0, variance));
  const wanted = Array.from(found.variance, (variance, i) => {
    const [own, other] = [sd(variance), sd(target.variance[i])];
    return own > 0 && other > 0 ? Math.min(MOST, Math.max(1 / MOST, other / own)) : 1;
  });
  const bias = ownBias(node, wanted.length, beta);
  const isOff = matchesSpread && wanted.some((gain) => Math.abs(gain - 1) > LEAST);
  // A weight that other layers read as well keeps its scales.
  const weight = isOff && bias && value.uses.size === 1 ? readWeight(value) : null;
  const scaled = weight && withGains(weight, Float32Array.from(wanted), role.outputAxis);
  const gains = scaled ? wanted : wanted.map(() => 1);
  const shift = Float64Array.from(found.mean, (mean, i) => {
    const b = bias?.[i] ?? 0;
    return target.mean[i] - gains[i] * (mean - b) - b;
  });
  if (scaled) storeWeight({ value, node }, scaled);
  const isShifted = shift.some((x, i) => Math.abs(x) > LEAST * (sd(target.variance[i]) || 1));
  if (isShifted)
    shiftOutputs(
      node,
      shift.map((x) => x / alpha),
      "float32",
    );
}

/** What the layer itself adds to each channel: zeros without a bias; null if that is not known. */
function ownBias(node: Node, channels: number, beta: number): Float32Array | null {
  const read = biasReadBy(node);
  if (!read || read.node !== node) return new Float32Array(channels);
  const bias = constantValue(read.value);
  return bias?.size === channels ? bias.floats().map((b) => b * beta) : null;
}
