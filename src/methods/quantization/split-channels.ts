/** @file Outlier channel splitting: input channels with the largest weights become two. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import type { Node, Value } from "../../ir/graph.ts";
import { changeConstant, largestWeights, readerOf, type WeightSlot } from "../../layers/rescale.ts";
import { type Read, spansOf } from "../../layers/spans.ts";
import { splitLargest, splitWeight } from "../../layers/split-columns.ts";
import { canWiden, gatherChannels, widen } from "../../layers/widen.ts";
import { inferModel } from "../../ops/infer.ts";
import { siteOptions } from "../../weights/select.ts";
import { defineMethod } from "../method.ts";

/**
 * w x = ((w - s / 2) / 2) x + ((w + s / 2) / 2) x for the ratio * C input channels with the largest
 * weights, one after the other. The layer before makes these channels twice, or, where it cannot,
 * a Gather repeats them.
 */
export const splitChannels = defineMethod({
  title: "outlier channel splitting",
  equation:
    "w x = ((w - s / 2) / 2) x + ((w + s / 2) / 2) x for the channels of the largest weights",
  cite: "Zhao et al. 2019, arXiv 1901.09504, section 3",
  summary:
    "Doubles the input channels with the largest weights and halves these, so that ranges shrink; outputs stay the same.",
  needs: [],
  prepares: "quantize-int8",
  options: z.object({
    ratio: z
      .number()
      .min(0)
      .max(1)
      .default(0.02)
      .meta({
        description: "Splits for each input channel of a layer, rounded up.",
        search: [0.01, 0.02, 0.05],
      }),
    bits: z.int().min(2).max(16).default(8).meta({
      description: "Levels of a later step: the halves differ by half a step of them.",
    }),
    scale: z.enum(["channel", "layer"]).default("channel").meta({
      description: "Whether the later step has a scale for each output channel, or for each layer.",
    }),
    ...siteOptions,
  }),
  survey: [{}],
  neutral: { ratio: 0 },
  async apply(model, { ratio, bits, scale, ...selection }, context) {
    const { spans, closed } = spansOf(model, selection);
    await context.progress(0, spans.length + closed.length);
    if (ratio === 0) return;
    const split = (slots: readonly WeightSlot[], channels: number): number[] => {
      const sizes = relativeSizes(slots, channels);
      const columns = splitLargest(sizes, Math.ceil(ratio * channels));
      const weights = slots.map((slot) => splitWeight(slot, columns, bits, scale));
      for (const [i, { node, index }] of slots.entries()) changeConstant(node, index, weights[i]);
      for (const { node } of slots) {
        context.group(node.name, channels, columns.length, "input channels were split");
      }
      return columns.map(({ source }) => source);
    };
    const gather = (read: Read): void => {
      const slots = readersOf(read, context);
      const channels = read.value.shape?.[read.axis];
      if (slots.length === 0 || typeof channels !== "number") return;
      gatherChannels(read, slots, split(slots, channels));
    };
    for (const span of spans) {
      if (span.readers.length === 0) continue;
      if (canWiden(span)) widen(span, split(span.readers, span.channels));
      else for (const read of readsOf(span.readers, span.values)) gather(read);
    }
    for (const read of closed) gather(read);
    inferModel(model);
  },
});

/** What the layers of a span read, value by value. */
function readsOf(slots: readonly WeightSlot[], axes: ReadonlyMap<Value, number>): Read[] {
  const reads = new Map<Value, Node[]>();
  for (const { node, index } of slots) {
    const value = node.inputs[1 - index] as Value;
    reads.set(value, [...(reads.get(value) ?? []), node]);
  }
  return [...reads].map(([value, layers]) => ({ value, axis: axes.get(value) as number, layers }));
}

/** The weights that multiply a value; layers that cannot take more channels are skipped. */
function readersOf({ value, axis, layers }: Read, context: Context): WeightSlot[] {
  return layers.flatMap((node) => {
    const slot = readerOf(node, value, axis);
    const reason =
      typeof slot === "string"
        ? slot
        : slot.role.groups > 1
          ? "reads its channels in groups"
          : typeof value.shape?.[axis] === "number"
            ? null
            : "the number of its input channels is not known";
    if (reason !== null) context.skip(node.name, reason);
    return reason === null && typeof slot !== "string" ? [slot] : [];
  });
}

/** max |w| of each channel as a share of the layer's largest, the largest share of all layers. */
function relativeSizes(slots: readonly WeightSlot[], channels: number): Float64Array {
  const shares = new Float64Array(channels);
  for (const slot of slots) {
    const sizes = largestWeights([slot], channels);
    const most = sizes.reduce((a, b) => Math.max(a, b), 0);
    if (most === 0) continue;
    for (const [c, size] of sizes.entries()) shares[c] = Math.max(shares[c], size / most);
  }
  return shares;
}
