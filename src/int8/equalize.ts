/** @file Equalization by activations: scales move between layers, so that channels fill uint8. */

import type { Observe, Records } from "../context.ts";
import { largestAmong, largestOf } from "../evidence/largest.ts";
import type { Model } from "../ir/model.ts";
import { isDepthwise, moveScales, readBy, type Span, spanOf } from "../layers/rescale.ts";
import type { Plan } from "./plan.ts";

/** Calibration records from which the channels' ranges are taken. */
const RECORDS = 64;

/**
 * Changes the weights of neighbouring convolutions in place, without changing the function: for s >
 * 0, Relu(s x) = s Relu(x), so channel c can be divided by s_c in one layer and multiplied by s_c
 * in the next (Nagel et al. 2019, arXiv 1906.04721, section 4.1).
 */
export async function equalize(model: Model, plan: Plan, observe: Observe): Promise<void> {
  const scales = await activationScales(model, pairsOf(plan), observe, RECORDS);
  for (const [span, s] of scales) moveScales(span, s);
}

/**
 * s [channels] of each span by the ranges that the values read by its layers have on records.
 *
 * All channels of an activation share one scale when they are rounded. With the range r_c of
 * channel c, s_c = (r_c / max r)^a makes narrow channels use more of the levels. a = 1 if all next
 * layers are depthwise, which have a scale per channel; a = 3/4 otherwise, because the filters of
 * the next layer then get inputs of uneven size.
 */
export async function activationScales(
  model: Model,
  spans: readonly Span[],
  observe: Observe,
  records: Records,
): Promise<Map<Span, Float64Array>> {
  const inputs = new Map(spans.map((span) => [span, readBy(span.readers)]));
  const axes = spans.flatMap((span) =>
    [...span.values].filter(([value]) => inputs.get(span)?.includes(value)),
  );
  const ranges = await largestOf(model, new Map(axes), observe, records);
  return new Map(
    spans.map((span) => {
      const range = largestAmong(ranges, inputs.get(span) ?? [], span.channels);
      return [span, scalesOf(range, span.readers.every(isDepthwise) ? 1 : 0.75)] as const;
    }),
  );
}

/** All values between two convolutions of the plan whose scales can be moved. */
function pairsOf(plan: Plan): Span[] {
  const nodes = new Set(plan.layers.map(({ node }) => node));
  return [...plan.values].flatMap(([value, { absorbed }]) => {
    const span = spanOf(value, 1, nodes);
    if (typeof span === "string" || span.values.size > (absorbed ? 2 : 1)) return [];
    const { makers, readers } = span;
    const isPair =
      makers.length === 1 &&
      readers.length > 0 &&
      [...makers, ...readers].every(({ role }) => role.kind === "conv") &&
      readers.every((slot) => slot.role.groups === 1 || isDepthwise(slot));
    return isPair ? [span] : [];
  });
}

/**
 * s_c for each channel, at least 1/256 before the exponent: a channel that is hardly ever
 * active has a range that few records determine. Roots give the exponent 3/4, so that all
 * platforms round alike.
 */
function scalesOf(range: Float64Array, exponent: 1 | 0.75): Float64Array {
  const largest = range.reduce((a, b) => Math.max(a, b), 0);
  return range.map((r) => {
    if (!(r > 0) || largest === 0) return 1;
    const share = Math.max(r / largest, 1 / 256);
    return exponent === 1 ? share : Math.sqrt(share * Math.sqrt(share));
  });
}
