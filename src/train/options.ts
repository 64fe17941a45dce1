/** @file The options of the step `train`: everything that a user can set for a run of training. */
import { z } from "zod";
import { layerOptions } from "../options.ts";
import { hintLosses } from "./hint-losses.ts";
import { losses } from "./objective.ts";
import { optimizers } from "./optimizers.ts";
import { schedules } from "./schedules.ts";

const keysOf = <T extends object>(table: T) => Object.keys(table) as [keyof T & string];
const globs = z.array(z.string()).default([]);
const share = (standard: number) => z.number().min(0).max(1).default(standard);

export const trainOptions = z.object({
  epochs: z
    .number()
    .min(0)
    .max(1e5)
    .default(1)
    .meta({
      description: "Times through the training records.",
      search: [1, 3, 10],
    }),
  steps: z
    .int()
    .min(0)
    .default(0)
    .meta({ description: "Batches, instead of epochs; 0: by epochs." }),
  batch: z.int().min(1).max(65536).default(128).meta({ description: "Records per update." }),
  micro: z.int().min(0).default(0).meta({
    description:
      "Records per run of the engine; fewer need less memory, the gradients are averaged; 0: chosen by the program.",
  }),
  loss: z.enum(losses).default("auto").meta({
    description:
      "auto goes by the labels, and distils where there is a named teacher or no label; distil is kd for classes, else logits, also from the model before the recipe; features rebuilds every layer's output.",
  }),
  smoothing: share(0).meta({
    description: "Label smoothing of the cross-entropy, alone or as a share of kd.",
  }),
  temperature: z
    .union([z.literal("auto"), z.number().positive()], "expected a number above 0, or auto")
    .default(4)
    .meta({
      description:
        "Softmax temperature of distillation; auto: 1, 2 or 4, whichever does best on held-out records in a short run.",
      search: [1, 4],
    }),
  alpha: share(0.9).meta({ description: "The teacher's share of the loss (kd, dkd)." }),
  nontarget: z.number().min(0).default(2).meta({
    description: "dkd: weight of what the teacher tells of the classes that are not the label.",
  }),
  draws: z.int().min(0).max(100).default(0).meta({
    description:
      "The teacher answers so many times with its Dropout at work, and the mean of its probabilities is taught; 0: once, without.",
  }),
  hints: globs.meta({
    description:
      "Layers whose output is to resemble the teacher's, split by |; conv3=conv7 where names differ.",
  }),
  hintloss: z
    .enum(keysOf(hintLosses))
    .default("mse")
    .meta({
      description: `How hints are compared: ${Object.entries(hintLosses)
        .map(([id, { doc }]) => `${id}: ${doc}`)
        .join("; ")}.`,
    }),
  hintweight: z
    .number()
    .min(0)
    .default(1)
    .meta({ description: "Weight of the hints in the loss." }),
  optimizer: z.enum(keysOf(optimizers)).default("adam").meta({ description: "Update rule." }),
  rate: z
    .number()
    .positive()
    .default(0.001)
    .meta({
      description: "Learning rate.",
      search: [0.0003, 0.001, 0.003],
    }),
  schedule: z.enum(keysOf(schedules)).default("cosine").meta({
    description: "Course of the learning rate over the run.",
  }),
  warmup: z.int().min(0).default(0).meta({ description: "Steps of linear warm-up." }),
  drop: share(0.1).meta({ description: "Factor of each drop (schedule step)." }),
  drops: z.int().min(0).default(2).meta({ description: "Drops, evenly spread (schedule step)." }),
  momentum: share(0.9).meta({ description: "Momentum; beta1 of Adam." }),
  beta2: share(0.999).meta({ description: "beta2 of Adam." }),
  decay: z.number().min(0).default(0).meta({
    description:
      "Weight decay: of weights in any stored form, not of biases, normalizations and what a method opens; decoupled in adamw, part of the gradient elsewhere.",
  }),
  noise: z.number().min(0).max(10).default(0).meta({
    description:
      "Normal noise on weights in every step, in shares of the layer's root mean square; what is trained with it can be stored more coarsely.",
  }),
  survival: z.number().min(0.1).max(1).default(1).meta({
    description:
      "Stochastic depth: the last residual block takes part in a step with this probability, earlier ones more often; 1: all always.",
  }),
  s3pool: z.int().min(0).max(64).default(0).meta({
    description:
      "S3Pool: in every step, pools take random rows and columns, as many of each run of this many strides as there are strides; 0: those of the stride.",
  }),
  clip: z.number().min(0).default(0).meta({
    description: "Length limit of the gradient of all that learns, together; 0: none.",
  }),
  ema: share(0).meta({ description: "Moving average of the parameters, e.g. 0.999; 0: none." }),
  rates: globs.meta({
    description: "Factors of the learning rate by layer: glob=factor, split by |.",
  }),
  augment: z.string().default("").meta({
    description: "Changes of the images, split by +: flip+crop=4, shift=2+affine=10.",
  }),
  holdout: z.number().min(0).max(0.9).default(0.1).meta({
    description: "Share of the training records (at most 5000) held out for evaluation; 0: none.",
  }),
  patience: z.int().min(0).default(0).meta({
    description: "Stop after so many evaluations on held-out records without a gain; 0: never.",
  }),
  keep: z.enum(["best", "last"]).default("best").meta({
    description:
      "Which parameters to keep: the best by the held-out records, the start among them, or the last.",
  }),
  ...layerOptions,
  batchnorm: z.enum(["batch", "frozen", "unfold"]).default("batch").meta({
    description:
      "Normalize by the batch and follow its statistics; keep the stored ones; or also put back what was folded into convolutions.",
  }),
});

export type TrainOptions = z.output<typeof trainOptions>;

/** The options of a run whose temperature has been chosen. */
export type SettledOptions = TrainOptions & { readonly temperature: number };
