/**
 * @file Compares static int8 quantization with onnxruntime.quantization: size, accuracy, flips,
 * speed, and the seconds it takes. Writes results/peers.json.
 *
 * `npm run bench:peers [model ...]` needs the Python environment of bench/peers/README.md,
 * ../shared/assets and a build of tersor. Both sides get the same tensors, calibrate on the same
 * records and are judged on others: those of another file, or those that were not set aside.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { zipSync } from "fflate";
import type { Dataset } from "../src/data/dataset.ts";
import { openData } from "../src/data/open.ts";
import { parseDataOptions } from "../src/data/options.ts";
import { splitDataset } from "../src/data/split.ts";
import { type Tensor, tensor } from "../src/ir/tensor.ts";
import type { Speedup } from "../src/measure/latency.ts";
import { nodePlatform as platform } from "../src/node/platform.ts";
import { type Interval, pairedInterval, ratioOfSums, wilson } from "../src/numeric/statistics.ts";
import { tensorDataset } from "../test/support/dataset.ts";
import { feedsOf, realModels } from "../test/support/real-models.ts";
import { readRun, writeRun } from "./record.ts";
import { tersor } from "./rewriters.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const assets = fileURLToPath(new URL("../../shared/assets/", import.meta.url));
const work = `${root}bench/.cache/peers-run/`;
const python = process.env.PEERS_PYTHON ?? `${root}bench/.cache/peers/bin/python`;

interface Case {
  readonly name: string;
  /** The model's name among the real models. */
  readonly model: string;
  /** Records to judge on. Without `calib` a seeded part of them is set aside for calibration. */
  readonly data: string | (() => Dataset);
  readonly calib?: string;
  /** Number of calibration records. */
  readonly count: number;
  readonly options: Record<string, unknown>;
  /** How many records the peer's histogram calibrators can hold in memory. */
  readonly histogramSamples?: number;
  /**
   * Also gives the peer the file that tersor's lossless rewriting writes: it does not quantize weights
   * that a file has in Constant nodes.
   */
  readonly simplified?: boolean;
}

const cases: readonly Case[] = [
  {
    name: "kws_dscnn",
    model: "kws_dscnn",
    data: "npz:data/kws/kws01_1000.npz",
    count: 256,
    options: {},
  },
  {
    name: "resnet20_cifar10_jpegft",
    model: "resnet20_cifar10_jpegft",
    data: "images:data/cifar10/test.zip",
    calib: "images:data/cifar10/train_25k.zip",
    count: 512,
    options: { mean: ".485,.456,.406", std: ".229,.224,.225" },
  },
  {
    name: "mobilenet_v2",
    model: "mobilenet_v2_1.0_224_dequant",
    data: "images:data/imagenet_even.zip",
    count: 250,
    options: { scale: "1", mean: "128", std: "128", labelOffset: "1" },
    histogramSamples: 64,
  },
  {
    name: "PP-OCRv4 detector",
    model: "ch_PP-OCRv4_det_infer",
    data: () => pages(72, 320),
    count: 24,
    options: {},
    histogramSamples: 8,
    simplified: true,
  },
];

/** Seeded pages of strokes like letters, of `side` x `side` pixels; they have no labels. */
function pages(count: number, side: number): Dataset {
  const shape = [1, 3, side, side];
  const each = Array.from({ length: count }, (_, i) => feedsOf({ x: shape }, i + 1).x.data());
  const values = new Float32Array(count * 3 * side * side);
  for (const [i, page] of each.entries()) values.set(page as Float32Array, i * page.length);
  return tensorDataset({ x: tensor("float32", [count, 3, side, side], values) });
}

interface Setting {
  readonly setting: string;
  readonly seconds: { wall: number; cpu: number };
  readonly bytes: number;
  readonly file: string;
  /** Calibration records. */
  readonly records: number;
  readonly error?: string;
}

/** What evaluate.py says of a model: counts of records with labels, or shares of elements without. */
interface Score {
  readonly file: string;
  readonly bytes: number;
  readonly error?: string;
  readonly hits?: number;
  readonly flips?: number;
  readonly lost?: number;
  readonly gained?: number;
  readonly flipShares?: readonly number[];
  readonly sqnr?: number | null;
  /** CPU milliseconds of single runs, and the speed-up over the original. */
  readonly latency: { readonly cpu: number; readonly speedup: Speedup } | null;
}

/** How good a model is on the judged records: percent, points and dB, with 95 % intervals. */
export interface Judged {
  readonly accuracy?: number;
  readonly drop?: number;
  readonly dropCi95?: Interval;
  /** Percent of predictions, or of a map's elements, that are not the original's. */
  readonly flips: number;
  readonly flipsCi95: Interval | null;
  readonly sqnr?: number | null;
}

