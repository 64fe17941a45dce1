/** @file Cross-layer equalization: scales move between layers until their channels are even. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { spreadsOf } from "../../evidence/pooled.ts";
import { activationScales } from "../../int8/equalize.ts";
import type { Model } from "../../ir/model.ts";
import { absorbBias, shiftableOf } from "../../layers/absorb-bias.ts";
import { evenScales } from "../../layers/even-scales.ts";
import { moveScales, type Span } from "../../layers/rescale.ts";
import { type Closed, spansOf, tellClosed } from "../../layers/spans.ts";
import { siteOptions } from "../../weights/select.ts";
import { defineMethod } from "../method.ts";

/**
 * W2 f(W1 x + b) = (W2 S) f(S^-1 (W1 x + b)) for f(s x) = s f(x). With ranges=weights S makes the
 * largest weights of each channel equal in both layers (`evenScales`); with ranges=activations it
 * makes the ranges of channels equal (`activationScales`).
 */
export const equalize = defineMethod({
  title: "cross-layer equalization",
  cite: "Nagel et al. 2019, arXiv 1906.04721, section 4.1",
  equation: "W2 f(W1 x + b) = (W2 S) f(S^-1 (W1 x + b)), s_c = sqrt(r1_c r2_c) / r2_c",
  summary:
    "Moves scales between layers so that the weights of all channels are of one size; outputs stay the same.",
  needs: ({ ranges, absorb }) => (ranges === "activations" || absorb ? ["calibration"] : []),
  prepares: "quantize-int8",
  options: z.object({
    ranges: z
      .enum(["weights", "activations"])
      .default("weights")
      .meta({
        description: "What is evened out: weights, without data, or activations on records.",
        search: ["weights", "activations"],
      }),
    absorb: z
      .boolean()
      .default(false)
      .meta({
        description:
          "Also moves the mean less 3 standard deviations of what a Relu reads into the next bias.",
        search: [false, true],
      }),
    records: z.int().min(1).default(64).meta({
      description: "Calibration records to look at, at most.",
    }),
    ...siteOptions,
  }),
  survey: [{}],
  neutral: null,
  async apply(model, { ranges, absorb, records, ...selection }, context) {
    const { spans, closed } = spansOf(model, selection);
    await context.progress(0, spans.length);
    const open = spans.filter((span) => span.makers.length > 0 && span.readers.length > 0);
    tellClosed([...closed, ...withoutWeights(spans)], context);
    const scales =
      ranges === "weights"
        ? evenScales(open)
        : await activationScales(model, open, context.observe, records);
    for (const [span, s] of scales) moveScales(span, s);
    if (absorb) await absorbBiases(model, spans, records, context);
  },
});

/** Spans that a normalization or a constant makes: there is no weight to even theirs with. */
function withoutWeights(spans: readonly Span[]): Closed[] {
  return spans
    .filter(({ makers }) => makers.length === 0)
    .map(({ values, readers }) => {
      const [[value, axis]] = values;
      const layers = readers.map(({ node }) => node);
      return { value, axis, layers, reason: "no layer's weights make its input" };
    });
}

/** c = max(0, mean - 3 sd) of what a Relu reads: below it are .135 % of normal values (eq. 15). */
async function absorbBiases(
  model: Model,
  spans: readonly Span[],
  records: number,
  { observe }: Context,
): Promise<void> {
  const shiftable = spans.flatMap((span) => shiftableOf(span) ?? []);
  const spreads = await spreadsOf(model, shiftable, observe, records);
  for (const [each, { mean, variance }] of spreads) {
    const c = mean.map((m, i) => Math.max(0, m - 3 * Math.sqrt(variance[i])));
    if (c.some((shift) => shift > 0)) absorbBias(each, c);
  }
}
