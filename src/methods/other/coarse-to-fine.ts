/** @file Dynamic capacity: coarse features of the whole image, fine ones where the answer depends on them. */
import { z } from "zod";
import type { Node, Value } from "../../ir/graph.ts";
import { cloneModel, type Model } from "../../ir/model.ts";
import { dependencies } from "../../ir/sort.ts";
import { convolveShortcuts } from "../../layers/convolve-shortcuts.ts";
import { copyNode } from "../../layers/copy-node.ts";
import { keepFaster } from "../../layers/faster.ts";
import { indicator } from "../../learned/straight-through.ts";
import { type Builder, build } from "../../ops/builder.ts";
import { inferModel, inferNode } from "../../ops/infer.ts";
import { isLocal } from "../../ops/local.ts";
import { hasTrait } from "../../ops/traits.ts";
import { weightsOf } from "../../ops/weights.ts";
import { rewrite } from "../../rewrite/index.ts";
import { scoresOf } from "../../train/objective.ts";
import { trainOptions } from "../../train/options.ts";
import { defineMethod } from "../method.ts";

const { epochs, steps, batch, optimizer, rate, schedule, augment, temperature, hintweight } =
  trainOptions.shape;

/** The coarse layers see the image with sides of 1 / COARSE. */
const COARSE = 2;

/**
 * A classifier F, then the mean over positions and a linear layer W, becomes
 *   c = F'(x / 2), coarse features of the image at half its resolution
 *   f = F(patches of x), fine features of the `patches` cells of a grid that matter most
 *   y = W mean(c with f in the place of these cells) + b
 * F' starts as a copy of F. A cell matters by the entropy H of p = softmax(W mean(c) + b): with
 * dH/dz_k = -p_k (log p_k + H), a position's part in it is |sum_k dH/dz_k W_k . c_ij|, summed over the
 * cell (the paper takes the length of the gradient with respect to c_ij; behind a mean that is the same
 * at all positions). Patches are padded with zeros at their borders as images are; the model is
 * then trained to answer as it did.
 */
export const coarseToFine = defineMethod({
  title: "dynamic capacity (coarse to fine)",
  cite: "Almahairi et al. 2016, arXiv 1511.07838",
  equation: "y = W mean(c with f in the cells of the largest |dH/dc . c|) + b",
  summary:
    "Looks at the whole image at half its resolution, and again at full resolution at the patches that decide.",
  needs: ["training"],
  simplifyFirst: true,
  grows: true,
  options: z.object({
    grid: z.int().min(2).max(16).default(2).meta({
      description: "The image is divided into grid x grid cells.",
    }),
    patches: z
      .int()
      .min(1)
      .max(64)
      .default(1)
      .meta({
        description: "How many cells are seen at full resolution.",
        search: [1, 2],
      }),
    always: z.boolean().default(false).meta({
      description: "Changes the model even where that makes it slower.",
    }),
    hintweight: hintweight.default(1).meta({
      description: "Weight of the hints: features are also taught to be the model's own.",
    }),
    ...{ epochs, steps, batch, optimizer, rate, schedule, augment, temperature },
  }),
  survey: [{}],
  neutral: null,
  async apply(model, { grid, patches, always, ...training }, context) {
    await context.progress(0, 1);
    const name = model.graph.outputs[0]?.producer?.name ?? "the output";
    const refuse = (reason: string) => context.skip(name, reason);
    const trial = cloneModel(model);
    inferModel(trial);
    const head = placeIn(trial, grid, patches);
    if (typeof head === "string") return refuse(head);
    look(trial, head, grid, patches);
    const change = { names: [name], saved: 1 };
    const how = `seeing ${patches} of ${grid * grid} cells`;
    if (!always && (await keepFaster(model, [change], () => trial, context, how)).length === 0)
      return;
    const teacher = cloneModel(model);
    const place = placeIn(model, grid, patches) as Place;
    const features = place.map.producer?.name as string;
    const mixed = look(model, place, grid, patches);
    const isNameable = /^[^=*?|]+$/.test(features);
    const hints = isNameable ? [`${mixed.producer?.name}=${features}`] : [];
    await context.train(
      model,
      { loss: "distil", ...training, hints, holdout: 0, keep: "last" },
      { teacher },
    );
  },
});

