/** @file Gated blocks: a look at its input decides whether a residual block runs. */
import { z } from "zod";
import type { Context, Records } from "../../context.ts";
import { flipsOption } from "../../evidence/exits.ts";
import {
  type Gate,
  type Gated,
  type Gates,
  gateable,
  pooled,
  putGates,
  savedBy,
  tellGates,
  thresholdOf,
} from "../../evidence/gates.ts";
import { outputsOf } from "../../evidence/output-shift.ts";
import type { Value } from "../../ir/graph.ts";
import { cloneGraph, type Model } from "../../ir/model.ts";
import { HELD_OUT, trainedGates } from "../../learned/gates.ts";
import { argmax } from "../../numeric/argmax.ts";
import { solveSpd } from "../../numeric/cholesky.ts";
import { exp } from "../../numeric/exp.ts";
import { damped } from "../../numeric/inverse.ts";
import { log } from "../../numeric/log.ts";
import { build } from "../../ops/builder.ts";
import { inferNode } from "../../ops/infer.ts";
import { hasTrait } from "../../ops/traits.ts";
import { trainOptions } from "../../train/options.ts";
import { percent } from "../../util/percent.ts";
import { chosenLayers, siteOptions } from "../../weights/select.ts";
import { defineMethod } from "../method.ts";

/** Gates that save a smaller share of the work take more time than they save. */
const LEAST_SAVED = 0.05;
/** Damages below this are alike: log D is not defined at 0. */
const LEAST = 1e-6;

const { epochs, steps, batch, optimizer, rate, schedule, augment, temperature } =
  trainOptions.shape;

/**
 * With p(x) the mean of a block's input over its positions, a residual block y = x + f(x) becomes
 *   y = x + f(x) if a p(x) + b > t, else x
 * as an ONNX `If`, which the engine really skips. In a batch the block runs if any record wants it.
 *
 * Gates are fitted first, by a ridge regression: for each record, D is the divergence of the model's
 * answer without this block from its answer with it, and a p + b is fitted to log D less the log of
 * the block's work. With `work` below 1 gates and network are then trained together, as in the papers
 * (learned/gates.ts). t is one for all blocks: the largest with which, with all gates at work, at most
 * `flips` percent of the answers on held-out records change, beyond those that training has changed.
 */
export const gateBlocks = defineMethod({
  title: "gated residual blocks",
  cite: "Veit, Belongie 2018, ConvNet-AIG, arXiv 1711.11503; Wu et al. 2018, BlockDrop, arXiv 1711.08393",
  equation: "y = x + f(x) if a mean_p x_p + b > t, else x",
  summary:
    "Gives each residual block a gate that looks at its input and skips the block where the answer does not need it.",
  needs: ({ work }) => (work < 1 ? ["calibration", "training"] : ["calibration"]),
  simplifyFirst: true,
  grows: true,
  options: z.object({
    flips: flipsOption,
    work: z
      .number()
      .min(0)
      .max(1)
      .default(1)
      .meta({
        description:
          "Share of the blocks' work for which gates are trained together with the network; 1: gates are fitted, and nothing is trained.",
        search: [1, 0.7, 0.5],
      }),
    records: z.int().min(4).max(1e6).default(512).meta({
      description:
        "Calibration records: gates are fitted to one half, the threshold to the other (of trained gates: to training records that are held out).",
    }),
    damping: z.number().min(1e-6).max(10).default(0.1).meta({
      description: "Added to the second moments of the pooled inputs, as a share of their mean.",
    }),
    penalty: z.number().min(0).max(1e6).default(2).meta({
      description: "Training: weight of the squared distance from `work` in the loss.",
    }),
    ...{ epochs, steps, batch, optimizer, rate, schedule, augment, temperature },
    ...siteOptions,
  }),
  survey: [{}],
  neutral: null,
  async apply(model, options, context) {
    const { flips, work, records, damping, penalty, only, except, ...training } = options;
    const chosen = chosenLayers(model, { only, except });
    const [first] = chosen;
    await context.progress(0, 1);
    if (!first) return;
    const refuse = (reason: string) => context.skip(first.name, reason);
    const blocks = gateable(model, chosen, context);
    const classes = classesOf(model);
    if (classes === null) {
      refuse(
        "gates need a model whose only output is one float32 score per class, [N, C] with C > 1",
      );
      return;
    }
    if (blocks.length === 0) return refuse("no residual block keeps the shape of its input");
    const fit = { from: 0, to: records, step: 2 };
    const fitted = await fittedGates(model, blocks, classes, fit, damping, context);
    if (typeof fitted === "string") return refuse(fitted);
    const gates: Gates =
      work < 1
        ? await trainedGates(model, blocks, fitted, { work, penalty, fit }, training, context)
        : { gates: fitted, learned: new Map() };
    const held = work < 1 ? { heldOut: HELD_OUT } : { ...fit, from: 1 };
    const limits = { classes, records: held, flips };
    const found = await thresholdOf(model, blocks, gates, limits, context.observe);
    if (!found) return refuse("no block can be skipped for any record at so few flips");
    const saved = savedBy(blocks, found);
    if (saved < LEAST_SAVED) {
      return refuse(
        `gates would save ${percent(saved)} of the work and change ${percent(found.flips)} of the answers: not worth it`,
      );
    }
    putGates(model, blocks, gates, found, context);
    context.warn(tellGates(blocks, found));
  },
});

