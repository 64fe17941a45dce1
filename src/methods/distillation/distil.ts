/** @file Distillation: a thinner and shallower copy of the model learns to answer as the model does. */
import { z } from "zod";
import { startFresh } from "../../layers/fresh.ts";
import { parseOptions } from "../../options.ts";
import { trainOptions } from "../../train/options.ts";
import { chosenLayers } from "../../weights/select.ts";
import { defineMethod, type Method } from "../method.ts";
import { pruneBlocks } from "../pruning/prune-blocks.ts";
import { pruneChannels } from "../pruning/prune-channels.ts";

const share = (description: string) => z.number().min(0.05).max(1).meta({ description });

/**
 * The student is the model with the `width` of its channels and the `depth` of its residual blocks
 * that matter most; it starts from their weights, or from drawn ones (width 1, depth 1: born again,
 * Furlanello et al. 2018, arXiv 1805.04770). It then learns from the model (or from the teacher
 * that was named), by the loss of the outputs and of the hints.
 */
export const distil = defineMethod({
  title: "distillation into a smaller copy",
  cite: "Hinton et al. 2015, arXiv 1503.02531; Romero et al. 2015, arXiv 1412.6550; Zhao et al. 2022, arXiv 2203.08679; Furlanello et al. 2018, arXiv 1805.04770",
  equation:
    "min over the student's W: (1 - alpha) E + alpha T^2 KL(teacher / T, student / T) + hints",
  summary:
    "Makes a thinner, shallower copy of the model and trains it to answer as the model does; labels are not needed.",
  needs: ({ depth }) => (depth < 1 ? ["calibration", "training"] : ["training"]),
  options: z.object({
    width: share("Share of the channels, heads and neurons of each layer to keep.")
      .default(0.5)
      .meta({ search: [0.75, 0.5, 0.25] }),
    depth: share("Share of the residual blocks to keep.")
      .default(1)
      .meta({ search: [1, 0.5] }),
    start: z.enum(["kept", "fresh"]).default("kept").meta({
      description:
        "The student's numbers at first: those of what is kept, or drawn anew (width=1, depth=1: a born-again network).",
    }),
    ...trainOptions.shape,
    loss: trainOptions.shape.loss.default("distil"),
  }),
  survey: [{}],
  neutral: { width: 1, depth: 1, epochs: 0 },
  async apply(model, { width, depth, start, ...training }, context) {
    const { only, except } = training;
    const quiet = { ...context, warn() {} };
    const cut = ({ options, apply }: Method, ratio: number) =>
      apply(model, parseOptions(options, { ratio, only, except }, "distil"), quiet);
    if (depth < 1) await cut(pruneBlocks as unknown as Method, 1 - depth);
    if (width < 1) await cut(pruneChannels as unknown as Method, 1 - width);
    if (start === "fresh") {
      startFresh(
        model,
        chosenLayers(model, { only, except }, context),
        context.random,
        context.skip,
      );
    }
    if (training.epochs === 0 && training.steps === 0) return;
    await context.train(model, training);
  },
});
