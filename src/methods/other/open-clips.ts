/** @file Clips whose upper bound hardly matters become Relus, which kernels apply at no cost. */
import { z } from "zod";
import { outputShiftOf, toleranceOption, tolerated } from "../../evidence/output-shift.ts";
import type { Node, Value } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { boundsOf } from "../../ops/bounds.ts";
import { linearOf } from "../../ops/linear.ts";
import { hasTrait } from "../../ops/traits.ts";
import { product } from "../../util/product.ts";
import { chosenLayers, siteOptions } from "../../weights/select.ts";
import { defineMethod } from "../method.ts";

/**
 * min(max(x, 0), 6) -> max(x, 0), for as many Clips as the outputs tolerate together (`tolerated`).
 */
export const openClips = defineMethod({
  title: "opening clips",
  cite: "Nagel et al. 2019, arXiv 1906.04721, table 1 (ReLU6 replaced by ReLU)",
  summary:
    "Replaces Clip(0, 6) by Relu where the outputs hardly change: convolutions apply a Relu themselves, a Clip takes a pass of its own.",
  needs: ["calibration"],
  options: z.object({
    tolerance: toleranceOption("opens every clip"),
    records: z.int().min(1).default(64).meta({
      description: "Calibration records to measure the outputs on, at most.",
    }),
    ...siteOptions,
  }),
  survey: [{}],
  neutral: { tolerance: 0 },
  async apply(model, { tolerance, records, ...selection }, context) {
    const chosen = chosenLayers(model, selection);
    const bounds = clipsOf(model, chosen);
    await context.progress(0, bounds.length);
    if (bounds.length === 0 || tolerance === 0) return;
    const shiftWithout = await outputShiftOf<Bound>(
      model,
      records,
      context.observe,
      (_, twins, gone) => {
        for (const { output } of gone) open(twins.get(output) as Value);
      },
    );
    const trials = { items: bounds, size: (bound: Bound) => bound.size, shiftWithout };
    const { gone, moved, kept } = await tolerated(trials, tolerance, context);
    for (const [{ layer }, cost] of kept) {
      const why = `without it alone the outputs move by ${cost.toPrecision(2)}`;
      context.skip(layer.name, `keeps the upper bound of what it gives: ${why}`);
    }
    if (gone.length === 0) return;
    for (const { output } of gone) open(output);
    const share = `${gone.length} of ${bounds.length} clips are open`;
    context.warn(`${share}; the outputs move by ${moved.toPrecision(2)}`);
  },
});

/** The value that a Clip gives, and the layer that it bounds. */
interface Bound {
  readonly output: Value;
  readonly layer: Node;
  /** Elements of the output, unknown sizes left out. */
  readonly size: number;
}

/** Clips to [0, high] behind chosen layers, in order of execution. */
function clipsOf(model: Model, chosen: ReadonlySet<Node>): Bound[] {
  return model.graph.sorted().flatMap((node) => {
    const bounds = boundsOf(node);
    if (bounds?.low !== 0 || bounds.high === null || bounds.high === Infinity) return [];
    const layer = layerBefore(node);
    if (!layer || !chosen.has(layer)) return [];
    const known = (node.output.shape ?? []).filter((dim) => typeof dim === "number");
    return [{ output: node.output, layer, size: product(known) }];
  });
}

/**
 * The layer whose output a Clip bounds, sums and scales in between left out; null if there is none.
 */
function layerBefore(clip: Node): Node | null {
  let node = clip.inputs[0]?.producer ?? null;
  while (node && hasTrait(node, "affine")) node = node.inputs[0]?.producer ?? null;
  return node && linearOf(node) ? node : null;
}

/** Replaces the Clip that gives `output` by a Relu. */
function open(output: Value): void {
  const { name, graph, inputs } = output.producer as Node;
  const { outputs } = graph.add("Relu", [inputs[0]], { name, outputs: [output.name] });
  graph.replace(output, outputs[0]);
}
