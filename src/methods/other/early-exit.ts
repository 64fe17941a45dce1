/** @file Early exit: a small classifier answers what it is sure of; the rest runs otherwise. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { addExit, addedTo, flipsOption } from "../../evidence/exits.ts";
import type { Graph, Node, Value } from "../../ir/graph.ts";
import { cloneGraph, cloneModel, type Model } from "../../ir/model.ts";
import { convolveShortcuts } from "../../layers/convolve-shortcuts.ts";
import { copyShortcut, type Rest } from "../../layers/rest.ts";
import { blocksOf } from "../../learned/blocks.ts";
import type { Random } from "../../numeric/random.ts";
import { type Builder, build } from "../../ops/builder.ts";
import { costModel } from "../../ops/cost.ts";
import { inferModel, inferNode } from "../../ops/infer.ts";
import { hasTrait } from "../../ops/traits.ts";
import { distillation } from "../../train/losses.ts";
import { scoresOf } from "../../train/objective.ts";
import { trainOptions } from "../../train/options.ts";
import { ports } from "../../train/step.ts";
import { product } from "../../util/product.ts";
import { defineMethod } from "../method.ts";

const { epochs, steps, batch, optimizer, rate, schedule, augment, hintweight } = trainOptions.shape;

/** The share of the training records that the classifier is not trained on. */
const HELD_OUT = 0.1;

/** The size of the weights of shortcuts that start at next to nothing. */
const NOISE = 1e-3;

/** The share of the multiplications in front of a classifier of each kind, where none is asked for. */
const PLACES = { short: 0.15, plain: 0.5 } as const;

/**
 * With h the values behind a block, a small classifier e(h) is trained to answer as the model f does,
 * which stays as it is. The output becomes
 *   e(h) if max softmax(e(h)) >= threshold, else f(h)
 * as an ONNX `If`, which the engine really skips. In a batch all records have to be sure. The
 * threshold is the least one with which at most `flips` percent of the answers change, on records that
 * the classifier was not trained on.
 *
 * A classifier that comes early has to be strong: with the share a of the work in front of it, its own
 * share e and the share t of the records that take it, the mean work is a + e + (1 - t) (1 - a).
 * `short` is the rest of the model without the residual blocks that keep the shape of their input, and
 * starts from the model's weights.
 */
export const earlyExit = defineMethod({
  title: "early exit",
  cite: "Teerapittayanon et al. 2016, BranchyNet, arXiv 1709.01686",
  equation: "y = e(h) if max softmax(e(h)) >= threshold, else f(h)",
  summary:
    "Adds a small classifier behind one of the blocks; records of which it is sure skip the rest of the network.",
  needs: ["training"],
  grows: true,
  options: z.object({
    at: z
      .number()
      .min(0)
      .max(0.99)
      .default(0)
      .meta({
        description: `Share of the model's multiplications in front of the exit; 0: ${PLACES.short} for head=short, ${PLACES.plain} for head=plain.`,
        search: [0, 0.35, 0.5],
      }),
    head: z.enum(["short", "plain"]).default("short").meta({
      description:
        "The classifier. short: the rest of the model without the residual blocks that keep the shape of their input (plain, where there are none); plain: new layers, see hidden and layers.",
    }),
    flips: flipsOption,
    hidden: z.int().min(1).max(4096).default(64).meta({
      description:
        "Channels of the 3x3 convolutions, or neurons, in front of the classifier's last layer (head=plain).",
    }),
    layers: z.int().min(0).max(8).default(2).meta({
      description: "How many of these there are; the first one halves the map (head=plain).",
    }),
    joint: z.boolean().default(false).meta({
      description:
        "Also trains the model itself, with the exit, to answer as it did; slower, and more records take the exit.",
    }),
    hintweight: hintweight.default(10).meta({
      description:
        "Weight of the hints: behind blocks that it leaves out, a short classifier is also taught the values that the model has there.",
    }),
    epochs: epochs.default(4),
    steps,
    batch,
    optimizer,
    rate,
    schedule,
    augment,
  }),
  survey: [{}],
  neutral: null,
  async apply(model, { at, head, flips, hidden, layers, joint, ...training }, context) {
    const placed = placeOf(model, at || PLACES[head]);
    if (typeof placed === "string") {
      context.skip(model.graph.outputs[0]?.producer?.name ?? "the output", placed);
      return;
    }
    const teacher = cloneModel(model);
    const scores = scoresOf(model.graph.outputs[0]);
    const short = head === "short" ? copyShortcut(model, placed.value, scores) : null;
    const found = short || at ? placed : (placeOf(model, PLACES.plain) as Place);
    const rest = short
      ? { ...short, nodes: convolveShortcuts(short.nodes, () => NOISE * context.random.normal()) }
      : addClassifier(model.graph, found, { hidden, layers }, context.random);
    const early = rest.output;
    inferModel(model);
    const added = addedTo(found.macs, costModel(model).macs);
    if (joint) await teachBoth(model, early, training, context);
    else await teach(model, rest, training, teacher, context);
    const node = found.value.producer?.name ?? "";
    await addExit(
      model,
      {
        ...{ scores: early, name: node, node, unsure: "is not sure of any record" },
        output: (g) => found.asOutput(g, early),
        work: { front: found.share, added },
        records: { heldOut: HELD_OUT },
      },
      flips,
      context,
    );
  },
});

