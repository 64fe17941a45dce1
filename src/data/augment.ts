/** @file Augmentation: seeded random changes of the images in a batch, from one line of options. */
import { z } from "zod";
import { errors, fail } from "../errors.ts";
import { tensor } from "../ir/tensor.ts";
import type { Random } from "../numeric/random.ts";
import { parseOptions } from "../options.ts";
import type { Batch, Dataset } from "./dataset.ts";
import {
  blend,
  erase,
  fills,
  type Pixels,
  place,
  randomWindow,
  relight,
  warp,
  zoom,
} from "./move-pixels.ts";

/** The options; by default no change is made. */
export const AugmentOptions = z.strictObject({
  shift: z
    .int()
    .min(0)
    .default(0)
    .meta({ description: "Moves by up to this many pixels each way." }),
  crop: z.int().min(0).default(0).meta({
    description: "Pads by this many pixels and crops at random: another word for shift.",
  }),
  flip: z.boolean().default(false).meta({ description: "Mirrors half of the images." }),
  affine: z.number().min(0).max(45).default(0).meta({
    description: "Turns by up to this many degrees, zooms and shears by up to as many percent.",
  }),
  zoom: z.number().min(0).max(0.95).default(0).meta({
    description:
      "Stretches a random window of the picture over the image: takes up to this share of it away.",
  }),
  light: z.number().min(0).max(1).default(0).meta({
    description: "Changes brightness and contrast by up to this share.",
  }),
  mixup: z.boolean().default(false).meta({
    description: "Blends in another image of the batch by up to half; for distillation.",
  }),
  cutout: z.int().min(0).default(0).meta({
    description: "Blackens a square of this side somewhere.",
  }),
  fill: z.enum(fills).default("zero").meta({
    description: "What comes in at the border: zero (a black pixel), edge or reflect.",
  }),
});
export type AugmentOptions = z.output<typeof AugmentOptions>;

/**
 * Checks options, given as text such as `flip,crop=4,cutout=8` or as values. Text may have +
 * instead of commas, for places where commas separate other things. Throws TersorError
 * "unknown-option" or "bad-option", which name `where`.
 */
export function parseAugment(
  given: string | Readonly<Record<string, unknown>>,
  where = "augment",
): AugmentOptions {
  if (typeof given !== "string") return parseOptions(AugmentOptions, given, where);
  const parts = given.split(/[,+]/).map((part) => part.trim());
  const values: Record<string, string> = {};
  for (const part of parts.filter((part) => part !== "")) {
    const [, name, value = ""] = /^([^=]*?)\s*(?:=\s*(.*))?$/s.exec(part) ?? [part, part];
    if (Object.hasOwn(values, name)) {
      throw fail(errors.badOption(where, `${name} is given twice`, "Give it once"));
    }
    values[name] = value;
  }
  return parseOptions(AugmentOptions, values, where);
}

/**
 * Changes the images of a batch; labels and other inputs stay. The same random stream
 * gives the same bytes.
 */
export type Augment = (batch: Batch, random: Random) => Batch;

/**
 * The chosen changes as one function. Each batch should get a stream of its own,
 * `random.fork("epoch/batch")`, so that a resumed run continues with the same images.
 *
 * If the dataset does not describe its images, the only input is taken as [N, C, H, W] with black
 * at 0. Throws TersorError "bad-option" where a batch has no float images.
 */
export function createAugment(
  given: AugmentOptions,
  dataset: Pick<Dataset, "name" | "images">,
): Augment {
  const { shift, crop, flip, affine, cutout, fill } = given;
  const isMoved = shift > 0 || crop > 0 || flip;
  const amounts = [affine, given.zoom, given.light, cutout];
  if (!isMoved && !given.mixup && amounts.every((amount) => amount === 0)) return (batch) => batch;
  return (batch, random) => {
    const { name, pixels } = imagesIn(batch, dataset);
    let { data } = pixels;
    if (affine > 0) data = warp(pixels, { strength: affine, fill }, random);
    if (given.zoom > 0) data = zoom({ ...pixels, data }, 1 - given.zoom, random);
    if (isMoved) data = place({ ...pixels, data }, { shift: shift + crop, flip, fill }, random);
    if (given.mixup) data = blend({ ...pixels, data }, random);
    // The other changes are made in place, but not in the dataset's own pixels.
    if (data === pixels.data) data = data.slice();
    if (given.light > 0) relight({ ...pixels, data }, given.light, random);
    if (cutout > 0) erase({ ...pixels, data }, cutout, random);
    const changed = tensor("float32", batch.inputs[name].shape, data);
    return { ...batch, inputs: { ...batch.inputs, [name]: changed } };
  };
}

/**
 * Reads records and augments them. Where the picture has more pixels than the model's input, a
 * window that `zoom` takes from it is resized from the picture, which keeps it sharp.
 */
export function createReader(
  given: AugmentOptions,
  dataset: Dataset,
): (indices: readonly number[], random: Random) => Promise<Batch> {
  if (given.zoom === 0 || !dataset.readWindows) {
    const augment = createAugment(given, dataset);
    return async (indices, random) => augment(await dataset.read(indices), random);
  }
  const augment = createAugment({ ...given, zoom: 0 }, dataset);
  return async (indices, random) => {
    const windows = indices.map(() => randomWindow(1 - given.zoom, random));
    return augment(await dataset.readWindows!(indices, windows), random);
  };
}

/** The images in a batch and the input that they belong to. */
function imagesIn(
  batch: Batch,
  { name: where, images }: Pick<Dataset, "name" | "images">,
): { name: string; pixels: Pixels } {
  const name = images?.input ?? Object.keys(batch.inputs)[0];
  const input = batch.inputs[name];
  const [, channels, height, width] = input.shape;
  const isClear = images || (Object.keys(batch.inputs).length === 1 && input.shape.length === 4);
  if (!isClear || input.dtype !== "float32") {
    const shape = `${name} ${input.dtype} [${input.shape.join(",")}]`;
    const why = `${shape} holds no float images, which is all that can be augmented`;
    throw fail(errors.badOption(where, why, "Leave augment out"));
  }
  const about = images ?? { channels, height, width, layout: "nchw" };
  const black = Float32Array.from(images?.black ?? new Float32Array(channels));
  return { name, pixels: { ...about, black, data: input.floats(), count: batch.size } };
}