/** Where the model can be divided. */
interface Place {
  /** x [N, C, H, W]. */
  readonly image: Value;
  /** The features F(x) [N, C, h, w]. */
  readonly map: Value;
  /** The nodes of F, in order. */
  readonly nodes: readonly Node[];
  /** The layer of W. */
  readonly layer: Node;
}

/** The image, the layers up to the mean, and the linear layer behind it; a reason where there are none. */
function placeIn(model: Model, grid: number, patches: number): Place | string {
  const { graph } = model;
  const [image, ...inputs] = graph.inputs;
  const [output, ...outputs] = graph.outputs;
  const layer = output && scoresOf(output).producer;
  let at = layer?.inputs[0];
  while (at?.producer && hasTrait(at.producer, "rearranges")) [at] = at.producer.inputs;
  const map = hasTrait(at?.producer ?? null, "averages") ? at?.producer?.inputs[0] : null;
  const isWhole =
    at?.shape?.[1] === map?.shape?.[1] && at?.shape?.slice(2).every((dim) => dim === 1);
  const isLinear = weightsOf(model).some(
    ({ node, role }) => node === layer && role.kind === "linear",
  );
  const isOnly = inputs.length === 0 && outputs.length === 0;
  if (!isOnly || !isLinear || !layer || !isWhole || map?.shape?.length !== 4) {
    return "the model does not end in a mean over positions and one linear layer";
  }
  const needed = dependencies([map]);
  const found = graph.sorted().filter(({ outputs }) => outputs.some((value) => needed.has(value)));
  const kept = new Set(convolveShortcuts(found));
  const nodes = graph.sorted().filter((node) => kept.has(node));
  if (nodes.length === 0) return "the model has no layers in front of its mean over positions";
  const other = nodes.find((node) => !isLocal(node));
  if (other) return `${other.name} does not treat all positions alike`;
  const [[height, width], [h, w]] = [image, map].map(({ shape }) =>
    (shape ?? []).slice(2).map((dim) => (typeof dim === "number" ? dim : Number.NaN)),
  );
  const stride = height / h;
  const unit = grid * COARSE * stride;
  const fits = [height, width].every((side) => side % unit === 0);
  if (!fits || !Number.isInteger(stride) || width / w !== stride) {
    return `sides of ${image.shape?.slice(2).join(" x ")} cannot be divided into ${grid} cells of whole strides of ${stride} at half the resolution`;
  }
  if (patches >= grid * grid) return `has ${grid * grid} cells, all of which would be fine`;
  return { image, map, nodes, layer };
}

/** Puts coarse and fine layers in the place of F. Gives the mixed features. */
function look(model: Model, place: Place, grid: number, patches: number): Value {
  const { graph } = model;
  const { image, map, nodes, layer } = place;
  const g = build(graph, "look", inferNode);
  const [channels, h, w] = (map.shape as number[]).slice(1);
  const [colours, height, width] = (image.shape as number[]).slice(1);
  const small = g.AveragePool(image, { kernel_shape: [COARSE, COARSE], strides: [COARSE, COARSE] });
  const coarse = copied(place, small, "coarse", true);
  const chosen = cells(g, salience(g, coarse, layer, model), grid, patches);
  const windows = g.MatMul(chosen, split(g, image, [colours, height, width], grid));
  const size = [-1, colours, height / grid, width / grid];
  const fine = copied(place, g.Reshape(windows, g.ints(size, "shape")), "fine", false);
  const wide = widened(g, coarse, [channels, h, w]);
  const rows = g.Reshape(fine, g.ints([-1, patches, (channels * h * w) / grid ** 2], "shape"));
  const taken = g.ReduceSum(chosen, g.ints([1], "axes"), { keepdims: 0 });
  const kept = g.Unsqueeze(g.Sub(g.constant(1), taken), g.ints([2], "axes"));
  const rest = g.Mul(split(g, wide, [channels, h, w], grid), kept);
  const put = g.MatMul(g.Transpose(chosen, { perm: [0, 2, 1] }), rows);
  const mixed = joined(g, g.Add(rest, put), [channels, h, w], grid);
  for (const { user, index } of [...map.uses]) {
    if ("setInput" in user && !nodes.includes(user)) user.setInput(index, mixed);
  }
  rewrite(model, { rules: ["drop-dead"] });
  inferModel(model);
  return mixed;
}

