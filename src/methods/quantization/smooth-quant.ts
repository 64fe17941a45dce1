/** @file SmoothQuant: outlier channels of activations are made smaller, and weights larger. */
import { z } from "zod";
import { largestAmong, largestOf } from "../../evidence/largest.ts";
import type { Value } from "../../ir/graph.ts";
import { insertScale } from "../../layers/insert-scale.ts";
import { largestWeights, moveScales, readBy } from "../../layers/rescale.ts";
import { type Read, spansOf, tellClosed } from "../../layers/spans.ts";
import { power } from "../../numeric/exp.ts";
import { siteOptions } from "../../weights/select.ts";
import { defineMethod } from "../method.ts";

/**
 * y = (x diag(1 / s)) (diag(s) W) with s_j = max |x_j|^alpha / max |W_j|^(1 - alpha) for input
 * channel j (eq. 3 and 4). Division by s is folded into what makes x: the scale and shift of a
 * normalization, or the rows of the layer before. Layers that read the same x (q, k and v) share s,
 * with the maximum over all of their weights.
 */
export const smoothQuant = defineMethod({
  title: "SmoothQuant",
  equation: "y = (x diag(1 / s)) (diag(s) W), s_j = max |x_j|^alpha / max |W_j|^(1 - alpha)",
  cite: "Xiao et al. 2022, arXiv 2211.10438, section 4",
  summary:
    "Moves the range of outlier channels from activations into weights, so that both fit 8 bits; outputs stay the same.",
  needs: ["calibration"],
  prepares: "quantize-int8",
  options: z.object({
    alpha: z
      .number()
      .min(0)
      .max(1)
      .default(0.5)
      .meta({
        description: "How much of the range moves: 0 evens out weights, 1 activations.",
        search: [0.5, 0.65, 0.8],
      }),
    insert: z.boolean().default(false).meta({
      description: "Where nothing can be folded into what makes the input, a Mul divides it.",
    }),
    records: z.int().min(1).default(256).meta({
      description: "Calibration records for the maxima of activations, at most.",
    }),
    ...siteOptions,
  }),
  survey: [{}],
  neutral: null,
  async apply(model, { alpha, insert, records, ...selection }, context) {
    const { spans, closed } = spansOf(model, selection);
    const values = new Map<Value, number>(spans.flatMap(({ values }) => [...values]));
    if (insert) for (const { value, axis } of closed) values.set(value, axis);
    const sizes = await largestOf(model, values, context.observe, records);
    const read = new Map(spans.map((span) => [span, readBy(span.readers)]));
    for (const span of spans) {
      const x = largestAmong(sizes, read.get(span) ?? [], span.channels);
      moveScales(span, factors(x, largestWeights(span.readers, span.channels), alpha));
    }
    if (!insert) tellClosed(closed, context);
    else for (const each of closed) insertFor(each);

    function insertFor(each: Read & { reason: string }): void {
      const size = sizes.get(each.value);
      const why = size
        ? insertScale(each, (slots) => factors(size, largestWeights(slots, size.length), alpha))
        : "its input is never finite";
      if (why) tellClosed([{ ...each, reason: why }], context);
    }
  },
});

/** s_j; 1 for channels that are never active or not read. */
function factors(x: Float64Array, w: Float64Array, alpha: number): Float64Array {
  return x.map((size, j) =>
    size > 0 && w[j] > 0 ? power(size, alpha) / power(w[j], 1 - alpha) : 1,
  );
}
