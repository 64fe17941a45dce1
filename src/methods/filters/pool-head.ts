/** @file Pooled head: fully connected layers become an average over positions and one linear layer. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { calibrationOptions } from "../../evidence/options.ts";
import type { Node, Value } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { solveSpd } from "../../numeric/cholesky.ts";
import { damped } from "../../numeric/inverse.ts";
import { type Builder, build } from "../../ops/builder.ts";
import { inferNode } from "../../ops/infer.ts";
import { linearOf } from "../../ops/linear.ts";
import { hasTrait } from "../../ops/traits.ts";
import { scoresOf } from "../../train/objective.ts";
import { defineMethod } from "../method.ts";

/**
 * The fully connected layers f behind the last feature map h [N, C, positions] become
 *   y = W mean_p h_p + c,
 * with W [classes, C] and c by least squares on the scores that f gave on calibration records. VGG and
 * AlexNet have most of their weights in f.
 */
export const poolHead = defineMethod({
  title: "global average pooling as head",
  cite: "Lin et al. 2014, Network in Network, arXiv 1312.4400, section 3.2",
  equation: "min over W, c: |f(h) - W mean_p h_p - c|^2",
  summary:
    "Replaces the fully connected layers of an image classifier by average pooling and one linear layer, fitted to them.",
  needs: ["calibration"],
  isStart: true,
  options: z.object({
    records: calibrationOptions.records.default(2048),
    damping: z.number().min(1e-9).max(1).default(1e-3).meta({
      description: "Added to the second moments of the pooled values, as a share of their mean.",
    }),
  }),
  survey: [{}],
  neutral: null,
  async apply(model, { records, damping }, context) {
    await context.progress(0, 1);
    const head = headOf(model);
    if (typeof head === "string") {
      context.skip(model.graph.outputs[0]?.producer?.name ?? "", head);
      return;
    }
    const fit = await fitted(model, head, records, damping, context);
    const g = build(model.graph, "pool-head", inferNode);
    const pooled = g.Flatten(g.GlobalAveragePool(head.map), { axis: 1 });
    const { channels, classes } = head;
    const weight = g.constant(fit.weight, { shape: [classes, channels], name: "weight" });
    const bias = g.constant(fit.bias, { shape: [classes], name: "bias" });
    const scores = g.Gemm(pooled, weight, bias, { transB: 1 });
    [scores.dtype, scores.shape] = [head.scores.dtype, head.scores.shape];
    model.graph.replace(head.scores, scores);
  },
});

interface Head {
  /** The last feature map [N, C, ...]. */
  readonly map: Value;
  readonly channels: number;
  /** [N, classes], before a softmax. */
  readonly scores: Value;
  readonly classes: number;
}

/** The head, or why there is none that pooling could replace. */
function headOf({ graph }: Model): Head | string {
  const [output, ...others] = graph.outputs;
  const scores = output && scoresOf(output);
  const classes = scores?.shape?.[1];
  if (others.length > 0 || scores?.shape?.length !== 2 || typeof classes !== "number") {
    return "gives no single row of scores";
  }
  if (scores.dtype !== "float32") return `gives ${scores.dtype}, no float32 scores`;
  let value = scores;
  let layers = 0;
  for (;;) {
    const { producer } = value;
    if (!producer) return "reads no feature map";
    const shape = value.shape ?? [];
    if (shape.length >= 3) break;
    if (linearOf(producer)) layers++;
    const inputs = variableInputs(producer);
    if (inputs.length !== 1 || value.consumers.length > 1) return "is no chain of layers";
    value = inputs[0];
  }
  const [, channels, ...positions] = value.shape ?? [];
  if (layers === 0) return "has no fully connected layer";
  if (typeof channels !== "number") return "reads an unknown number of channels";
  if (!hasChannelsSecond(value)) return "reads a map whose second axis is not that of channels";
  if (positions.every((size) => size === 1)) return "reads one position already";
  return { map: value, channels, scores, classes };
}

/**
 * Whether axis 1 is that of channels: behind convolutions, with whatever keeps channels apart in
 * between, and in pictures that the model reads. Tokens [N, T, D] have theirs last.
 */
function hasChannelsSecond(map: Value): boolean {
  let value = map;
  for (let { producer } = value; producer; { producer } = value) {
    const linear = linearOf(producer);
    if (linear) return linear.channelAxis === 1;
    const inputs = variableInputs(producer);
    const [input] = inputs;
    // Sums and concatenations keep the axes of what they join.
    const joins =
      inputs.length > 1 && inputs.every(({ shape }) => shape?.length === value.shape?.length);
    const passes = hasTrait(producer, "separate") || joins;
    if (!passes || hasTrait(producer, "rearranges") || !input) return false;
    value = input;
  }
  return (value.shape?.length ?? 0) >= 4;
}

/** The inputs that are no constants. */
const variableInputs = ({ inputs }: Node): Value[] =>
  inputs.filter((input): input is Value => input !== null && input.tensor === null);

/** W [classes, channels] and c [classes] of the ridge regression of the scores on pooled values. */
async function fitted(
  model: Model,
  { map, channels, scores, classes }: Head,
  records: number,
  damping: number,
  { observe }: Context,
) {
  const n = channels + 1;
  const width = n + classes;
  const sums = new Float64Array(n * width);
  let count = 0;
  // [x, 1]^T [x, 1, y] of a batch, summed inside the engine.
  const of = (g: Builder, y: Value): Value => {
    const x = g.Flatten(g.GlobalAveragePool(mapIn(y, scores, map)), { axis: 1 });
    const ones = g.Add(
      g.Mul(g.ReduceSum(x, g.ints([1], "axes"), { keepdims: 1 }), g.constant(0)),
      g.constant(1),
    );
    const inputs = g.Concat(x, ones, { axis: 1 });
    return g.MatMul(g.Transpose(inputs, { perm: [1, 0] }), g.Concat(inputs, y, { axis: 1 }));
  };
  await observe(
    model,
    [{ value: scores, of }],
    (_, batch, { share, records: ran }) => {
      const values = batch.floats();
      for (let i = 0; i < sums.length; i++) sums[i] += values[i] * share;
      count += ran;
    },
    records,
  );
  const gram = new Float64Array(n * n);
  const cross = new Float64Array(n * classes);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) gram[i * n + j] = sums[i * width + j] / count;
    for (let c = 0; c < classes; c++) cross[i * classes + c] = sums[i * width + n + c] / count;
  }
  const solved = solveSpd(damped(gram, n, damping), n, cross, classes);
  const weight = new Float32Array(classes * channels);
  for (let c = 0; c < classes; c++) {
    for (let i = 0; i < channels; i++) weight[c * channels + i] = solved[i * classes + c];
  }
  return {
    weight,
    bias: Float32Array.from({ length: classes }, (_, c) => solved[channels * classes + c]),
  };
}

/** The copy of the feature map in the graph that has the copy `y` of the scores. */
function mapIn(y: Value, scores: Value, map: Value): Value {
  let [own, value] = [scores, y];
  while (own !== map) {
    const at = (own.producer as Node).inputs.findIndex((input) => input && !input.tensor);
    [own, value] = [
      (own.producer as Node).inputs[at] as Value,
      (value.producer as Node).inputs[at] as Value,
    ];
  }
  return value;
}
