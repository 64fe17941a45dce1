/** @file How records become the model's inputs: one schema for flags, help, metadata and code. */
import { z } from "zod";
import { errors, fail } from "../errors.ts";
import { describeOptions, type OptionInfo } from "../options.ts";
import { feedingOf, Inputs } from "./feed.ts";

/** A schema that also accepts text: command lines give text, programs and metadata values. */
function orText<T extends z.ZodType>(parse: (text: string) => unknown, schema: T) {
  return z.preprocess((value) => (typeof value === "string" ? parse(value) : value), schema);
}

/** A schema of lists of numbers that also accepts text and single numbers. */
function orTexts<T extends z.ZodType>(separator: string, schema: T) {
  return z.preprocess((value) => {
    if (typeof value === "number") return [value];
    return typeof value === "string" ? value.split(separator).map(toNumber) : value;
  }, schema);
}

const toNumber = (text: string) => (text.trim() ? Number(text) : Number.NaN);

/** All are optional, so that the user's options can take precedence over the model's metadata. */
export const DataOptions = z.strictObject({
  scale: orText(toNumber, z.number().positive())
    .optional()
    .meta({ description: "Pixels are divided by this (default 255; 1 for integer inputs)." }),
  mean: orTexts(",", z.array(z.number()).min(1))
    .optional()
    .meta({ description: "Then subtracted, one value or one per channel: .485,.456,.406." }),
  std: orTexts(",", z.array(z.number().positive()).min(1))
    .optional()
    .meta({ description: "Then divided by, one value or one per channel: .229,.224,.225." }),
  size: orTexts("x", z.array(z.int().positive()).min(1).max(2)).optional().meta({
    description:
      "Images are resized to cover N or HxW, then cropped at the centre to the model's input (default: that input's size); text and sound: tokens or samples of a record.",
  }),
  layout: z
    .enum(["nchw", "nhwc"])
    .optional()
    .meta({ description: "Order of the image axes (default: told from the model's input)." }),
  fill: orText(toNumber, z.int().min(0).max(255)).optional().meta({
    description:
      "Whole images are fitted into the input, and what is left of it gets this pixel value, such as 114 (default: images cover the input and are cropped).",
  }),
  bgr: z
    .boolean()
    .optional()
    .meta({ description: "The model takes blue, green, red; mean and std are in that order too." }),
  sampleRate: orText(toNumber, z.int().positive()).optional().meta({
    description: "Samples a second that the model takes: sound of another rate is resampled.",
  }),
  hop: orText(toNumber, z.int().positive()).optional().meta({
    description:
      "Samples from the beginning of a window of a sound file to that of the next (default: --size).",
  }),
  tokenizer: z.string().min(1).optional().meta({
    description:
      "For text: tokenizer.json of Hugging Face, or a JSON list of words by id (default: the one beside the model).",
  }),
  labelOffset: orText(toNumber, z.int())
    .optional()
    .meta({ description: "Added to every class label: 1 where class 0 is the background." }),
  limit: orText(toNumber, z.int().positive()).optional().meta({
    description:
      "Use this many records of --data and of --calib, evenly spaced (a module's first ones).",
  }),
  nonFinite: z.enum(["skip", "refuse", "keep"]).optional().meta({
    description:
      "Records with NaN or infinities: left out with a warning, refused, or kept, for models that take them (default skip).",
  }),
  input: Inputs.optional().meta({
    description:
      "The model input that records fill, where it has several; NAME=HOW says how another is fed: a number, zeros, ones, mask, range, ids, axis:1 (records along that axis) or feedback:OUTPUT (a state). May be given several times.",
    repeats: true,
  }),
});

export type DataOptions = z.output<typeof DataOptions>;

/** The options of all readers as flags and forms need them. */
export const dataOptionInfos = (): readonly OptionInfo[] => describeOptions(DataOptions);

/** The metadata key under which a model records how its own inputs are prepared. */
export const preprocessKey = "tersor.preprocess";
export const Preprocess = DataOptions.omit({ limit: true });
export type Preprocess = z.output<typeof Preprocess>;

/** Options that apply only to images. */
export const imageOptions = ["scale", "mean", "std", "size", "layout", "fill", "bgr"] as const;

/**
 * Checks options from a command line or a program. Throws TersorError "bad-option",
 * which names `where`.
 */
export function parseDataOptions(given: unknown, where = "data options"): DataOptions {
  return checked(DataOptions, given, where);
}

/** Parses the JSON text under `preprocessKey`. Throws TersorError "bad-option". */
export function parsePreprocess(json: string, where = preprocessKey): Preprocess {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw fail(errors.badOption(where, "is not JSON", "Correct the model's metadata"), cause);
  }
  return checked(Preprocess, value, where);
}

/** The user's options, completed by the model's. */
export function mergeOptions(options: DataOptions, preprocess: Preprocess = {}): DataOptions {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const merged: DataOptions = { ...preprocess, ...Object.fromEntries(given) };
  if (options.input === undefined || preprocess.input === undefined) return merged;
  const feeding = [...feedingOf(preprocess.input), ...feedingOf(options.input)];
  return { ...merged, input: Object.fromEntries(feeding) };
}

function checked<T extends z.ZodType>(schema: T, given: unknown, where: string): z.output<T> {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0];
  const why = path.length ? `${path.join(".")}: ${message}` : message;
  throw fail(errors.badOption(where, why, "See: tersor eval --help"));
}
