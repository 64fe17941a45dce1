/** @file Static int8: calibrated uint8 activations, int8 weights per channel, as QDQ. */
import { z } from "zod";
import type { Node, Value } from "../ir/graph.ts";
import type { Calibrator } from "../numeric/calibrate.ts";
import { type QuantParams, quantParams } from "../numeric/quantize.ts";
import { type Builder, build } from "../ops/builder.ts";
import { biasOf } from "../ops/weights.ts";
import { expandInt8 } from "../weights/expand.ts";
import type { Weight } from "../weights/form.ts";
import { readWeight } from "../weights/read.ts";
import { type ChannelMeans, correctBias } from "./bias-correction.ts";
import { scalesForBias, silenceDead } from "./dead-channels.ts";
import { equalize } from "./equalize.ts";
import { type Int8Layer, type Plan, planInt8, rootOf } from "./int8-plan.ts";
import { observeMeans, observeRanges } from "./int8-ranges.ts";
import { type Context, defineMethod } from "./method.ts";
import { siteOptions } from "./sites.ts";

const options = z.object({
  calibrator: z
    .enum(["minmax", "percentile", "entropy", "mse"])
    .default("mse")
    .meta({
      description: "How an activation's range is chosen from the calibration data.",
      search: ["minmax", "percentile", "entropy", "mse"],
    }),
  percentile: z
    .number()
    .min(90)
    .max(100)
    .default(99.999)
    .meta({
      description: "For calibrator=percentile: share of values inside the range, percent.",
      search: [99.9, 99.99, 99.999],
    }),
  ops: z
    .enum(["weighted", "all"])
    .default("all")
    .meta({
      description: "Only layers with weights, or also Add, pools and Concat between them.",
      search: ["weighted", "all"],
    }),
  scale: z
    .enum(["minmax", "mse"])
    .default("mse")
    .meta({
      description: "Weight scales from the largest weight, or with the least squared error.",
      search: ["minmax", "mse"],
    }),
  correctBias: z.boolean().default(true).meta({
    description:
      "Takes the mean output error of rounded weights out of the bias (arXiv 1906.04721).",
  }),
  equalize: z.boolean().default(true).meta({
    description: "Moves scales between layers first, so that all channels use the 8 bits.",
  }),
  reduceRange: z.boolean().default(false).meta({
    description: "7-bit weights: for x64 CPUs without VNNI, whose int8 sums saturate.",
  }),
  ...siteOptions,
});

export const quantizeInt8 = defineMethod({
  title: "static int8",
  family: "quantization",
  cite: "Jacob et al. 2018, arXiv 1712.05877; Nagel et al. 2019, arXiv 1906.04721",
  summary: "Weights and activations in 8 bits, ranges from calibration data: smaller and faster.",
  needs: ["calibration"],
  options,
  survey: [{}],
  neutral: null,
  async apply(model, options, context) {
    const plan = planInt8(
      model.graph,
      model,
      { ...options, floatDepthwise: context.target === "web" },
      context,
    );
    if (plan.layers.length === 0) return;
    const { observe } = context;
    if (!observe) throw new Error("quantize-int8 was applied without calibration data");
    if (options.equalize) await equalize(model, plan, observe);
    const calibrator: Calibrator =
      options.calibrator === "percentile"
        ? { kind: "percentile", percentile: options.percentile }
        : { kind: options.calibrator };
    const params = new Map<Value, QuantParams>();
    for (const [value, { min, max }] of await observeRanges(model, plan, calibrator, observe)) {
      params.set(value, quantParams(min, max, { bits: 8, signed: false, symmetric: false }));
    }
    const means = options.correctBias
      ? await observeMeans(model, plan, params, observe)
      : new Map();
    quantizeWeights(plan, params, means, options, context);
    for (const [value, { absorbed }] of plan.values) {
      roundActivation(value, absorbed, params.get(value) as QuantParams, plan);
    }
  },
});

