/**
 * @file Low rank without training: ranks of each layer by its own energy, against ranks that data
 * choose for the whole network, at no more parameters; then an embedding table made small. Writes
 * results/ranks.json; rows that are there are not run again, unless `--fresh` is given.
 */
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { layerOf } from "../src/layers/matrix.ts";
import { compress, images, type Loaded, load, npz } from "../src/node.ts";
import { costModel } from "../src/ops/cost.ts";
import { weightsOf } from "../src/ops/weights.ts";
import { layersOf } from "../src/weights/sites.ts";
import { assets } from "../test/support/assets.ts";

const file = new URL("results/ranks.json", import.meta.url).pathname;
const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const cifar = (part: string) => images(assets(`data/cifar10/${part}.zip`) ?? "", imagenet);
const array = (path: string) => npz(assets(`data/${path}.npz`) ?? "");
/** Without records of its own to calibrate on, a model gets a part of the data, which no row is judged on. */
const models = {
  kws_dscnn: { data: () => array("kws/kws01_1000") },
  resnet20_cifar10_jpegft: { data: () => cifar("test"), calib: () => cifar("train_25k") },
  sst2_transformer: { data: () => array("sst2/test"), calib: () => array("sst2/train") },
  stories260k: { data: () => array("stories/tinystories_ids") },
};
/** Shares that each model keeps something of its quality with. */
const energies = {
  kws_dscnn: [0.95, 0.9, 0.8],
  resnet20_cifar10_jpegft: [0.95, 0.9, 0.8],
  sst2_transformer: [0.8, 0.7, 0.5],
  stories260k: [0.98, 0.95, 0.9],
};
const tables = [
  "hash-weights:ratio=4,only=Gather",
  "factor-svd:only=Gather",
  "factor-svd",
  "quantize-embeddings:bits=4",
  "factor-svd > quantize-embeddings:bits=4",
];

/** One row of bench/results/ranks.json. */
export interface RanksRow {
  readonly model: string;
  readonly recipe: string;
  /** The row that it is compared with: the same energy; null for tables. */
  readonly energy: number | null;
  readonly params: number;
  readonly originalParams: number;
  readonly bytes: number;
  readonly originalBytes: number;
  readonly metric: string;
  readonly value: number;
  readonly drop: number | null;
  readonly flips: number | null;
}

const rows: RanksRow[] =
  existsSync(file) && !process.argv.includes("--fresh")
    ? JSON.parse(readFileSync(file, "utf8")).rows
    : [];

/** Weights of the layers that can be factored. */
function factorable({ model }: Loaded): number {
  const sites = layersOf(model, { only: [], except: [] }, { skip() {} }, 1024);
  const layers = sites.map((site) => layerOf(site)).filter((layer) => typeof layer !== "string");
  return layers.reduce((sum, { matrix }) => sum + matrix.length, 0);
}

for (const [model, sources] of Object.entries(models)) {
  const path = assets(`models/${model}.onnx`);
  if (!path) continue;
  const data = await sources.data();
  const calib = "calib" in sources ? await sources.calib() : undefined;
  const start = await load(path);
  const originalParams = costModel(start.model).params;
  const measure = async (recipe: string, energy: number | null): Promise<RanksRow> => {
    const known = rows.find(
      (row) =>
        row.model === model &&
        row.recipe.split(",budget=")[0] === recipe.split(",budget=")[0] &&
        row.energy === energy,
    );
    if (known) return Object.assign(known, { originalBytes: statSync(path).size });
    // What layers cost is what is compared, so that none is taken back for it.
    const whole = recipe
      .replace(/^factor-svd:?/, "factor-svd:rescue=false,")
      .replace(/,( |$)/, "$1");
    const { result } = await compress(start, {
      ...{ data, recipe: whole, timingSeconds: 0.05, deterministic: true },
      ...(calib && { calib }),
    });
    const { metric, bytes, params } = result;
    const row: RanksRow = {
      ...{ model, recipe, energy, params, originalParams },
      ...{ bytes: bytes.raw, originalBytes: statSync(path).size },
      ...{ metric: metric?.name ?? "", value: metric?.value ?? Number.NaN },
      ...{ drop: metric?.drop ?? null, flips: metric?.flips ?? null },
    };
    rows.push(row);
    console.log(JSON.stringify(row));
    writeFileSync(file, `${JSON.stringify({ rows }, null, 1)}\n`);
    return row;
  };
  const whole = factorable(start);
  const hasTable = weightsOf(start.model).some(({ role }) => role.kind === "embedding");
  for (const energy of energies[model as keyof typeof models]) {
    const alone = await measure(`factor-svd:energy=${energy}`, energy);
    const budget = 1 - (originalParams - alone.params) / whole;
    if (budget >= 1) continue;
    // Rounded up, the share would allow a parameter more.
    const share = Math.floor(1e6 * budget + 1e-3) / 1e6;
    await measure(`factor-svd:${hasTable ? "except=Gather," : ""}budget=${share}`, energy);
  }
  if (model === "sst2_transformer") for (const recipe of tables) await measure(recipe, null);
}