/** One row of results/peers.json; with `error` there is no more. */
export interface PeerRow {
  readonly setting: string;
  readonly error?: string;
  readonly judged?: Judged;
  readonly bytes?: number;
  readonly smaller?: number;
  readonly latency?: Score["latency"];
  readonly seconds?: Setting["seconds"];
  readonly records?: number;
}

/** The content of results/peers.json for one CPU. */
export interface PeerBench {
  readonly results: readonly {
    readonly model: string;
    readonly judged: number;
    readonly original: {
      readonly bytes: number;
      readonly cpuMs: number;
      readonly accuracy?: number;
    };
    readonly settings: readonly PeerRow[];
  }[];
}

const located = (spec: string): string => spec.replace(/^(\w+):/, `$1:${assets}`);

/** Writes a dataset as NumPy arrays, which the Python scripts read. */
async function writeNpz(dataset: Dataset, file: string): Promise<void> {
  const batch = await dataset.read(Array.from({ length: dataset.length }, (_, i) => i));
  const arrays: Record<string, Tensor> = {
    ...batch.inputs,
    ...(batch.label ? { label: batch.label } : {}),
  };
  const files = Object.entries(arrays).map(([name, value]) => [`${name}.npy`, npy(value)]);
  writeFileSync(file, zipSync(Object.fromEntries(files), { level: 0 }));
}

/**
 * A tensor in NumPy's format 1.0: magic, header length, a Python dict padded to 64 bytes, elements.
 */
function npy(value: Tensor): Uint8Array {
  const types: Record<string, string> = { float32: "<f4", int64: "<i8", int32: "<i4" };
  const shape = `(${value.shape.join(", ")}${value.shape.length === 1 ? "," : ""})`;
  const dict = `{'descr': '${types[value.dtype]}', 'fortran_order': False, 'shape': ${shape}, }`;
  const head = `${dict.padEnd(Math.ceil((dict.length + 11) / 64) * 64 - 11)}\n`;
  const magic = Buffer.from([
    0x93,
    0x4e,
    0x55,
    0x4d,
    0x50,
    0x59,
    1,
    0,
    head.length & 255,
    head.length >> 8,
  ]);
  return new Uint8Array(Buffer.concat([magic, Buffer.from(head), value.bytes()]));
}

/** Writes the calibration and test records of a case as files for both sides. */
async function prepare(item: Case) {
  const model = realModels.find(({ name }) => name === item.model)?.path;
  if (!model) throw new Error(`${item.model} is missing: see test/support/real-models.ts`);
  const { runtime } = await platform.runtime("node");
  const session = await runtime.open({ bytes: readFileSync(model) });
  const options = parseDataOptions(item.options);
  const open = (spec: string) => openData(located(spec), session.inputs, options, platform);
  const data = typeof item.data === "string" ? await open(item.data) : item.data();
  const split = { count: item.count, seed: 1 };
  const parts = splitDataset(item.calib ? await open(item.calib) : data, split);
  const judged = item.calib ? data : parts.rest;
  const calib = `${work}${item.name}.calib.npz`;
  const test = `${work}${item.name}.test.npz`;
  await writeNpz(parts.calibration, calib);
  await writeNpz(judged, test);
  await session.close();
  return { model, calib, test, judged: judged.length };
}

/**
 * Wall and CPU seconds of a child process. The CPU time is what /proc reports for the children of
 * the shell that runs it (in ticks of 1/100 s; Linux only).
 */
function timed(command: string, args: readonly string[]): { wall: number; cpu: number } {
  const started = performance.now();
  const script =
    'before=$(cut -d" " -f16,17 /proc/$$/stat); "$@"; echo "$before $(cut -d" " -f16,17 /proc/$$/stat)"';
  const out = execFileSync("bash", ["-c", script, "bash", command, ...args], { encoding: "utf8" });
  const [u0, s0, u1, s1] = out.trim().split("\n").at(-1)!.split(" ").map(Number);
  return { wall: (performance.now() - started) / 1000, cpu: (u1 + s1 - u0 - s0) / 100 };
}