/** F on another image; `own`: with constants of its own, which start as those of F. */
function copied({ image, map, nodes }: Place, x: Value, name: string, own: boolean): Value {
  const { graph } = image;
  const twins = new Map([[image, x]]);
  const twinOf = (value: Value): Value => {
    const isOwn = own && value.tensor?.dtype === "float32" && !twins.has(value);
    if (isOwn && value.tensor)
      twins.set(value, graph.addConstant(`${value.name}/${name}`, value.tensor));
    return twins.get(value) ?? value;
  };
  for (const node of nodes) copyNode(node, name, twinOf, twins);
  return twinOf(map);
}

/** |sum_k dH/dz_k W_k . c_ij| of the features c [N, C, h, w]: [N, 1, h, w]. */
function salience(g: Builder, c: Value, layer: Node, model: Model): Value {
  const { index, role } = weightsOf(model).find(({ node }) => node === layer) as ReturnType<
    typeof weightsOf
  >[number];
  const [channels, h, w] = (c.shape as number[]).slice(1);
  const mean = g.ReduceMean(c, g.ints([2, 3], "axes"), { keepdims: 0 });
  const { op, domain, attributes } = layer;
  const inputs = layer.inputs.map((input, i) => (i === 1 - index ? mean : input));
  const again = g.graph.add(op, inputs, { name: `${layer.name}/coarse`, domain, attributes });
  inferNode(again);
  const logs = g.LogSoftmax(again.output, { axis: -1 });
  const p = g.Exp(logs);
  const entropy = g.Neg(g.ReduceSum(g.Mul(p, logs), g.ints([-1], "axes"), { keepdims: 1 }));
  const slope = g.Mul(p, g.Add(logs, entropy));
  const weight = layer.inputs[index] as Value;
  const byClass = role.outputAxis === 0 ? weight : g.Transpose(weight, { perm: [1, 0] });
  const direction = g.Unsqueeze(g.MatMul(slope, byClass), g.ints([1], "axes"));
  const flat = g.Reshape(c, g.ints([-1, channels, h * w], "shape"));
  return g.Reshape(g.Abs(g.MatMul(direction, flat)), g.ints([-1, 1, h, w], "shape"));
}

/** Of the grid's cells those with the largest sums of m [N, 1, h, w]: ones and zeros [N, patches, cells]. */
function cells(g: Builder, m: Value, grid: number, patches: number): Value {
  const sides = (m.shape as number[]).slice(2).map((side) => side / grid);
  const sums = g.AveragePool(m, { kernel_shape: sides, strides: sides });
  const count = grid * grid;
  const flat = g.Reshape(sums, g.ints([-1, count], "shape"));
  const [, places] = g.many("TopK", [flat, g.ints([patches], "k")], { outputs: 2 });
  const all = g.ints(
    Array.from({ length: count }, (_, i) => i),
    "cells",
  );
  return indicator(g, g.Equal(g.Unsqueeze(places, g.ints([2], "axes")), all));
}

/** [N, C, H, W] -> the cells of the grid [N, grid^2, C H/grid W/grid]. */
function split(g: Builder, x: Value, [c, h, w]: readonly number[], grid: number): Value {
  const parts = g.Reshape(x, g.ints([-1, c, grid, h / grid, grid, w / grid], "shape"));
  const moved = g.Transpose(parts, { perm: [0, 2, 4, 1, 3, 5] });
  return g.Reshape(moved, g.ints([-1, grid * grid, (c * h * w) / grid ** 2], "shape"));
}

/** The way back from `split`. */
function joined(g: Builder, x: Value, [c, h, w]: readonly number[], grid: number): Value {
  const parts = g.Reshape(x, g.ints([-1, grid, grid, c, h / grid, w / grid], "shape"));
  const moved = g.Transpose(parts, { perm: [0, 3, 1, 4, 2, 5] });
  return g.Reshape(moved, g.ints([-1, c, h, w], "shape"));
}

/** Each position of the coarse map COARSE times along both axes: [N, C, h, w]. */
function widened(g: Builder, c: Value, [channels, h, w]: readonly number[]): Value {
  const [rows, columns] = [h / COARSE, w / COARSE];
  const apart = g.Reshape(c, g.ints([-1, channels, rows, 1, columns, 1], "shape"));
  const many = g.Expand(apart, g.ints([1, channels, rows, COARSE, columns, COARSE], "shape"));
  return g.Reshape(many, g.ints([-1, channels, h, w], "shape"));
}
