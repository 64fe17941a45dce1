/**
 * @file Early exit, cascade, gated blocks and coarse-to-fine on ResNet-20 (CIFAR-10 as JPEG): the share
 * of the test records that take an exit, what that costs in accuracy, and the speed-up at batch 1. Arguments
 * choose rows; others are kept, and products stay in tersor-out/exits/. Writes results/exits.json after every row.
 *
 * Exits are trained, and their thresholds found, on the training set alone: the test set is looked at
 * once, for the figures. A row takes about ten minutes of CPU time on one thread.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { compress, images, type Loaded, load, train } from "../src/node.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import { assets } from "../test/support/assets.ts";
import { answersOf, recordsOf, singles, speedOf, withFlips } from "./exits-measure.ts";
import { readRun, writeRun } from "./record.ts";

const work = new URL("../tersor-out/exits/", import.meta.url).pathname;
const colours = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const cifar = (part: string) => images(assets(`data/cifar10/${part}.zip`) ?? "", colours);
const quick = { threads: 1, timingSeconds: 0.1 } as const;
/** Records over which the models are timed, evenly spread over the test set. */
const TIMED = 256;
const TIMING_MS = 20_000;

/** A row: the small model that is trained first, if there is one, then the recipe. */
interface Plan {
  /** The row whose product the recipe goes on from; without it, ResNet-20. */
  readonly from?: string;
  /** Percent of changed answers that the exit of `from` gets its threshold by, instead of a recipe. */
  readonly flips?: number;
  readonly small?: { readonly net: string; readonly options: string };
  readonly recipe: string;
}

const sgd = "optimizer=nesterov,schedule=one-cycle,augment=flip+crop=2";
/** The outputs of the three stages, which have one size in ResNet-8 and ResNet-20. */
const stages = [3, 5, 7].map((own, i) => `relu${own}=/layer${i + 1}/layer${i + 1}.2/Relu_1`);
const hints = `hints=${stages.join("|")},hintweight=10`;
const small = {
  net: "net:resnet-8",
  options: `epochs=9,rate=0.05,${sgd},loss=distil,${hints},keep=last`,
};
/** Far fewer steps than exits get: here the whole network is trained. */
const brief = "steps=400,batch=64,rate=0.001,augment=flip+crop=2";
const cascade = `cascade:model=${work}small.onnx,heldout=0.1`;
const rows: Readonly<Record<string, Plan>> = {
  "shortcuts alone": { recipe: "project-shortcuts" },
  "early-exit": { recipe: `early-exit:epochs=9,rate=0.05,${sgd}` },
  "early-exit, shortcuts": { from: "early-exit", recipe: "project-shortcuts" },
  "early-exit, shortcuts, flips=0.5": { from: "early-exit, shortcuts", flips: 0.5, recipe: "" },
  "early-exit, shortcuts, flips=1.5": { from: "early-exit, shortcuts", flips: 1.5, recipe: "" },
  "early-exit, shortcuts, flips=2": { from: "early-exit, shortcuts", flips: 2, recipe: "" },
  cascade: { small, recipe: cascade },
  "cascade, shortcuts": { small, recipe: `${cascade} > project-shortcuts` },
  "cascade, shortcuts, flips=2": { small, recipe: `${cascade},flips=2 > project-shortcuts` },
  "gates, work=0.7": { recipe: `gate-blocks:work=0.7,${brief}` },
  "gates, work=0.5": { recipe: `gate-blocks:work=0.5,${brief}` },
  "coarse-to-fine": { recipe: `coarse-to-fine:${brief}` },
};

/** What one row found. */
export interface ExitsRow extends Plan {
  /** Accuracy of the small model alone, percent; null where there is none. */
  readonly alone: number | null;
  /** Share of the test records that take the exit. */
  readonly taken: number;
  /** Accuracy on the test set, percent. */
  readonly accuracy: { readonly original: number; readonly product: number };
  /** Percent of the test records whose answer changes. */
  readonly changed: number;
  /** Time of all timed records with the original / with the product, batch 1. */
  readonly speedup: number;
  readonly ci95: readonly [number, number] | null;
  /** Share of the timed records that take the exit. */
  readonly timedTaken: number;
  readonly cpuSeconds: number;
  /** What the steps told. */
  readonly told: readonly string[];
}

/** bench/results/exits.json of one CPU. */
export interface ExitsBench {
  readonly command: string;
  readonly timed: number;
  readonly records: number;
  readonly rows: Readonly<Record<string, ExitsRow>>;
}

const cpuSeconds = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

/** The options of a step as text: epochs=2,augment=flip. */
const optionsOf = (text: string) =>
  Object.fromEntries(
    text.split(",").map((pair) => {
      const at = pair.indexOf("=");
      const [key, value] = [pair.slice(0, at), pair.slice(at + 1)];
      if (key === "hints") return [key, value.split("|")];
      return [key, Number.isNaN(Number(value)) ? value : Number(value)];
    }),
  );

