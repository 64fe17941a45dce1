/** @file 1-D convolutions as 2-D ones with one row, where the engine has faster kernels for those. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import type { Node } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { fasterGroups } from "../../layers/faster.ts";
import { inputOf, type Layer, layerOf } from "../../layers/matrix.ts";
import { takePlace } from "../../layers/take-place.ts";
import { build } from "../../ops/builder.ts";
import { inferNode } from "../../ops/infer.ts";
import { biasOf } from "../../ops/weights.ts";
import { layerOptions } from "../../options.ts";
import { type LayerSite, layersOf } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

/** How the layer would run, in reasons. */
const HOW = "as 2-D convolutions";

/**
 * y = squeeze(conv2d(unsqueeze(x), W)) with x [N, c, 1, L] and W [n, c, 1, k]: the same sums. The native
 * engine has blocked kernels for pictures only, and computes lines by copying their windows first. Each
 * kind of layers of the same shapes is timed in the model by itself, then all that were faster together.
 */
export const conv1dTo2d = defineMethod({
  title: "1-D convolutions as 2-D ones",
  equation: "y = conv2d(x, W), x [N, c, 1, L], W [n, c, 1, k]",
  cite: "blocked kernels: Georganas et al. 2018, arXiv 1808.05567",
  summary:
    "Computes 1-D convolutions as 2-D ones with one row, the same sums, where that is measured to be faster.",
  needs: [],
  simplifyFirst: true,
  grows: true,
  options: z.object({
    measure: z.boolean().default(true).meta({
      description:
        "Replaces only layers with which the model is faster, timed on the engine of the run; false: all.",
    }),
    ...layerOptions,
  }),
  survey: [{}],
  neutral: null,
  async apply(model, { measure, ...selection }, context) {
    const groups = groupsOf(model, selection, context);
    await context.progress(0, groups.length);
    if (!measure) return replaceAll(model, groups);
    const ways = groups.map((group) => [group]);
    const alone = `${HOW} on ${context.target.id}`;
    const chosen = await fasterGroups(model, ways, replaceAll, context, HOW, alone);
    if (chosen) return replaceAll(model, chosen);
    const reason = "may be slower as a 2-D convolution, and there is no engine to time it on";
    for (const name of groups.flatMap(({ names }) => names)) context.skip(name, reason);
  },
});

/** Layers of the same shapes. */
interface Group {
  readonly names: readonly string[];
}

/** The layers that are 1-D convolutions, by their shapes; all others are skipped with the reason. */
function groupsOf(
  model: Model,
  selection: { readonly only: string[]; readonly except: string[] },
  context: Context,
): Group[] {
  const groups = new Map<string, string[]>();
  // The weights stay what they are, those of a front end as well.
  for (const site of layersOf(model, { ...selection, frontEnds: true }, context)) {
    const { name } = site.node;
    const layer = lineOf(site);
    if (typeof layer === "string") {
      context.skip(name, layer);
      continue;
    }
    const { outputs, inputs, kernel, node } = layer;
    const key = JSON.stringify([inputOf(layer).shape, outputs, inputs, kernel, node.attributes]);
    groups.set(key, [...(groups.get(key) ?? []), name]);
  }
  return [...groups.values()].map((names) => ({ names }));
}

function lineOf(site: LayerSite): Layer | string {
  const layer = layerOf(site, { grouped: true });
  if (typeof layer === "string") return layer;
  if (layer.kind !== "conv" || layer.kernel.length !== 1) return "is no 1-D convolution";
  // A weight in another form is read by the engine as that form.
  return site.value.tensor ? layer : "has a weight that is stored in another form";
}

function replaceAll(model: Model, chosen: readonly Group[]): void {
  const names = new Set(chosen.flatMap((group) => group.names));
  for (const site of layersOf(model, { only: [], except: [], frontEnds: true }, { skip() {} })) {
    const layer = names.has(site.node.name) ? lineOf(site) : "";
    if (typeof layer !== "string") replace(layer);
  }
}

/** Puts a convolution of one row in the place of the layer; the weight keeps its bytes. */
function replace({ node, value, use }: Layer): void {
  const [outputs, inputs, taps] = value.tensor?.shape ?? [];
  const weight = value.tensor?.reshape([outputs, inputs, 1, taps]) as Tensor;
  const g = build(node.graph, node.name, inferNode);
  const row = g.ints([2], "row");
  const picture = g.Unsqueeze(node.inputs[use.data], row);
  const filters = g.constant(weight, { name: "weight" });
  const by = g.Squeeze(g.Conv(picture, filters, biasOf(node), withRow(node)), row);
  takePlace(node, by, value);
}

/** The attributes of the node with an axis of one row in front, along which nothing moves. */
function withRow({ attributes }: Node): Readonly<Record<string, unknown>> {
  const own = Object.entries(attributes).map(([name, { type, value }]) => {
    if (type !== "ints") return [name, value];
    return [name, name === "pads" ? [0, value[0], 0, value[1]] : [1, ...value]];
  });
  return Object.fromEntries(own);
}
