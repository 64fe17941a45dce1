/** @file Dynamic int8: weights are rounded in advance, activations by their range at run time. */
import { z } from "zod";
import { roundInGraph } from "../../int8/rounded.ts";
import { storeTable } from "../../int8/store-table.ts";
import { dtypes } from "../../ir/dtype.ts";
import type { Node, Value } from "../../ir/graph.ts";
import { tensor } from "../../ir/tensor.ts";
import { biasInputOf } from "../../ops/bias.ts";
import { type Builder, build } from "../../ops/builder.ts";
import { linearOf, whyNotRight } from "../../ops/linear.ts";
import { type WeightRole, type WeightUse, weightsOf } from "../../ops/weights.ts";
import { isElementwise, toInt8, transposed } from "../../weights/elements.ts";
import { expand } from "../../weights/expand.ts";
import { integers, type Rounding } from "../../weights/form.ts";
import { readWeight } from "../../weights/read.ts";
import { chosenLayers, rescueOptions, siteOptions } from "../../weights/select.ts";
import { refusalOf, sharedOutside } from "../../weights/sites.ts";
import type { FloatWeight } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

/**
 * x W -> s_x s_W (q(x) - z_x) q(W), with q(x) uint8 by the range of x at run time and q(W) int8,
 * one scale per output. Embedding tables are stored in 8 bits.
 */
export const quantizeDynamic = defineMethod({
  title: "dynamic int8",
  equation: "x W ~ s_x s_W (q(x) - z_x) q(W), s_x and z_x from the range of x at run time",
  cite: "Jacob et al. 2018, arXiv 1712.05877 (integer arithmetic); ranges at run time",
  summary:
    "int8 matrix products without calibration: for transformers as fast as static int8, and closer to the original.",
  needs: [],
  quickens: true,
  options: z.object({
    scale: z
      .enum(["minmax", "mse"])
      .default("minmax")
      .meta({
        description: "Weight scales from the largest weight, or with the least squared error.",
        search: ["minmax", "mse"],
      }),
    reduceRange: z.boolean().default(false).meta({
      description:
        "7-bit weights: for x64 CPUs without VNNI, whose int8 sums saturate. For such a target (--on) all have 7 bits anyway.",
    }),
    ...siteOptions,
    ...rescueOptions,
  }),
  survey: [{}],
  neutral: null,
  async apply(model, { scale, reduceRange, ...selection }, context) {
    const uses = weightsOf(model);
    const chosen = chosenLayers(model, selection, context, uses);
    const shared = sharedOutside(uses, chosen);
    const bits = reduceRange || context.target.saturates ? 7 : 8;
    // Each activation gets one DynamicQuantizeLinear, however many layers read it (q, k, v).
    const rounded = new Map<Value, readonly Value[]>();
    for (const [i, use] of uses.entries()) {
      await context.progress(i, uses.length);
      if (!chosen.has(use.node)) continue;
      const isTable = use.role.kind === "embedding";
      // Stored already with an earlier look-up of the same table.
      if (isTable && use.value.uses.size === 0) continue;
      const bound = refusal(use) ?? (isTable ? shared(use.value) : null);
      const weight = bound ? null : readWeight(use.value);
      const reason = bound ?? refusalOf(use.value, weight);
      if (reason || !weight) context.skip(use.node.name, reason ?? "it has no weight");
      else if (isTable) storeTable(use, weight, scale);
      else replaceLayer(use, weight, { bits, search: scale }, rounded);
    }
  },
});

/** Why a layer stays in float; null if it can be quantized. */
function refusal(use: WeightUse): string | null {
  const { node, role } = use;
  if (role.kind === "conv")
    return "dynamic int8 convolutions are several times slower than float32";
  if (role.kind === "embedding") return null;
  if (linearOf(node)?.kind !== "product") return `${node.op} has no dynamic int8 form`;
  return whyNotRight(use);
}

// alpha x W + beta b -> Cast(MatMulInteger(q(x), W8)) * (s_x * (alpha s_W)) + beta b
function replaceLayer(
  { node, value, role }: WeightUse,
  weight: FloatWeight,
  rounding: Rounding,
  rounded: Map<Value, readonly Value[]>,
): void {
  const g = build(node.graph, node.name);
  const alpha = linearOf(node)?.alpha ?? 1;
  const { levels, factor } = isElementwise(weight)
    ? storedLevels(g, weight, role, rounding, alpha)
    : computedLevels(g, value, weight, role, rounding.bits, alpha);
  const x = node.inputs[0] as Value;
  let parts = rounded.get(x);
  if (!parts) {
    // In the graph of x, not in that of its reader: other bodies may read x too.
    parts = build(x.graph, x.name).many("DynamicQuantizeLinear", [x], { outputs: 3 });
    rounded.set(x, parts);
  }
  const [q, xScale, xZero] = parts;
  const product = g.Cast(g.MatMulInteger(q, levels, xZero), { to: dtypes.float32.code });
  const output = addBias(g, g.Mul(product, g.Mul(xScale, factor())), node);
  if (!node.output.isOutput) output.name = node.output.name;
  node.graph.replace(node.output, output);
  node.graph.remove(node);
  if (value.tensor && value.uses.size === 0) value.graph.removeConstant(value);
}

interface Levels {
  /** int8 [inputs, outputs]. */
  readonly levels: Value;
  /**
   * Adds the nodes of alpha s_W where they are read, since the order of nodes is that of the file.
   */
  readonly factor: () => Value;
}

/**
 * A weight that stores one number per element: its levels in int8, transposed if
 * outputs come first.
 */
function storedLevels(
  g: Builder,
  weight: FloatWeight,
  role: WeightRole,
  rounding: Rounding,
  alpha: number,
): Levels {
  const columnsLast = role.outputAxis === 0 ? (transposed(weight) ?? weight) : weight;
  const { levels, scale } = toInt8(columnsLast, columnsLast.shape.length - 1, rounding);
  const shape = scale.length === 1 ? [] : [scale.length];
  return {
    levels: expand(g, levels, integers("int8", -128, 127)),
    factor: () =>
      g.constant(
        scale.map((s) => s * alpha),
        { shape, name: "scale" },
      ),
  };
}

/**
 * A weight whose form stores no number per element: the form stays, and nodes transpose and
 * round what it computes.
 */
function computedLevels(
  g: Builder,
  value: Value,
  { shape }: FloatWeight,
  { outputAxis }: WeightRole,
  bits: number,
  alpha: number,
): Levels {
  const turned = outputAxis === 0 ? g.Transpose(value, { perm: [1, 0] }) : value;
  const dims = outputAxis === 0 ? [shape[1], shape[0]] : shape;
  const { levels, scale } = roundInGraph(g, turned, dims, dims.length - 1, bits);
  return { levels, factor: () => (alpha === 1 ? scale : g.Mul(scale, g.constant(alpha))) };
}

function addBias(g: Builder, product: Value, node: Node): Value {
  const index = biasInputOf(node);
  const bias = index === null ? null : node.inputs[index];
  if (!bias) return product;
  const beta = linearOf(node)?.beta ?? 1;
  return g.Add(product, beta === 1 ? bias : g.Mul(bias, g.constant(tensor("float32", [], beta))));
}
