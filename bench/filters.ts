/**
 * @file Transferred filters on CIFAR-10: a small VGG with each structure, trained from scratch on one
 * budget (the survey's table of transferred filters as our own), and the filters of trained networks
 * tied and projected. Arguments choose rows by their beginning (`scratch`, `scratch/circ/2`,
 * `resnet20/tie`, `alike`); a row that is there already is not run again unless --again is given.
 * Writes results/filters.json after every row. All rows take about an hour on two quiet cores.
 *
 * The budget is the same for every structure and was chosen for its time alone. Errors are those of
 * the last step on the test set, which nothing else looks at.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { type Alike, alike, unitsOf } from "../src/filters/copied.ts";
import { cloneModel } from "../src/ir/model.ts";
import { compress, evaluate, images, type Loaded, load, train } from "../src/node.ts";
import { inferModel } from "../src/ops/infer.ts";
import { rewrite } from "../src/rewrite/index.ts";
import { layersOf } from "../src/weights/sites.ts";
import { assets } from "../test/support/assets.ts";
import { readRun, writeRun } from "./record.ts";

const root = new URL("../", import.meta.url).pathname;
const work = `${root}tersor-out/filters/`;
mkdirSync(work, { recursive: true });
const threads = Number(process.env.FILTERS_THREADS ?? 2);
const quick = { threads, timingSeconds: 0.5, deterministic: true } as const;
const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const cifar = (part: string, limit?: number) =>
  images(assets(`data/cifar10/${part}.zip`) ?? "", { ...imagenet, ...(limit && { limit }) });
const [records, test] = [cifar("train_25k"), cifar("test")];

const kinds = ["plain", "mba", "crelu", "circ", "dcnn", "p4", "p4m"] as const;
const budget = { epochs: 5, batch: 128, rate: 0.002, warmup: 30, augment: "flip+crop=4" } as const;
const width = 16;
const seeds = [1, 2];

const tune =
  "train:steps=150,batch=128,rate=0.0005,warmup=30,loss=kd,alpha=0.7,temperature=2,augment=flip+crop=2";
const recipes = [
  "tie-filters:error=0.05",
  "tie-filters:error=0.2",
  "tie-filters:error=0.2,shift=1",
  "tie-filters:unit=kernel,error=0.05",
  "tie-filters:unit=kernel,error=0.1",
  "tie-filters:unit=kernel,error=0.2",
  "transfer-filters:structure=crelu",
  "transfer-filters:structure=mba",
  "transfer-filters:structure=circ",
  "transfer-filters:structure=dcnn",
];

/** One structure, trained from scratch with one seed. */
export interface ScratchRow {
  /** Error on the test set in percent. */
  readonly error: number;
  readonly params: number;
  readonly bytes: { readonly onnx: number; readonly packed: number };
  readonly trainSeconds: number;
  readonly epochs: number;
  readonly width: number;
  /** Milliseconds of one inference, and how many times as fast it is as the plain network. */
  readonly latency: number | null;
  readonly speedup: number | null;
}

/** A recipe on a trained network. */
export interface TiedRow {
  readonly recipe: string;
  readonly accuracy: {
    readonly original: number;
    readonly projected: number;
    readonly trained: number;
  };
  /** How many times smaller: numbers, and bytes of the ONNX file. */
  readonly alpha: { readonly params: number; readonly bytes: number };
  readonly bytes: { readonly onnx: number; readonly packed: number };
  /** Layers that stayed as they are. */
  readonly kept: number;
  readonly seconds: number;
}

/** How alike a layer's filters are, and its kernels. */
export interface AlikeRow {
  readonly layer: string;
  readonly shape: readonly number[];
  readonly filters: Alike;
  readonly kernels: Alike | null;
}

/** bench/results/filters.json of one CPU. */
export interface FiltersBench {
  readonly command: string;
  readonly threads: number;
  readonly budget: typeof budget;
  readonly tune: string;
  /** By structure, then seed. */
  readonly scratch: Readonly<Record<string, Readonly<Record<string, ScratchRow>>>>;
  /** By network, then recipe. */
  readonly tied: Readonly<Record<string, Readonly<Record<string, TiedRow>>>>;
  readonly alike: Readonly<Record<string, readonly AlikeRow[]>>;
}

type Known = { -readonly [K in keyof FiltersBench]: FiltersBench[K] };
const found: Known = {
  ...{ scratch: {}, tied: {}, alike: {} },
  ...readRun<FiltersBench>("filters"),
  ...{ command: "npm run bench:filters", threads, budget, tune },
};
const wanted = process.argv.slice(2).filter((text) => !text.startsWith("--"));
const isAgain = process.argv.includes("--again");
const isWanted = (row: string, isThere: boolean): boolean =>
  (wanted.length === 0 || wanted.some((text) => row === text || row.startsWith(`${text}/`))) &&
  (isAgain || !isThere);

function keep(row: string, result: unknown): void {
  console.log(row, JSON.stringify(result));
  writeRun("filters", found);
}