interface Place {
  /** h [N, C, ...] or [N, ..., C]. */
  readonly value: Value;
  /** Share of the model's MACs in front of it. */
  readonly share: number;
  /** The model's MACs; null where sizes are unknown. */
  readonly macs: number | null;
  readonly classes: number;
  /** Scores as the model gives them: behind a softmax where it has one. */
  asOutput(g: Builder, scores: Value): Value;
}

/** The end of a block that is nearest to the share `at` of the MACs; a reason where there is none. */
function placeOf(model: Model, at: number): Place | string {
  const { graph } = model;
  const [output, ...others] = graph.outputs;
  const classes = output?.shape?.length === 2 ? output.shape[1] : null;
  const isScores = typeof classes === "number" && classes > 1 && output.dtype === "float32";
  if (others.length > 0 || !isScores) {
    return "an exit needs a model whose only output is one float32 score per class, [N, C] with C > 1";
  }
  const { perNode, macs } = costModel(model);
  let before = 0;
  const ends = new Set(blocksOf(model).map(({ end }) => end));
  const places: { value: Value; share: number }[] = [];
  for (const node of graph.sorted()) {
    before += perNode.get(node)?.macs ?? 0;
    // What is left behind the exit moves into a body, which cannot hold bodies of its own.
    if (node.subgraphs.length > 0) places.length = 0;
    if (!ends.has(node) || node.output.isOutput || node.output.dtype !== "float32") continue;
    places.push({ value: node.output, share: before / (macs || 1) });
  }
  const isOfRecords = ({ shape }: Value): boolean => shape?.[0] === output.shape?.[0];
  const inner = places.filter(
    ({ value, share }) => share < 1 && isReadable(value) && isOfRecords(value),
  );
  if (inner.length === 0) {
    return "no block ends inside the model, behind its last If or Loop, with float32 values for each record";
  }
  const nearest = inner.reduce((a, b) => (Math.abs(b.share - at) < Math.abs(a.share - at) ? b : a));
  const last = output.producer;
  const asOutput = (g: Builder, scores: Value): Value =>
    hasTrait(last, "probabilities") && last ? again(g.graph, last, scores) : scores;
  return { ...nearest, macs, classes, asOutput };
}

/** Whether the number of channels is known. */
const isReadable = ({ shape }: Value): boolean =>
  shape !== null && shape.length >= 2 && typeof shape[channelAxis(shape)] === "number";

const channelAxis = (shape: readonly unknown[]): number =>
  shape.length >= 4 ? 1 : shape.length - 1;

/** The same operator on another input. */
const again = (graph: Graph, { op, domain, attributes, name }: Node, x: Value): Value =>
  graph.add(op, [x], { name: `${name}/exit`, domain, attributes }).output;

