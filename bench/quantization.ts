/**
 * @file What each method of quantization that needs no training gives with its defaults, and with 4 bits
 * where bits are an option: bytes, drop, flips, SQNR, seconds. Writes results/quantization.json after each
 * row; rows that are there are not run again. `npm run bench:quantization [-- --fresh] [-- part of a
 * model's name]`.
 */
import { parseArgs } from "node:util";
import { images, load, type Settings, survey } from "../src/node.ts";
import { assets } from "../test/support/assets.ts";
import {
  type benchModels,
  type Original,
  type QuantizationRow,
  type QuantizationRun,
  recipesOfFamily,
} from "./quantization-plan.ts";
import { raw, withoutRaw } from "./raw.ts";
import { readRun, writeRun } from "./record.ts";

const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const cifar = (part: string, limit: number) =>
  images(assets(`data/cifar10/${part}.zip`) ?? "", { ...imagenet, limit });

/** Without records of its own to calibrate on, a model gets a part of the data, which does not judge. */
const models: Record<keyof typeof benchModels, () => Pick<Settings, "data" | "calib">> = {
  kws_dscnn: () => ({ data: `npz:${assets("data/kws/kws01_1000.npz")}` }),
  stories260k: () => ({ data: `npz:${assets("data/stories/tinystories_ids.npz")}` }),
  resnet20_cifar10_jpegft: () => ({ data: cifar("test", 1000), calib: cifar("train_25k", 512) }),
};

const { values, positionals } = parseArgs({
  options: { fresh: { type: "boolean", default: false } },
  allowPositionals: true,
});
const [only = ""] = positionals;
const chosen = ({ model }: { readonly model: string }) => model.includes(only);
const before = readRun<QuantizationRun>("quantization");
const originals: Record<string, Original> = { ...before?.originals };
const rows = (before?.rows ?? []).filter((row) => !values.fresh || !chosen(row));
const save = (row?: QuantizationRow): void => {
  if (row) rows.push(row);
  if (row) console.log(JSON.stringify(row));
  writeRun("quantization", { command: "npm run bench:quantization", originals, rows });
};
for (const [model, data] of Object.entries(models)) {
  const path = assets(`models/${model}.onnx`);
  const done = new Set(rows.filter((row) => row.model === model).map(({ recipe }) => recipe));
  const recipes = recipesOfFamily().filter((recipe) => !done.has(recipe));
  if (!path || !chosen({ model }) || recipes.length === 0) continue;
  const settings = { ...data(), recipes: recipes.map(raw), timingSeconds: 0.05 };
  const { left } = await survey(await load(path), {
    ...settings,
    onRow({ recipe: measured, bytes: { raw: onnx, packed }, metric, ease }, file) {
      if (!metric) throw new Error(`${model} has no metric`);
      const { name, value, drop, dropCi95, flips, sqnr, n } = metric;
      const bytes = { onnx, packed };
      if (file === null) {
        originals[model] = { bytes, metric: name, value, records: n };
        save();
        return;
      }
      const loss = { drop, ci95: dropCi95, flips, sqnr: Number.isFinite(sqnr) ? sqnr : null };
      const { seconds } = ease;
      const recipe = withoutRaw(measured);
      save({ model, recipe, reason: null, bytes, metric: name, value, ...loss, seconds });
    },
  });
  for (const { recipe, reason } of left) save({ model, recipe: withoutRaw(recipe), reason });
}
process.exit(0);
