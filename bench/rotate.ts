/**
 * @file Rotations and slices of hidden states on two small transformers: few-bit weights with and
 * without `rotate-weights`, and `slice-hidden` beside `factor-svd` and `prune-channels`. Writes
 * results/rotate.json; rows of this CPU that are there are not run again, unless `--fresh` is given.
 */
import { compress, load, npz } from "../src/node.ts";
import { assets } from "../test/support/assets.ts";
import { readRun, writeRun } from "./record.ts";

/** One row of bench/results/rotate.json. */
export interface RotateRow {
  readonly model: string;
  readonly recipe: string;
  readonly metric: string;
  readonly value: number;
  readonly drop: number | null;
  readonly params: number;
  readonly macs: number;
  readonly bytes: number;
}

export interface RotateRun {
  readonly rows: readonly RotateRow[];
}

const models = {
  stories260k: { data: ["stories/tinystories_ids", 24], calib: null },
  sst2_transformer: { data: ["sst2/test", 800], calib: ["sst2/train", 128] },
} as const;
const steps = [
  "quantize-weights:bits=4",
  "quantize-weights:bits=3",
  "quantize-gptq:bits=4",
  "quantize-gptq:bits=3",
  "quantize-int8",
];
const narrow = [0.1, 0.2, 0.3].flatMap((ratio) => [
  `slice-hidden:ratio=${ratio}`,
  `factor-svd:rescue=false,budget=${(1 - ratio).toFixed(2)}`,
  `prune-channels:ratio=${ratio},rescue=false`,
]);
const recipes = [
  "",
  ...steps.flatMap((step) => [step, `rotate-weights > ${step}`]),
  "rotate-weights:draws=32 > quantize-weights:bits=3",
  ...narrow,
];

const known = process.argv.includes("--fresh") ? [] : (readRun<RotateRun>("rotate")?.rows ?? []);
const rows: RotateRow[] = [...known];
for (const [model, { data, calib }] of Object.entries(models)) {
  const path = assets(`models/${model}.onnx`);
  if (!path) continue;
  const records = async ([name, limit]: readonly [string, number]) =>
    npz(assets(`data/${name}.npz`) ?? "", { limit });
  const sources = { data: await records(data), ...(calib && { calib: await records(calib) }) };
  const start = await load(path);
  for (const recipe of recipes) {
    if (rows.some((row) => row.model === model && row.recipe === recipe)) continue;
    try {
      const options = { ...sources, recipe, timingSeconds: 0.05, deterministic: true };
      const { metric, params, macs, bytes } = (await compress(start, options)).result;
      rows.push({
        ...{ model, recipe, metric: metric?.name ?? "", value: metric?.value ?? Number.NaN },
        ...{ drop: metric?.drop ?? null, params, macs: macs ?? 0, bytes: bytes.raw },
      });
      console.log(JSON.stringify(rows.at(-1)));
      writeRun("rotate", { rows });
    } catch (cause) {
      console.log(`${model} ${recipe}: ${(cause as Error).message}`);
    }
  }
}
