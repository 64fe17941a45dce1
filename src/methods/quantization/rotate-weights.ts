/** @file Rotations: outliers of hidden states spread over all features, without a change of function. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import type { Model } from "../../ir/model.ts";
import type { Stream } from "../../layers/stream.ts";
import { residualStreams, valueStreams } from "../../layers/streams.ts";
import { turnStream } from "../../layers/turn.ts";
import { transpose } from "../../numeric/matrix.ts";
import { randomRotation } from "../../numeric/rotation.ts";
import { roundingError } from "../../rounding/turned.ts";
import { chosenLayers, type Selection, siteOptions } from "../../weights/select.ts";
import { defineMethod } from "../method.ts";

/**
 * x' = x Q with an orthogonal Q for the residual stream: what makes x gets W Q, what reads it Q^T W.
 * Normalizations pass Q once their scales are in the layers that read them; one that subtracts the mean
 * gets a Q with Q 1 = 1, and stays as it is. Each attention's values get a rotation of their own,
 * one for all heads, which the output projection takes back.
 */
export const rotateWeights = defineMethod({
  title: "rotation of hidden states (QuaRot)",
  equation: "y = (x Q) (Q^T W), Q Q^T = 1",
  cite: "Ashkboos et al. 2024, arXiv 2404.00456, section 4; Liu et al. 2024, arXiv 2405.16406",
  summary:
    "Rotates the hidden states of a transformer, so that weights and activations have no outliers when they are quantized; outputs stay the same.",
  needs: [],
  prepares: "quantize-int8",
  options: z.object({
    residual: z.boolean().default(true).meta({
      description: "Rotates the residual stream (R1).",
    }),
    values: z.boolean().default(true).meta({
      description: "Rotates the values of each attention, head by head (R2).",
    }),
    matrix: z
      .enum(["hadamard", "random"])
      .default("hadamard")
      .meta({
        description:
          "A Hadamard matrix with random signs, where there is one of that size, or any rotation.",
        search: ["hadamard", "random"],
      }),
    draws: z
      .int()
      .min(1)
      .max(1024)
      .default(1)
      .meta({
        description: "Rotations to draw; the one whose rounded weights are nearest is taken.",
        search: [1, 16],
      }),
    bits: z.int().min(2).max(8).default(4).meta({
      description: "Bits of the weights by which rotations are compared.",
    }),
    ...siteOptions,
  }),
  survey: [{}],
  neutral: null,
  async apply(model, options, context) {
    const streams = streamsOf(model, options, context);
    await context.progress(0, streams.length);
    for (const [i, { stream, name }] of streams.entries()) {
      const random = context.random.fork(name);
      const { block, isCentred } = stream;
      let [best, least]: [Float64Array | null, number] = [null, Number.POSITIVE_INFINITY];
      for (let draw = 0; draw < options.draws; draw++) {
        const q = randomRotation(block, random, options.matrix, isCentred);
        const turn = transpose(q, block, block);
        const error = options.draws === 1 ? 0 : roundingError(stream, turn, options.bits);
        if (error < least || !best) [best, least] = [turn, error];
      }
      const turn = best as Float64Array;
      turnStream(stream, { make: turn, read: () => turn });
      await context.progress(i + 1, streams.length);
    }
  },
});

function streamsOf(
  model: Model,
  { residual, values, ...selection }: Selection & { residual: boolean; values: boolean },
  context: Context,
): { stream: Stream; name: string }[] {
  const chosen = chosenLayers(model, selection, context);
  const whole = residual ? residualStreams(model, chosen, context) : [];
  const heads = values ? valueStreams(model, chosen, context) : [];
  return [
    ...whole.map((stream, i) => ({ stream, name: `residual ${i}` })),
    ...heads.map((stream, i) => ({ stream, name: `values ${i}` })),
  ];
}