const round = (x: number, digits = 2): number => Number(x.toFixed(digits));
const modelFile = (kind: string, seed: number): string => `${work}${kind}-${seed}.onnx`;

async function scratch(kind: string, seed: number): Promise<ScratchRow> {
  const start = await load(`net:vgg-small?filters=${kind}&width=${width}`, { seed });
  const done = await train(start, { ...quick, seed, data: records, test, options: budget });
  for (const warning of done.result.warnings) console.log(warning);
  writeFileSync(modelFile(kind, seed), done.bytes);
  const plain = modelFile("plain", 1);
  const beside = existsSync(plain) ? await load(plain) : null;
  const speedup = beside && (await speedOver(beside, await load(modelFile(kind, seed))));
  const { result } = done;
  return {
    error: round(100 - (result.metric?.value ?? 0)),
    params: result.params,
    bytes: { onnx: done.bytes.length, packed: done.pack().length },
    trainSeconds: Math.round(done.training.reduce((sum, { seconds }) => sum + seconds, 0)),
    ...{ epochs: budget.epochs, width },
    latency: result.latency ? round(result.latency.median, 4) : null,
    speedup,
  };
}

/** How many times as fast as `beside` the model is, timed in turn. */
async function speedOver(beside: Loaded, model: Loaded): Promise<number | null> {
  const { delta } = await evaluate(model, { ...quick, against: beside, data: cifar("test", 100) });
  return delta.infer === null ? null : round(delta.infer);
}

async function tied(start: Loaded, recipe: string): Promise<TiedRow> {
  const around = { ...quick, data: test, calib: records, teacher: start };
  const began = performance.now();
  const projected = await compress(start, { ...around, recipe });
  const seconds = (performance.now() - began) / 1000;
  // From the start again: a projected network may be no better than chance, which no run begins with.
  const trained = await compress(start, { ...around, recipe: `${recipe} > ${tune}` });
  const { result, baseline } = projected;
  const value = (metric: { readonly value: number } | null): number => round(metric?.value ?? 0);
  return {
    recipe,
    accuracy: {
      original: value(baseline.metric),
      projected: value(result.metric),
      trained: value(trained.result.metric),
    },
    alpha: {
      params: round(baseline.params / trained.result.params),
      bytes: round(baseline.bytes.raw / trained.bytes.length),
    },
    bytes: { onnx: trained.bytes.length, packed: trained.pack().length },
    kept: result.skipped.length,
    seconds: round(seconds, 0),
  };
}

/** The layers with square kernels of several positions, as recipes see them. */
function alikeIn({ model }: Loaded): AlikeRow[] {
  const copy = cloneModel(model);
  rewrite(copy);
  inferModel(copy);
  const sites = layersOf(copy, { only: [], except: [] }, { skip() {} });
  const all = { negate: true, turn: true, mirror: true, shift: 0, scale: true };
  return sites.flatMap((site) => {
    const { shape } = site.weight;
    if (site.role.kind !== "conv" || shape.length !== 4 || shape[2] !== shape[3]) return [];
    const of = (unit: "filter" | "kernel"): Alike => {
      const { tenths, ...medians } = alike(unitsOf(site, null, { ...all, unit }));
      return { tenths, median: round(medians.median, 3), noise: round(medians.noise, 3) };
    };
    const kernels = shape[2] > 1 ? of("kernel") : null;
    return [{ layer: site.node.name, shape, filters: of("filter"), kernels }];
  });
}

const networks: Readonly<Record<string, () => Promise<Loaded | null>>> = {
  async resnet20() {
    const path = assets("models/resnet20_cifar10_jpegft.onnx");
    return path ? load(path) : null;
  },
  async vgg() {
    const path = modelFile("plain", 1);
    if (!existsSync(path)) console.log("vgg: run scratch/plain/1 first");
    return existsSync(path) ? load(path) : null;
  },
};

for (const seed of seeds) {
  for (const kind of kinds) {
    const row = `scratch/${kind}/${seed}`;
    if (!isWanted(row, Boolean(found.scratch[kind]?.[seed]))) continue;
    const result = await scratch(kind, seed);
    found.scratch = { ...found.scratch, [kind]: { ...found.scratch[kind], [seed]: result } };
    keep(row, result);
  }
}
for (const [name, open] of Object.entries(networks)) {
  const row = `alike/${name}`;
  const start = isWanted(row, Boolean(found.alike[name])) ? await open() : null;
  if (start) {
    found.alike = { ...found.alike, [name]: alikeIn(start) };
    keep(row, found.alike[name]);
  }
  for (const recipe of recipes) {
    const row = `${name}/${recipe.replace(":", "/")}`;
    const start = isWanted(row, Boolean(found.tied[name]?.[recipe])) ? await open() : null;
    if (!start) continue;
    const result = await tied(start, recipe);
    found.tied = { ...found.tied, [name]: { ...found.tied[name], [recipe]: result } };
    keep(row, result);
  }
}
process.exit(0);