/** Runs onnxruntime.quantization with several settings; those that failed have an `error`. */
function runPeer(item: Case, files: { model: string; calib: string }): Setting[] {
  const run = (globs: readonly string[], samples?: number, model = files.model): Setting[] => {
    const args = [`${root}bench/peers/quantize.py`, model, files.calib, `${work}${item.name}`];
    if (samples) args.push("--samples", String(samples));
    let out: string;
    try {
      out = execFileSync(python, [...args, "--settings", ...globs], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      });
    } catch (cause) {
      out = String((cause as { stdout: string }).stdout); // exit 1: some settings failed, see above
    }
    return out
      .trim()
      .split("\n")
      .filter(Boolean)
      .map((line) => ({ ...JSON.parse(line), records: samples ?? item.count }) as Setting);
  };
  if (!item.histogramSamples) return run(["*minmax", "*percentile", "*percentile99.9"]);
  const found = [...run(["*minmax"]), ...run(["*percentile"], item.histogramSamples)];
  if (!item.simplified) return found;
  const model = `${work}${item.name}/simplified.onnx`;
  writeFileSync(model, tersor(files.model));
  const more = [
    ...run(["tensor-minmax", "channel-minmax"], undefined, model),
    ...run(["tensor-percentile", "channel-percentile"], item.histogramSamples, model),
  ];
  return [...found, ...more.map((row) => ({ ...row, setting: `simplified, ${row.setting}` }))];
}

/** Runs `quantize-int8` in a process of its own. */
function runOurs(item: Case, files: { model: string; calib: string }): Setting {
  const file = `${work}${item.name}/tersor.onnx`;
  const args = [`${root}bench/peers/ours.mjs`, files.model, files.calib, file];
  const seconds = timed(process.execPath, args);
  const bytes = readFileSync(file).byteLength;
  return { setting: "tersor quantize-int8", seconds, bytes, file, records: item.count };
}

const percent = ([low, high]: Interval): Interval => [100 * low, 100 * high];

/** The verdict on `n` records, from the counts of the model and of the original. */
function verdict(score: Score, original: Score, n: number): Judged {
  if (score.flipShares) {
    // Elements of one record are not independent, records are.
    const { value, ci95 } = ratioOfSums(score.flipShares, new Float64Array(n).fill(1));
    return { flips: 100 * value, flipsCi95: ci95 && percent(ci95), sqnr: score.sqnr ?? null };
  }
  const [hits, flips] = [score.hits as number, score.flips as number];
  return {
    accuracy: (100 * hits) / n,
    drop: (100 * ((original.hits as number) - hits)) / n,
    dropCi95: percent(pairedInterval(score.lost as number, score.gained as number, n)),
    flips: (100 * flips) / n,
    flipsCi95: percent(wilson(flips, n)),
  };
}

/** Quantizes a model by both sides and judges what they wrote. */
async function compare(item: Case): Promise<PeerBench["results"][number]> {
  rmSync(`${work}${item.name}`, { recursive: true, force: true });
  mkdirSync(`${work}${item.name}`, { recursive: true });
  const { judged: n, ...files } = await prepare(item);
  const settings = [runOurs(item, files), ...runPeer(item, files)];
  const written = settings.flatMap(({ error, file }) => (error ? [] : [file]));
  const args = [`${root}bench/peers/evaluate.py`, files.model, files.test, ...written];
  const { models } = JSON.parse(
    execFileSync(python, [...args, "--latency", "200"], { encoding: "utf8", maxBuffer: 2 ** 26 }),
  ) as { models: Score[] };
  const [original] = models;
  const rows = settings.map(({ setting, error, file, bytes, seconds, records }): PeerRow => {
    const score = models.find((own) => own.file === file);
    if (error || !score || score.error)
      return { setting, error: error ?? score?.error ?? "failed" };
    const smaller = original.bytes / bytes;
    const judged = verdict(score, original, n);
    return { setting, judged, bytes, smaller, latency: score.latency, seconds, records };
  });
  const { accuracy } = original.flipShares ? {} : verdict(original, original, n);
  console.log(
    `\n${item.name}: original ${accuracy ?? "-"} %, ${original.bytes} bytes, ${n} records`,
  );
  for (const row of rows) console.log(JSON.stringify(row));
  const cpuMs = original.latency?.cpu ?? 0;
  const known = accuracy === undefined ? {} : { accuracy };
  return {
    model: item.name,
    judged: n,
    original: { bytes: original.bytes, cpuMs, ...known },
    settings: rows,
  };
}

const chosen = process.argv.slice(2);
if (!existsSync(python))
  throw new Error(`${python} is missing: see bench/peers/README.md, or set PEERS_PYTHON`);
for (const item of cases.filter(({ name }) => chosen.length === 0 || chosen.includes(name))) {
  const found = await compare(item);
  const before = readRun<PeerBench>("peers")?.results ?? [];
  const all = new Map([...before, found].map((result) => [result.model, result]));
  const results = cases.flatMap(({ name }) => all.get(name) ?? []);
  writeRun("peers", { command: "npm run bench:peers", node: process.version, results });
}