/** Weight -> int8 levels -> DequantizeLinear, in whatever form the file stores it. */
function quantizeWeights(
  plan: Plan,
  params: ReadonlyMap<Value, QuantParams>,
  means: ReadonlyMap<Node, ChannelMeans>,
  options: { readonly scale: "minmax" | "mse"; readonly reduceRange: boolean },
  context: Context,
): void {
  const done = new Map<Value, Value>();
  for (const layer of plan.layers) {
    const { node, weightIndex, role } = layer;
    const value = node.inputs[weightIndex] as Value;
    const weight = readWeight(value);
    if (!weight) throw new Error(`${node.name} lost its weight`);
    const g = build(node.graph, value.name || node.name);
    let dequantized = done.get(value);
    if (!dequantized) {
      dequantized = dequantize(g, layer, weight, params, options);
      done.set(value, dequantized);
    }
    node.setInput(weightIndex, dequantized);
    const rounded = readWeight(dequantized);
    const mean = means.get(node);
    if (rounded && mean) correctBias(node, role, weight, rounded.values, mean);
    else if (!biasOf(node) && means.size > 0)
      context.warn(`${node.name}: its bias was not corrected`);
  }
  for (const value of done.keys()) {
    if (value.tensor && value.uses.size === 0) value.graph.removeConstant(value);
  }
}

function dequantize(
  g: Builder,
  { node, inputIndex, role }: Int8Layer,
  weight: Weight,
  params: ReadonlyMap<Value, QuantParams>,
  options: { readonly scale: "minmax" | "mse"; readonly reduceRange: boolean },
): Value {
  const input = params.get(rootOf(node.inputs[inputIndex] as Value))?.scale;
  const bias = biasOf(node)?.tensor?.floats();
  const steps = input !== undefined && bias ? { input, bias } : null;
  const alive = steps ? silenceDead(weight, role.outputAxis, steps) : weight;
  const rounding = { bits: options.reduceRange ? 7 : 8, search: options.scale };
  const { levels, scale, axis } = expandInt8(g, alive, role.outputAxis, rounding);
  if (axis === null) return g.DequantizeLinear(levels, g.constant(scale[0], { name: "scale" }));
  const scales = steps ? scalesForBias(scale, alive, axis, steps) : scale;
  return g.DequantizeLinear(levels, g.constant(scales, { name: "scale" }), { axis });
}

/** x -> QuantizeLinear -> DequantizeLinear -> readers. */
function roundActivation(
  value: Value,
  absorbed: Node | null,
  { scale, zeroPoint }: QuantParams,
  plan: Plan,
): void {
  const { graph } = value;
  const g = build(graph, value.name);
  // Saturating at 0 and at the top of the range does what the Relu or Clip did.
  const source = absorbed && zeroPoint === 0 ? (absorbed.inputs[0] as Value) : value;
  const s = g.constant(scale, { name: "scale" });
  const z = g.constant(zeroPoint, { dtype: "uint8", name: "zero_point" });
  const q = g.QuantizeLinear(source, s, z);
  const rounded = g.DequantizeLinear(q, s, z);
  rounded.dtype = "float32";
  rounded.shape = value.shape;
  const integer = new Set<unknown>([...plan.layers.map(({ node }) => node), ...plan.others]);
  if (value.producer && (integer.has(value.producer) || integer.has(source.producer))) {
    // Everything downstream reads the rounded value, or the producer would run in float as well.
    for (const use of [...value.uses]) if (use.user !== q.producer) redirect(use, rounded, value);
  } else {
    for (const node of value.consumers) {
      if (!integer.has(node) && !leadsTo(node, integer)) continue;
      for (const [i, input] of node.inputs.entries())
        if (input === value) node.setInput(i, rounded);
    }
  }
  if (absorbed && source !== value && value.uses.size === 0) graph.remove(absorbed);
}

function redirect(
  use: { user: Node | Value["graph"]; index: number },
  by: Value,
  old: Value,
): void {
  if ("setOutput" in use.user) {
    [by.name, old.name] = [old.name, by.name];
    use.user.setOutput(use.index, by);
  } else use.user.setInput(use.index, by);
}

/** Through element-moving operators to an int8 node. */
function leadsTo(node: Node, integer: ReadonlySet<unknown>): boolean {
  if (!["MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze"].includes(node.op))
    return false;
  return node.output.consumers.some((next) => integer.has(next) || leadsTo(next, integer));
}
