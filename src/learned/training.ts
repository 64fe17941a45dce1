/** @file What methods share that train weights, and perhaps activations, on levels of a few bits. */
import { z } from "zod";
import type { Context, TrainHooks } from "../context.ts";
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { weightsOf } from "../ops/weights.ts";
import { trainOptions } from "../train/options.ts";
import { type Opened, openable } from "../weights/latent.ts";
import { siteOptions } from "../weights/select.ts";
import { type ThetaSite, thetasOf } from "../weights/sites.ts";

const { epochs, steps, batch, rate, warmup, loss, temperature, alpha, augment } =
  trainOptions.shape;

/** The options of the training, and of the choice of layers; `usual` is the default rate. */
export const learnedOptions = (usual = 0.001) => ({
  ...{ epochs, steps, batch, rate: rate.default(usual), warmup },
  ...{ loss, temperature, alpha, augment },
  ...siteOptions,
});

export type LearnedOptions = {
  readonly [K in keyof ReturnType<typeof learnedOptions>]: z.output<
    ReturnType<typeof learnedOptions>[K]
  >;
};

/** Bits of a grid, at most 8. */
export const bitsOption = (standard: number, least: number) =>
  z.int().min(least).max(8).default(standard);

/** The weights to open for training; none if the options ask for no step of training. */
export function sitesToLearn(model: Model, options: LearnedOptions, context: Context): ThetaSite[] {
  if (options.epochs === 0 && options.steps === 0) return [];
  return openable(thetasOf(model, options, context), model, context);
}

/**
 * Trains with these weights and activations open, and closes them. No records are held out: the best
 * score would be an early one, of weights that have hardly begun to change their levels.
 */
export async function trainLevels(
  model: Model,
  options: LearnedOptions,
  latents: readonly Opened[],
  context: Context,
  hooks: Omit<TrainHooks, "latents"> = {},
): Promise<void> {
  await context.train(model, { ...options, holdout: 0, keep: "last" }, { ...hooks, latents });
}

/** A function that tells whether a node is the first or the last layer of the model. */
export function endsOf(model: Model): (node: Node) => boolean {
  const layers = [...new Set(weightsOf(model).map(({ node }) => node))];
  return (node) => node === layers[0] || node === layers.at(-1);
}

/**
 * What the layers of these sites read besides their weights, each value once, with those layers.
 * Tables that are looked up read no real numbers, and are left out, as is what a loop or a branch computes:
 * it cannot be observed.
 */
export function inputsOf(model: Model, sites: readonly ThetaSite[]): Map<Value, Node[]> {
  const nodes = new Set(sites.map(({ node }) => node));
  const readers = new Map<Value, Node[]>();
  for (const { node, index, role } of weightsOf(model)) {
    const input = node.inputs[index === 0 ? 1 : 0];
    const isData = role.kind !== "embedding" && input?.graph === model.graph && !input.tensor;
    if (!isData || !nodes.has(node)) continue;
    readers.set(input, [...(readers.get(input) ?? []), node]);
  }
  return readers;
}
