/**
 * @file Early exit and cascade on ResNet-20 (CIFAR-10 as JPEG): the share of the test records that
 * never reach the whole network, what that costs in accuracy, and the speed-up at batch 1. Arguments
 * choose rows; others are kept, and products stay in tersor-out/exits/. Writes results/exits.json after every row.
 *
 * Exits are trained, and their thresholds found, on the training set alone: the test set is looked at
 * once, for the figures. A row takes about ten minutes of CPU time on one thread.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { openData } from "../src/data/open.ts";
import { tensor } from "../src/ir/tensor.ts";
import { measureLatency } from "../src/measure/latency.ts";
import { nodePlatform } from "../src/node/platform.ts";
import { compress, images, type Loaded, load, train } from "../src/node.ts";
import { argmax } from "../src/numeric/argmax.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import type { Feeds } from "../src/runtime/runtime.ts";
import { assets } from "../test/support/assets.ts";
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
  readonly small?: { readonly net: string; readonly options: string };
  readonly recipe: string;
}

const sgd = "optimizer=nesterov,schedule=one-cycle,augment=flip+crop=2";
/** The outputs of the three stages, which have one size in ResNet-8 and ResNet-20. */
const stages = [3, 5, 7].map((own, i) => `relu${own}=/layer${i + 1}/layer${i + 1}.2/Relu_1`);
const hints = `hints=${stages.join("|")},hintweight=10`;
const rows: Readonly<Record<string, Plan>> = {
  "shortcuts alone": { recipe: "project-shortcuts" },
  "early-exit": { recipe: `early-exit:epochs=9,rate=0.05,${sgd}` },
  "early-exit, shortcuts": { from: "early-exit", recipe: "project-shortcuts" },
  cascade: {
    small: {
      net: "net:resnet-8",
      options: `epochs=9,rate=0.05,${sgd},loss=distil,${hints},keep=last`,
    },
    recipe: `cascade:model=${work}small.onnx,heldout=0.1`,
  },
  "cascade, shortcuts": { from: "cascade", recipe: "project-shortcuts" },
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
  readonly flips: number;
  /** Time of all timed records with the original / with the product, batch 1. */
  readonly speedup: number;
  readonly ci95: readonly [number, number] | null;
  /** Share of the timed records that take the exit. */
  readonly timedTaken: number;
  readonly cpuSeconds: number;
  /** What the step told. */
  readonly told: readonly string[];
}

/** bench/results/exits.json of one CPU. */
export interface ExitsBench {
  readonly command: string;
  readonly timed: number;
  readonly records: number;
  readonly rows: Readonly<Record<string, ExitsRow>>;
}

const { runtime } = await nodePlatform.runtime("node");
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

/** Trains the small model by the answers of the large one, and writes it where the recipe reads it. */
async function trainSmall(model: Loaded, { net, options }: NonNullable<Plan["small"]>) {
  const data = { data: cifar("train_25k"), test: cifar("test") };
  const settings = { ...quick, ...data, teacher: model, options: optionsOf(options) };
  const done = await train(await load(net), settings);
  writeFileSync(`${work}small.onnx`, done.bytes);
  return done.result.metric?.value ?? Number.NaN;
}

/** The model with the condition of its If as a second output. */
async function withCondition(bytes: Uint8Array): Promise<Uint8Array> {
  const { model } = await load(bytes);
  const { graph } = model;
  const choice = [...graph.nodes].find(({ op }) => op === "If");
  const condition = choice?.inputs[0];
  if (!condition) return bytes;
  graph.setOutputs([...graph.outputs, condition]);
  return concat(writeModel(model));
}

/** The answers of a model on single records, and where it takes its exit. */
async function answersOf(bytes: Uint8Array, records: readonly Feeds[]) {
  const session = await runtime.open({ bytes: await withCondition(bytes) }, { threads: 1 });
  const answers: number[] = [];
  const taken: boolean[] = [];
  for (const feeds of records) {
    const [scores, condition] = Object.values(await session.run(feeds));
    answers.push(argmax(scores.floats()));
    taken.push(condition ? Number(condition.numbers()[0]) === 1 : false);
  }
  await session.close();
  return { answers, taken };
}

