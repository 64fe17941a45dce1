/** @file Kernel tap pruning: removes outer rows and columns of kernels, 3x3 -> 3x2, 2x2, 1x3. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { outputShiftOf, toleranceOption, tolerated } from "../../evidence/output-shift.ts";
import type { Node, Value } from "../../ir/graph.ts";
import { cloneGraph, type Model } from "../../ir/model.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { isSparse, refitLayers, whyClosed } from "../../layers/refit.ts";
import { take } from "../../ops/coupling/remove.ts";
import { inferModel } from "../../ops/infer.ts";
import { linearOf } from "../../ops/linear.ts";
import { weightsOf } from "../../ops/weights.ts";
import { padding, windowOf } from "../../ops/window.ts";
import { product } from "../../util/product.ts";
import { chosenLayers, siteOptions } from "../../weights/select.ts";
import { defineMethod } from "../method.ts";

/**
 * Lines of kernels are ranked by how far the outputs move without each, per MAC that it costs; as
 * many go as the outputs tolerate together (`tolerated`), with the rest of the kernels refitted.
 */
export const pruneTaps = defineMethod({
  title: "kernel tap pruning",
  cite: "after Lebedev and Lempitsky 2016, Group-wise Brain Damage, arXiv 1506.02515, which removes any position of a kernel",
  summary:
    "Removes outer rows and columns of kernels where the outputs hardly change; the rest is fitted to what the layer gave.",
  needs: ["calibration"],
  options: z.object({
    tolerance: toleranceOption("removes every row and column that it can"),
    records: z.int().min(1).default(256).meta({
      description: "Calibration records for the fit and for measuring the outputs, at most.",
    }),
    ...siteOptions,
  }),
  survey: [{}],
  neutral: { tolerance: 0 },
  async apply(model, { tolerance, records, ...selection }, context) {
    const chosen = chosenLayers(model, selection);
    const lines = linesOf(model, chosen, context);
    await context.progress(0, lines.length);
    if (lines.length === 0 || tolerance === 0) return;
    const quiet: Context = { ...context, progress: async () => {}, skip: () => {} };
    const shiftWithout = await outputShiftOf<Line>(
      model,
      records,
      context.observe,
      (copy, twins, gone) => {
        const own = gone.map((line) => ({ ...line, output: twins.get(line.output) as Value }));
        return remove(copy, own, records, quiet);
      },
    );
    const trials = { items: lines, size: (line: Line) => line.macs, shiftWithout };
    const { gone, moved, kept } = await tolerated(trials, tolerance, context);
    const before = new Map(lines.map((line) => [layerOf(line), kernelOf(line)]));
    if (gone.length > 0) await remove(model, gone, records, context);
    const tell = (line: Line): string =>
      `${layerOf(line).name} ${before.get(layerOf(line))} -> ${kernelOf(line)}`;
    for (const [line, cost] of leastPerLayer(kept)) {
      const why = `without its ${nameOf(line)} alone the outputs move by ${cost.toPrecision(2)}`;
      context.skip(layerOf(line).name, `keeps a kernel of ${kernelOf(line)}: ${why}`);
    }
    if (gone.length === 0) return;
    const told = [...new Set(gone.map(tell))].join(", ");
    context.warn(`kernels: ${told}; the outputs move by ${moved.toPrecision(2)}`);
  },
});

/** The first or last row, column or plane of a kernel, taken along one of its axes. */
interface Line {
  /** The output of the convolution. */
  readonly output: Value;
  /** The kernel's axis: of two, 0 for rows and 1 for columns. */
  readonly axis: number;
  readonly end: "first" | "last";
  /** Multiply-accumulates saved for one record, unknown sizes counting as 1. */
  readonly macs: number;
}

const layerOf = ({ output }: Line): Node => output.producer as Node;
const kernelOf = (line: Line): string => (layerOf(line).inputs[1]?.shape ?? []).slice(2).join("x");
const nameOf = ({ output, axis, end }: Line): string =>
  `${end} ${(output.shape?.length ?? 4) === 4 ? ["row", "column"][axis] : `of axis ${axis}`}`;

