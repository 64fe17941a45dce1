/**
 * @file quantize-rate with errors weighted by gradients alone, and by gradients and inputs, where later
 * weights make up for the errors of earlier ones: packed bytes and drop over a range of distortions.
 * Nothing is trained. Writes results/rate.json; rows that are there are not run again, unless `--fresh`
 * is given.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { images, load, survey } from "../src/node.ts";
import { assets } from "../test/support/assets.ts";

const file = new URL("results/rate.json", import.meta.url).pathname;
const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const cifar = (part: string) => images(assets(`data/cifar10/${part}.zip`) ?? "", imagenet);
/** Without records of its own to calibrate on, a model gets a part of the data, which no row is judged on. */
const models = {
  resnet20_cifar10_jpegft: {
    path: assets("models/resnet20_cifar10_jpegft.onnx"),
    data: cifar("test"),
    calib: cifar("train_25k"),
  },
  lenet5: {
    path: new URL("../examples/lenet5.onnx", import.meta.url).pathname,
    data: "mnist:test",
    calib: "mnist:train",
  },
  kws_dscnn: {
    path: assets("models/kws_dscnn.onnx"),
    data: `npz:${assets("data/kws/kws01_1000.npz")}`,
  },
  stories260k: {
    path: assets("models/stories260k.onnx"),
    data: `npz:${assets("data/stories/tinystories_ids.npz")}`,
  },
};
const distortions = [0.001, 0.0025, 0.0037, 0.006, 0.012, 0.02];

interface Row {
  readonly model: string;
  readonly sensitivity: string;
  readonly distortion: number;
  readonly packed: number | null;
  readonly metric: string;
  readonly value: number;
  readonly drop: number | null;
  readonly dropCi95: readonly number[] | null;
  readonly flips: number | null;
}

const rows: Row[] =
  existsSync(file) && !process.argv.includes("--fresh")
    ? JSON.parse(readFileSync(file, "utf8")).rows
    : [];
for (const [model, { path, ...data }] of Object.entries(models)) {
  if (!path) continue;
  for (const distortion of distortions) {
    for (const sensitivity of ["gradient", "hessian"]) {
      const isSame = (row: Row): boolean =>
        row.model === model && row.sensitivity === sensitivity && row.distortion === distortion;
      if (rows.some(isSame)) continue;
      const recipe = `quantize-rate:sensitivity=${sensitivity},distortion=${distortion}`;
      const settings = { ...data, recipes: [recipe], timingSeconds: 0.05 };
      const { results } = await survey(await load(path), settings);
      const found = results.find((row) => row.recipe.startsWith("quantize-rate"));
      if (!found?.metric) continue;
      const { metric, bytes } = found;
      rows.push({
        ...{ model, sensitivity, distortion, packed: bytes.packed, metric: metric.name },
        ...{ value: metric.value, drop: metric.drop, dropCi95: metric.dropCi95 ?? null },
        flips: metric.flips ?? null,
      });
      console.log(JSON.stringify(rows.at(-1)));
      writeFileSync(file, `${JSON.stringify({ rows }, null, 1)}\n`);
    }
  }
}