/** The speed-up over `records`, one by one: every round runs all of them with both models in turn. */
async function speedOf(models: readonly Uint8Array[], records: readonly Feeds[]) {
  const sessions = await Promise.all(
    models.map((bytes) => runtime.open({ bytes }, { threads: 1 })),
  );
  const candidates = sessions.map((first, i) => {
    let session = first;
    return {
      name: String(i),
      async run() {
        for (const feeds of records) await session.run(feeds);
      },
      async renew() {
        const next = await runtime.open({ bytes: models[i] }, { threads: 1 });
        await session.close();
        session = next;
      },
    };
  });
  const options = { platform: nodePlatform, budgetMs: TIMING_MS, warmup: 1 };
  const [, product] = await measureLatency(candidates, options);
  return product.ratio;
}

const round = (x: number, digits = 3): number => Number(x.toFixed(digits));
const share = (all: readonly boolean[]): number =>
  round(all.filter(Boolean).length / all.length, 4);

const path = assets("models/resnet20_cifar10_jpegft.onnx");
mkdirSync(work, { recursive: true });
const wanted = process.argv.slice(2);
for (const [name, plan] of path ? Object.entries(rows) : []) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  if (plan.from && !existsSync(fileOf(plan.from))) continue;
  const model = await load(plan.from ? fileOf(plan.from) : (path as string));
  const original = await load(path as string);
  const began = cpuSeconds();
  const alone = plan.small ? await trainSmall(model, plan.small) : null;
  const few = images(assets("data/cifar10/test.zip") ?? "", { ...colours, limit: 100 });
  const data = { data: few, calib: cifar("train_25k") };
  const { bytes, result } = await compress(model, { ...quick, ...data, recipe: plan.recipe });
  const seconds = cpuSeconds() - began;
  writeFileSync(fileOf(name), bytes);

  const session = await runtime.open(original.source, { threads: 1 });
  const { spec, options } = cifar("test");
  const test = await openData(spec, session.inputs, options, nodePlatform);
  await session.close();
  const all = await test.read(Array.from({ length: test.length }, (_, i) => i));
  const [[input, pixels]] = Object.entries(all.inputs);
  const size = pixels.size / test.length;
  const records = Array.from({ length: test.length }, (_, i): Feeds => {
    const own = pixels.floats().slice(i * size, (i + 1) * size);
    return { [input]: tensor("float32", [1, ...pixels.shape.slice(1)], own) };
  });
  const labels = [...(all.label?.numbers() ?? [])].map(Number);
  const source = concat(writeModel(original.model));
  const [before, after] = [await answersOf(source, records), await answersOf(bytes, records)];
  const accuracy = ({ answers }: typeof before): number =>
    round((100 * answers.filter((own, i) => own === labels[i]).length) / labels.length, 2);
  const isTimed = (i: number): boolean =>
    Math.floor((i * TIMED) / labels.length) !== Math.floor(((i - 1) * TIMED) / labels.length);
  const timed = records.filter((_, i) => isTimed(i));
  const { value, ci95 } = await speedOf([readFileSync(path as string), bytes], timed);
  const changed = after.answers.filter((own, i) => own !== before.answers[i]).length;
  const row: ExitsRow = {
    ...plan,
    recipe: plan.recipe.replace(work, ""),
    alone: alone && round(alone, 2),
    taken: share(after.taken),
    accuracy: { original: accuracy(before), product: accuracy(after) },
    flips: round((100 * changed) / labels.length, 2),
    speedup: round(value),
    ci95: ci95 && [round(ci95[0]), round(ci95[1])],
    timedTaken: share(after.taken.filter((_, i) => isTimed(i))),
    cpuSeconds: Math.round(seconds),
    told: [...result.warnings, ...result.skipped.map(({ reason }) => reason)].map((text) =>
      text.replaceAll(work, ""),
    ),
  };
  console.log(name, JSON.stringify(row));
  const { rows: known = {} } = readRun<ExitsBench>("exits") ?? {};
  const head = { command: "npm run bench:exits", timed: TIMED, records: labels.length };
  writeRun("exits", { ...head, rows: { ...known, [name]: row } });
}
process.exit(0);