/** C of scores [N, C]; null for other outputs. */
function classesOf({ graph }: Model): number | null {
  const [output, ...others] = graph.outputs;
  const classes = output?.shape?.length === 2 ? output.shape[1] : null;
  const isScores = others.length === 0 && output.dtype === "float32";
  return isScores && typeof classes === "number" && classes > 1 ? classes : null;
}

/** For each block the regression of log D - log(share) on its pooled input; a reason if it fails. */
async function fittedGates(
  model: Model,
  blocks: readonly Gated[],
  classes: number,
  records: Records,
  damping: number,
  context: Context,
): Promise<readonly Gate[] | string> {
  const own = withPooled(model, blocks);
  const [expected, ...inputs] = await outputsOf(own, records, context.observe);
  const count = expected.length / classes;
  const isSoft = hasTrait(model.graph.outputs[0].producer, "probabilities");
  const gates: Gate[] = [];
  for (const [i, block] of blocks.entries()) {
    await context.progress(i, blocks.length + 1);
    const twins = new Map<Value, Value>();
    const copy: Model = { ...model, graph: cloneGraph(model.graph, twins) };
    copy.graph.replace(twins.get(block.sum.output) as Value, twins.get(block.through) as Value);
    const [actual] = await outputsOf(copy, records, context.observe);
    const width = inputs[i].length / count;
    if (actual.length !== expected.length || !Number.isInteger(width)) {
      return "gives values that are not finite on some calibration records";
    }
    const targets = Float64Array.from({ length: count }, (_, n) => {
      const row = (all: Float32Array) => all.subarray(n * classes, (n + 1) * classes);
      return log(LEAST + divergence(row(expected), row(actual), isSoft)) - log(block.share + LEAST);
    });
    gates.push(ridge(inputs[i], targets, width, damping));
  }
  return gates;
}

/** The model with the pooled inputs of the blocks as further outputs. */
function withPooled(model: Model, blocks: readonly Gated[]): Model {
  const twins = new Map<Value, Value>();
  const graph = cloneGraph(model.graph, twins);
  const g = build(graph, "gate", inferNode);
  const inputs = blocks.map((block) =>
    g.Identity(pooled(g, block, twins.get(block.through) as Value)),
  );
  graph.setOutputs([...graph.outputs, ...inputs]);
  return { ...model, graph };
}

/** sum_c p_c log(p_c / q_c) of two rows of scores, or of probabilities. */
function divergence(p: Float32Array, q: Float32Array, isSoft: boolean): number {
  const [a, b] = [p, q].map((row) => (isSoft ? row.map((x) => log(Math.max(x, 1e-30))) : row));
  const [la, lb] = [a, b].map(normalizer);
  let sum = 0;
  for (const [c, x] of a.entries()) sum += exp(x - la) * (x - la - (b[c] - lb));
  return Math.max(0, sum);
}

/** log sum_c exp(x_c). */
function normalizer(row: Float32Array): number {
  const most = row[argmax(row)];
  return most + log(row.reduce((sum, x) => sum + exp(x - most), 0));
}

/** min over a, b: sum_n (a x_n + b - t_n)^2 + damping |a|^2, x [count, width]. */
function ridge(x: Float32Array, t: Float64Array, width: number, damping: number): Gate {
  const count = t.length;
  const mean = new Float64Array(width);
  for (let n = 0; n < count; n++) for (let i = 0; i < width; i++) mean[i] += x[n * width + i];
  for (let i = 0; i < width; i++) mean[i] /= count;
  const level = t.reduce((a, b) => a + b, 0) / count;
  const gram = new Float64Array(width * width);
  const cross = new Float64Array(width);
  for (let n = 0; n < count; n++) {
    const row = Float64Array.from({ length: width }, (_, i) => x[n * width + i] - mean[i]);
    for (let i = 0; i < width; i++) {
      cross[i] += row[i] * (t[n] - level);
      for (let j = 0; j < width; j++) gram[i * width + j] += row[i] * row[j];
    }
  }
  const isFlat = gram.every((value) => value === 0);
  const weight = isFlat
    ? mean.map(() => 0)
    : solveSpd(damped(gram, width, damping), width, cross, 1);
  let bias = level;
  for (let i = 0; i < width; i++) bias -= weight[i] * mean[i];
  return { weight: Float32Array.from(weight), bias };
}