/**
 * The lines that can be removed. A kernel that begins one tap later needs one row of padding less,
 * so there must be padding on that side; the positions of the output then stay the same. Layers
 * without such a line are skipped with a reason.
 */
function linesOf(model: Model, chosen: ReadonlySet<Node>, { skip }: Context): Line[] {
  return weightsOf(model).flatMap((use) => {
    const { node, value } = use;
    if (linearOf(node)?.kind !== "conv" || !chosen.has(node)) return [];
    if ((value.shape ?? []).slice(2).every((taps) => taps === 1)) return [];
    const why = whyClosed(use, model);
    const lines = why ? [] : ends(node, value.tensor as Tensor);
    const reason = why ? `it ${why}` : "no padding makes room for a shorter one";
    if (lines.length === 0) skip(node.name, `keeps its kernel: ${reason}`);
    return lines;
  });
}

/** The removable lines of one convolution. */
function ends(node: Node, weight: Tensor): Line[] {
  const { kernel, dilations } = windowOf(node, weight.shape.slice(2));
  const pads = padsOf(node, kernel);
  const sides = (node.output.shape ?? []).slice(2).map((side) => Number(side) || 1);
  const places = product(sides);
  return kernel.flatMap((taps, axis) =>
    (["first", "last"] as const).flatMap((end, i) => {
      const isFree = pads[axis + i * kernel.length] >= dilations[axis];
      // A kernel of two taps keeps one of them, so only one end is offered.
      if (taps < 2 || !isFree || (taps === 2 && end === "first")) return [];
      return [{ output: node.output, axis, end, macs: (weight.size / taps) * places }];
    }),
  );
}

/** Padding, begins, then ends; zeros if auto_pad decides and sizes are not known. */
function padsOf(node: Node, kernel: readonly number[]): readonly number[] {
  const window = windowOf(node, kernel);
  const sides = node.inputs[0]?.shape?.slice(2) ?? [];
  if (!sides.every((side) => typeof side === "number")) return window.pads;
  const each = sides.map((side, axis) => padding(window, axis, side));
  return [0, 1].flatMap((end) => each.map((pair) => pair[end]));
}

/** For each layer the kept line of the least cost. */
function leastPerLayer(kept: ReadonlyMap<Line, number>): (readonly [Line, number])[] {
  const least = new Map<Node, readonly [Line, number]>();
  for (const [line, cost] of [...kept].sort(([, a], [, b]) => b - a)) {
    least.set(layerOf(line), [line, cost]);
  }
  return [...least.values()];
}

/** Removes the lines and fits the rest of their kernels to the layers' former outputs. */
async function remove(
  model: Model,
  lines: readonly Line[],
  records: number,
  context: Context,
): Promise<void> {
  const twins = new Map<Value, Value>();
  const original = { model: { ...model, graph: cloneGraph(model.graph, twins) }, twins };
  for (const line of lines) cut(line);
  inferModel(model);
  const fitted = new Set(lines.map(layerOf));
  for (const node of fitted) {
    if (!isSparse(node.inputs[1]?.tensor as Tensor)) continue;
    context.skip(node.name, "is not fitted: it is sparse, and a fit would fill its zeros");
    fitted.delete(node);
  }
  await refitLayers(model, original, fitted, records, context);
}

/** Removes one line from the kernel, and as much padding from its side. */
function cut(line: Line): void {
  const node = layerOf(line);
  const value = node.inputs[1] as Value;
  const before = value.tensor as Tensor;
  const { kernel, dilations } = windowOf(node, before.shape.slice(2));
  const side = line.axis + (line.end === "first" ? 0 : kernel.length);
  const pads = [...padsOf(node, kernel)];
  pads[side] -= dilations[line.axis];
  const first = line.end === "first" ? 1 : 0;
  const left = Array.from({ length: kernel[line.axis] - 1 }, (_, i) => first + i);
  const weight = take(before, line.axis + 2, left);
  value.graph.setConstant(value, weight);
  node.set("pads", { type: "ints", value: pads });
  node.set("auto_pad", null);
  if (node.ints("kernel_shape")) {
    node.set("kernel_shape", { type: "ints", value: weight.shape.slice(2) });
  }
}
