/** @file Layers in one or two bits between a first and a last one that keep more. */
import { z } from "zod";
import type { Context } from "../context.ts";
import type { Model } from "../ir/model.ts";
import type { Opened } from "../weights/latent.ts";
import type { ThetaSite } from "../weights/sites.ts";
import { fitsAfterUpdates } from "./scaled.ts";
import { openOnGrid } from "./step.ts";
import {
  endsOf,
  type LearnedOptions,
  learnedOptions,
  sitesToLearn,
  trainLevels,
} from "./training.ts";

/** The options of such a training; `rate` and `ends` are the defaults. */
export const innerOptions = ({ rate, ends = 32 }: { rate: number; ends?: number }) => ({
  ends: z
    .int()
    .min(1)
    .max(32)
    .refine((bits) => bits <= 8 || bits === 32, "Too odd: expected 1 to 8, or 32")
    .default(ends)
    .meta({
      description:
        "Bits of the first and the last layer: 1 as the others, 2 to 8 a grid with a learned step, 32 float.",
      search: [8, 32],
    }),
  ...learnedOptions(rate),
});

/**
 * Trains the chosen layers as `openAll` opens them, all but the first and the last one of the model if
 * these have more bits: on a grid with a learned step, or left alone, which is reported. Does nothing
 * if the options ask for no step of training. `levels` says what the layers are stored as.
 */
export async function trainInner(
  model: Model,
  { ends, ...options }: LearnedOptions & { readonly ends: number },
  context: Context,
  levels: string,
  openAll: (inner: readonly ThetaSite[]) => Promise<readonly Opened[]> | readonly Opened[],
): Promise<void> {
  const sites = sitesToLearn(model, options, context);
  const isEnd = endsOf(model);
  const [inner, outer] = [true, false].map((wanted) =>
    sites.filter(({ node }) => (ends === 1 || !isEnd(node)) === wanted),
  );
  if (ends === 32) {
    for (const { node } of outer) {
      context.skip(node.name, "is the first or the last layer, and stays float (ends=32)");
    }
  }
  const onGrids = ends === 32 ? [] : outer.map((site) => openOnGrid(site, ends));
  if (inner.length + onGrids.length === 0) return;
  const rest = onGrids.length > 0 ? `, ${plural(onGrids.length)} to a grid of ${ends} bits` : "";
  context.note(`${plural(inner.length)} to ${levels}${rest}`);
  const opened = [...(await openAll(inner)), ...onGrids];
  await trainLevels(model, options, opened, context, fitsAfterUpdates(opened));
}

const plural = (count: number): string => `${count} weight${count === 1 ? "" : "s"}`;
