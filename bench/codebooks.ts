/**
 * @file Codebooks, tables, sketches and fixed-point numbers beside plain grids at equal bits per weight:
 * packed bytes, and what is lost on 1,000 records or fewer. Nothing is trained. Writes
 * results/codebooks.json. `npm run bench:codebooks [-- part of a model's name]`; with a name, the rows of
 * other models stay as they are.
 */
import { images, load, survey } from "../src/node.ts";
import { formatRecipe, parseRecipe } from "../src/recipe/steps.ts";
import { assets } from "../test/support/assets.ts";
import { raw, withoutRaw } from "./raw.ts";
import { readRun, writeRun } from "./record.ts";

/** By bits per weight, without scales and codebooks. */
const groups: Readonly<Record<string, readonly string[]>> = {
  "8 and more": ["quantize-weights:bits=8", "fixed-point:bits=8", "fixed-point:bits=16"],
  "4": [
    "quantize-weights:bits=4",
    "quantize-weights:bits=4,block=32",
    "quantize-table:table=nf4",
    "quantize-table:table=fp4",
    "quantize-table:table=int4,superblock=8",
    "share-weights:bits=4,init=optimal",
    "share-weights:bits=4,init=optimal,sensitivity=hessian",
    "share-weights:bits=6,init=optimal,penalty=0.02",
    "share-vectors:size=2,bits=8",
    "share-vectors:size=2,bits=8,error=outputs",
    "share-vectors:size=4,bits=8,stages=2,error=outputs > quantize-weights:bits=8",
    "sketch-weights:bases=4",
  ],
  "2": [
    "quantize-weights:bits=2",
    "share-weights:bits=2,init=optimal",
    "share-vectors:size=4,bits=8,error=outputs > quantize-weights:bits=8",
    "sketch-weights:bases=2",
  ],
};

/** The bits of a recipe, under the name that rows of a survey have. */
const bitsOf = new Map(
  Object.entries(groups).flatMap(([bits, recipes]) =>
    recipes.map((recipe) => [formatRecipe(parseRecipe(recipe)), bits] as const),
  ),
);

const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const cifar = (part: string, limit: number) =>
  images(assets(`data/cifar10/${part}.zip`) ?? "", { ...imagenet, limit });
/** Without records of its own to calibrate on, a model gets a part of the data, which no row is judged on. */
const models = {
  resnet20_cifar10_jpegft: { data: cifar("test", 1000), calib: cifar("train_25k", 256) },
  kws_dscnn: { data: `npz:${assets("data/kws/kws01_1000.npz")}` },
  stories260k: { data: `npz:${assets("data/stories/tinystories_ids.npz")}` },
};

const only = process.argv[2] ?? "";
interface Row {
  readonly model: string;
}

const rows: Row[] = [];
for (const [name, data] of Object.entries(models)) {
  const path = assets(`models/${name}.onnx`);
  if (!path || !name.includes(only)) continue;
  const recipes = Object.values(groups).flat();
  const settings = { ...data, recipes: recipes.map(raw), timingSeconds: 0.05 };
  const { results } = await survey(await load(path), settings);
  for (const { recipe: measured, bytes, metric, skipped } of results) {
    const recipe = withoutRaw(measured);
    const row = {
      ...{ model: name, bits: bitsOf.get(recipe) ?? null, recipe, packed: bytes.packed },
      ...{
        metric: metric?.name,
        value: metric?.value,
        drop: metric?.drop,
        skipped: skipped.length,
      },
    };
    rows.push(row);
    console.log(JSON.stringify(row));
  }
}
const kept = (readRun<{ rows: Row[] }>("codebooks")?.rows ?? []).filter(
  ({ model }) => !rows.some((row) => row.model === model),
);
writeRun("codebooks", { command: "npm run bench:codebooks", rows: [...kept, ...rows] });
process.exit(0);
