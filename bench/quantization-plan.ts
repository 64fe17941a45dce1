/** @file Which recipes bench/quantization.ts runs on which models, and the rows that it writes. */
import { families } from "../src/methods/index.ts";
import { describeOptions } from "../src/options.ts";
import { needsTraining } from "../src/recipe/needs.ts";
import { formatRecipe, parseRecipe } from "../src/recipe/steps.ts";

/** The models by file name, with their titles. */
export const benchModels = {
  resnet20_cifar10_jpegft: "ResNet-20, CIFAR-10 as JPEG",
  kws_dscnn: "DS-CNN, keyword spotting",
  stories260k: "Stories260k, a Llama of 260,000 weights",
} as const;

/** One row of results/quantization.json: a recipe on a model. */
export interface QuantizationRow {
  readonly model: string;
  readonly recipe: string;
  /** Why there are no figures: the recipe was refused or undone; null where there are. */
  readonly reason: string | null;
  readonly bytes?: { readonly onnx: number; readonly packed: number | null };
  readonly metric?: string;
  /** The metric, how much worse than the original's it is, and the interval of that. */
  readonly value?: number;
  readonly drop?: number | null;
  readonly ci95?: readonly [number, number] | null;
  /** Percent of changed predictions. */
  readonly flips?: number | null;
  /** Of the outputs, dB; null where they are equal. */
  readonly sqnr?: number | null;
  /** Wall time of the steps, on a machine that may have had other work. */
  readonly seconds?: number;
}

/** What one CPU gave. */
export interface QuantizationRun {
  readonly command: string;
  readonly originals: Readonly<Record<string, Original>>;
  readonly rows: readonly QuantizationRow[];
}

/** The model before: bytes of its files, its metric, and the records that judged. */
export interface Original {
  readonly bytes: { readonly onnx: number; readonly packed: number | null };
  readonly metric: string;
  readonly value: number;
  readonly records: number;
}

/** Each method's defaults, and 4 bits where that is another setting, in the order of the table. */
export function recipesOfFamily(): string[] {
  const bitsOf = (id: keyof typeof families.quantization) =>
    describeOptions(families.quantization[id].options).find(({ name }) => name === "bits");
  const ids = Object.keys(families.quantization) as (keyof typeof families.quantization)[];
  const recipes = ids.flatMap((id) => {
    const bits = bitsOf(id);
    const { minimum, maximum } = bits ?? {};
    const takesFour = bits?.default !== 4 && (minimum ?? 5) <= 4 && (maximum ?? 0) >= 4;
    return takesFour ? [id, `${id}:bits=4`] : [id];
  });
  return recipes
    .map((text) => parseRecipe(text))
    .filter((steps) => !needsTraining(steps))
    .map((steps) => formatRecipe(steps));
}
