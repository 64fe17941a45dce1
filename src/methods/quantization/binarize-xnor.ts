/** @file XNOR-Networks: weights and activations of -1 and +1, with scales for both. */
import { z } from "zod";
import type { Node, Value } from "../../ir/graph.ts";
import { meanScale } from "../../learned/bwn.ts";
import { innerOptions, trainInner } from "../../learned/inner.ts";
import { openScaled, scalesOption } from "../../learned/scaled.ts";
import { openSigns } from "../../learned/signs.ts";
import { type Builder, build } from "../../ops/builder.ts";
import { inferNode } from "../../ops/infer.ts";
import { linearOf, whyNotRight } from "../../ops/linear.ts";
import type { WeightUse } from "../../ops/weights.ts";
import { replaceReaders } from "../../weights/latent.ts";
import { defineMethod } from "../method.ts";

/**
 * W * x ~ (sign(W) * sign(x)) K alpha (eq. 11), alpha = mean |W| of each filter, K the mean of |x| over
 * the channels and over each window of the kernel. The gradient of sign(x) is 1(|x| <= 1), that of the
 * weights is BWN's, and K is differentiated as it is.
 */
export const binarizeXnor = defineMethod({
  title: "XNOR-Net",
  equation:
    "W * x ~ (sign(W) * sign(x)) K alpha, alpha = mean |W| of each filter, K = mean |x| under the kernel",
  cite: "Rastegari et al. 2016, arXiv 1603.05279, section 3.2",
  summary:
    "Trains weights and activations of one bit, with scales of filters and of input windows.",
  needs: ["training"],
  options: z.object({
    scales: scalesOption.default("channel").meta({ description: "What weights share a scale." }),
    ...innerOptions({ rate: 0.002 }),
  }),
  survey: [{}],
  neutral: { epochs: 0 },
  apply: (model, { scales, ...options }, context) =>
    trainInner(
      model,
      options,
      context,
      `-1 and +1, a scale for each ${scales}, and signs of inputs`,
      (sites) => {
        const signs = openSigns(model, sites, context, {
          refusal: whyNoScales,
          before: ({ node, value }, x) => scaleOutput(node, x, value.shape?.slice(2) as number[]),
        });
        return [...sites.map((site) => openScaled(site, meanScale(scales))), ...signs];
      },
    ),
});

/** Why the scales K of a layer's input cannot be computed; null if they can. */
function whyNoScales({ node, index }: WeightUse): string | null {
  const kind = linearOf(node)?.kind;
  if (kind === "convtranspose") return "is that of a transposed convolution";
  if (kind === "product")
    return whyNotRight({ node, index }) && "is the right operand, or transposed";
  return node.int("group", 1) > 1 ? "is that of a convolution in groups" : null;
}

/** y = W * x + b becomes (W * x) K + b; `kernel` is empty for a product of matrices. */
function scaleOutput(node: Node, x: Value, kernel: readonly number[]): void {
  const { graph } = node;
  const g = build(graph, node.name, inferNode);
  const isConv = linearOf(node)?.kind === "conv";
  const means = g.ReduceMean(g.Abs(x), g.ints([isConv ? 1 : -1], "axes"), { keepdims: 1 });
  const windows = {
    kernel_shape: kernel,
    ...Object.fromEntries(
      ["strides", "pads", "dilations"].map((name) => [name, node.ints(name)] as const),
    ),
    auto_pad: node.text("auto_pad", "NOTSET"),
    count_include_pad: 1,
  };
  const K = isConv ? g.AveragePool(means, windows) : means;
  const { output } = node;
  const bias = node.inputs[2] ?? null;
  node.setInputs(node.inputs.slice(0, 2));
  const scaled = g.Mul(output, K);
  replaceReaders(output, bias ? g.Add(scaled, shifts(g, bias, node, kernel)) : scaled);
}

/** What the layer's own bias adds to its output, to be broadcast against it. */
function shifts(g: Builder, bias: Value, node: Node, kernel: readonly number[]): Value {
  const beta = linearOf(node)?.beta ?? 1;
  if (beta !== 1) return g.Mul(bias, g.constant(beta));
  if (kernel.length === 0) return bias;
  const [channels] = bias.shape ?? [-1];
  const shape = [channels as number, ...kernel.map(() => 1)];
  return bias.tensor
    ? g.constant(bias.tensor.reshape(shape), { name: "bias" })
    : g.Reshape(bias, g.ints(shape, "shape"));
}