/** Adds e(h): layers with Relu -> mean over positions -> scores [N, classes]. */
function addClassifier(
  graph: Graph,
  { value, classes }: Place,
  { hidden, layers }: { readonly hidden: number; readonly layers: number },
  random: Random,
): Rest {
  const nodes: Node[] = [];
  const g = build(graph, "exit", (node) => {
    inferNode(node);
    nodes.push(node);
  });
  const shape = value.shape as (number | string | null)[];
  const isPicture = shape.length >= 4;
  const normal = (dims: number[], inputs: number, name: string): Value => {
    const scale = Math.sqrt(2 / inputs);
    const values = Float32Array.from({ length: product(dims) }, () => scale * random.normal());
    return g.constant(values, { shape: dims, name });
  };
  const zeros = (size: number, name: string): Value =>
    g.constant(new Float32Array(size), { shape: [size], name });
  let x = value;
  let width = shape[channelAxis(shape)] as number;
  for (let layer = 0; isPicture && layer < layers; layer++) {
    const spatial = shape.slice(2);
    const inputs = width * 3 ** spatial.length;
    const weight = normal([hidden, width, ...spatial.map(() => 3)], inputs, `w${layer}`);
    const ones = spatial.map(() => 1);
    const strides = spatial.map(() => (layer === 0 ? 2 : 1));
    const bias = zeros(hidden, `b${layer}`);
    x = g.Relu(g.Conv(x, weight, bias, { strides, pads: [...ones, ...ones] }));
    width = hidden;
  }
  if (isPicture) x = g.Flatten(g.GlobalAveragePool(x), { axis: 1 });
  else if (shape.length === 3) x = g.ReduceMean(x, g.ints([1], "axes"), { keepdims: 0 });
  for (let layer = 0; !isPicture && layer < layers; layer++) {
    const weight = normal([width, hidden], width, `w${layer}`);
    x = g.Relu(g.Gemm(x, weight, zeros(hidden, `b${layer}`)));
    width = hidden;
  }
  const output = g.Gemm(x, normal([width, classes], width, "scores"), zeros(classes, "bias"));
  return { output, nodes, hints: [] };
}

/** The softmax temperature of what the exit learns beside the model. */
const TEMPERATURE = 2;

/** Trains classifier and model together, both by what the model answered before. */
async function teachBoth(
  model: Model,
  early: Value,
  training: object,
  context: Context,
): Promise<void> {
  await context.train(
    model,
    { ...training, loss: "distil", holdout: HELD_OUT, keep: "last" },
    {
      teacher: context.original,
      penalty: (g, student, feeds) =>
        distillation(g, student.of(early), feeds[ports.teacher], TEMPERATURE),
    },
  );
}

/**
 * Trains the classifier alone, by what the model answers (`teacher` is the model without it), and keeps
 * what it learned in `model`.
 */
async function teach(
  model: Model,
  { output, nodes, hints }: Rest,
  training: object,
  teacher: Model,
  context: Context,
): Promise<void> {
  const twins = new Map<Value, Value>();
  const graph = cloneGraph(model.graph, twins);
  const copy: Model = { ...model, graph };
  graph.setOutputs([twins.get(output) as Value]);
  inferModel(copy);
  const only = nodes.map((node) => (twins.get(node.output) as Value).producer?.name as string);
  const named = hints
    .filter(({ own, other }) => [own, other].every(isNameable))
    .map(({ own, other }) => `${own.name}=${other.name}`);
  await context.train(
    copy,
    { ...training, only, loss: "distil", hints: named, holdout: HELD_OUT, keep: "last" },
    { teacher },
  );
  for (const node of nodes) {
    for (const input of node.inputs) {
      const learned = input?.tensor && twins.get(input)?.tensor;
      if (learned) model.graph.setConstant(input, learned);
    }
  }
}

/** Whether a hint can name the node, and its values have a size that is known. */
const isNameable = ({ name, output: { dtype, shape } }: Node): boolean =>
  /^[^=*?]+$/.test(name) &&
  dtype === "float32" &&
  shape?.slice(1).every((dim) => typeof dim === "number") === true;