/** The file that holds the product of a row. */
const fileOf = (row: string): string => `${work}${row.replace(/\W+/g, "-")}.onnx`;

/**
 * Trains the small model by the answers of the large one, and writes it where the recipe reads it; its
 * accuracy, and the CPU seconds that took. One that was trained so before is taken.
 */
async function trainSmall(model: Loaded, { net, options }: NonNullable<Plan["small"]>) {
  const known = Object.values(readRun<ExitsBench>("exits")?.rows ?? {}).find(
    (row) => row.small?.net === net && row.small.options === options && row.alone !== null,
  );
  if (known && existsSync(`${work}small.onnx`)) {
    return { alone: known.alone, seconds: known.cpuSeconds };
  }
  const began = cpuSeconds();
  const data = { data: cifar("train_25k"), test: cifar("test") };
  const settings = { ...quick, ...data, teacher: model, options: optionsOf(options) };
  const done = await train(await load(net), settings);
  writeFileSync(`${work}small.onnx`, done.bytes);
  return { alone: done.result.metric?.value ?? Number.NaN, seconds: cpuSeconds() - began };
}

/** The product of a row, and what its steps told. */
async function made({ flips, recipe }: Plan, model: Loaded) {
  if (flips !== undefined) {
    const file = concat(writeModel(model.model));
    return { bytes: await withFlips(file, flips, cifar("train_25k"), 0.1), told: [] };
  }
  const few = images(assets("data/cifar10/test.zip") ?? "", { ...colours, limit: 100 });
  const data = { data: few, calib: cifar("train_25k") };
  const { bytes, result } = await compress(model, { ...quick, ...data, recipe });
  const told = [...result.warnings, ...result.skipped.map(({ reason }) => reason)];
  return { bytes, told: told.map((text) => text.replaceAll(work, "")) };
}

const round = (x: number, digits = 3): number => Number(x.toFixed(digits));
const share = (all: readonly boolean[]): number =>
  round(all.filter(Boolean).length / all.length, 4);

const path = assets("models/resnet20_cifar10_jpegft.onnx");
mkdirSync(work, { recursive: true });
const wanted = process.argv.slice(2);
const isWanted = (name: string): boolean => wanted.length === 0 || wanted.includes(name);
const chosen = Object.entries(rows).filter(([name]) => path && isWanted(name));
const source = path ? new Uint8Array(readFileSync(path)) : new Uint8Array();
const test = chosen.length > 0 ? await singles(await recordsOf(source, cifar("test"))) : null;
const before = test && (await answersOf(source, test.feeds));
for (const [name, plan] of chosen) {
  if (!test || !before || (plan.from && !existsSync(fileOf(plan.from)))) continue;
  const model = await load(plan.from ? fileOf(plan.from) : source);
  const first = plan.small ? await trainSmall(model, plan.small) : { alone: null, seconds: 0 };
  const began = cpuSeconds();
  const { bytes, told } = await made(plan, model);
  const seconds = cpuSeconds() - began + first.seconds;
  writeFileSync(fileOf(name), bytes);
  const { feeds, labels } = test;
  const after = await answersOf(bytes, feeds);
  const accuracy = ({ answers }: typeof before): number =>
    round((100 * answers.filter((own, i) => own === labels[i]).length) / labels.length, 2);
  const isTimed = (i: number): boolean =>
    Math.floor((i * TIMED) / labels.length) !== Math.floor(((i - 1) * TIMED) / labels.length);
  const timed = feeds.filter((_, i) => isTimed(i));
  const { value, ci95 } = await speedOf([source, bytes], timed, TIMING_MS);
  const changed = after.answers.filter((own, i) => own !== before.answers[i]).length;
  const row: ExitsRow = {
    ...plan,
    recipe: plan.recipe.replace(work, ""),
    alone: first.alone && round(first.alone, 2),
    taken: share(after.taken),
    accuracy: { original: accuracy(before), product: accuracy(after) },
    changed: round((100 * changed) / labels.length, 2),
    speedup: round(value),
    ci95: ci95 && [round(ci95[0]), round(ci95[1])],
    timedTaken: share(after.taken.filter((_, i) => isTimed(i))),
    cpuSeconds: Math.round(seconds),
    told,
  };
  console.log(name, JSON.stringify(row));
  const { rows: known = {} } = readRun<ExitsBench>("exits") ?? {};
  const head = { command: "npm run bench:exits", timed: TIMED, records: labels.length };
  writeRun("exits", { ...head, rows: { ...known, [name]: row } });
}
process.exit(0);
