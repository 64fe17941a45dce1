/** @file What bench/same-bytes.ts runs: models, recipes, and which recipes are too dear for which models. */
import { statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { realModels } from "../test/support/real-models.ts";

/** What the child reads. */
export interface Job {
  /** URL of the code, with a slash at its end. */
  readonly root: string;
  /** URL of a folder where products are kept, with a slash at its end; null keeps none. */
  readonly keep: string | null;
  /** Null: only list the settings of every method. */
  readonly models: readonly ModelJob[] | null;
}

export interface ModelJob {
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  /** How many to calibrate on and to train on. */
  readonly records: number;
  readonly recipes: readonly string[];
}

/** Settings of every method, with and without steps of training. */
export interface Listed {
  readonly plain: string[];
  readonly training: string[];
}

export interface Row {
  readonly model: string;
  readonly recipe: string;
  /**
   * undone: a step was rolled back; idle: nothing changed; refused: it threw; unparsed: this side does
   * not know the method or the option.
   */
  readonly state: "made" | "undone" | "idle" | "refused" | "unparsed";
  /** SHA-256 of the file, or the error's message. */
  readonly hash: string;
  readonly bytes: number | null;
  /** Of the process: others use the machine, too. */
  readonly cpuMs: number;
}

/** What one step stores, the next one reads: these on every model. */
const telling = [
  "prune-magnitude > share-weights",
  "quantize-weights > quantize-int8",
  "factor-svd > quantize-weights",
  "prune-channels > quantize-int8",
];

const compositions = [
  "prune-magnitude > quantize-weights",
  "prune-magnitude:sparsity=0.9 > quantize-rate",
  "prune-magnitude > quantize-int8",
  "quantize-weights:bits=4,block=32 > prune-magnitude",
  "quantize-weights:bits=4,block=32 > share-weights",
  "share-weights:bits=4 > quantize-int8",
  "share-weights:bits=4 > prune-channels",
  "share-weights > quantize-dynamic",
  "factor-svd > quantize-int8",
  "prune-channels > factor-svd",
  "merge-neurons > store-float16",
  "store-float16 > prune-magnitude",
  "prune-wanda > quantize-weights",
];

/** Options that take other ways through the code, on small models only. */
const branches = [
  "quantize-weights:bits=3,block=32,scale=minmax",
  "quantize-weights:bits=4,kernel=integer",
  "quantize-int8:calibrator=minmax,scale=minmax,equalize=false,correctBias=false",
  "quantize-int8:calibrator=percentile",
  "store-float16:dtype=bfloat16",
  "share-weights:bits=3,init=optimal",
  "share-weights:bits=3,init=random",
  "prune-magnitude:pattern=2:4",
  "prune-channels:criterion=activation,allocation=global",
  "prune-channels:criterion=fpgm,repair=bias",
  "prune-channels:budget=macs<=0.5,allocation=sensitivity",
];

/** On small models only, too. */
const trainings = [
  "quantize-rate:sensitivity=gradient",
  "prune-magnitude:steps=2",
  "prune-channels:criterion=taylor",
  "train:epochs=2,batchnorm=unfold",
  "prune-magnitude > train:epochs=2",
  "share-weights > train:epochs=2",
];

const examples = ["lenet5", "lenet-300-100"].map((name) => ({
  name,
  path: fileURLToPath(new URL(`../examples/${name}.onnx`, import.meta.url)),
  shapes: [{ image: [4, 1, 28, 28] }],
}));
const small = ["lenet5", "lenet-300-100", "kws_dscnn", "resnet20_cifar10"];
/** Networks of another model here, with other weights. */
const twins = ["resnet20_cifar10_jpegft", "resnet20_cifar10_torchexport"];
const large = [
  "mobilenet_v2_1.0_224_dequant",
  "ultraface_rfb_320",
  "ch_PP-OCRv4_det_infer",
  "ch_PP-OCRv4_rec_infer",
];
/** Minutes where other methods take seconds: matrices of whole layers, every weight one by one. */
const slow = ["quantize-rate", "prune-obs", "prune-sparsegpt", "prune-taps"];

/** All on the small models; nothing on large ones that takes minutes and that small ones show as well. */
function recipesFor(model: string, plain: readonly string[], training: readonly string[]) {
  if (large.includes(model)) {
    return [...plain.filter((recipe) => !slow.includes(recipe.split(":")[0])), ...telling];
  }
  if (twins.includes(model)) return [...plain, ...telling];
  const rest = [...plain, ...telling, ...compositions];
  return small.includes(model) ? [...rest, ...branches, ...training] : rest;
}

/** Recipes by model, from the settings that either side knows. */
export function planOf(sides: readonly Listed[], only: string | null): ModelJob[] {
  const plain = ["", ...sides.flatMap((listed) => listed.plain)];
  const training = [...sides.flatMap((listed) => listed.training), ...trainings];
  const models: ModelJob[] = [];
  for (const { name, path, shapes } of [...examples, ...realModels]) {
    if (!path) continue;
    const recipes = [...new Set(recipesFor(name, plain, training))].filter(
      (recipe) => fits(only, name) || fits(only, recipe || "simplify"),
    );
    if (recipes.length === 0) continue;
    const { size: bytes } = statSync(path);
    const records = [...large, "ch_ppocr_mobile_v2.0_cls_infer"].includes(name) ? 2 : 8;
    models.push({ name, path, bytes, shapes: shapes.at(-1)!, records, recipes });
  }
  return models;
}

/** Globs: `*` any run of characters, `?` one; null fits everything. */
export function fits(glob: string | null, text: string): boolean {
  if (glob === null) return true;
  const pattern = glob.replace(/[.+^${}()|[\]\\]/g, "\\$&").replace(/\*/g, ".*");
  return new RegExp(`^${pattern.replace(/\?/g, ".")}$`).test(text);
}
