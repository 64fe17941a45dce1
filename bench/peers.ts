/**
 * @file Compares static int8 quantization with onnxruntime.quantization: size, accuracy, flips,
 * speed, and the seconds it takes. Writes results/peers.json.
 *
 * `npm run bench:peers` needs the Python environment of bench/peers/README.md and ../shared/assets.
 * Both sides get the same tensors and calibrate on the same records. Both are measured on all of
 * the test data, which includes the calibration records of models without separate ones.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { zipSync } from "fflate";
import { type Dataset, subset } from "../src/data/dataset.ts";
import { openData } from "../src/data/open.ts";
import { parseDataOptions } from "../src/data/options.ts";
import { splitDataset } from "../src/data/split.ts";
import type { Tensor } from "../src/ir/tensor.ts";
import { nodePlatform as platform } from "../src/node/platform.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const assets = fileURLToPath(new URL("../../shared/assets/", import.meta.url));
const work = `${root}bench/.cache/peers-run/`;
const python = process.env.PEERS_PYTHON ?? `${root}bench/.cache/peers/bin/python`;

interface Case {
  readonly name: string;
  readonly model: string;
  /** Records to measure on. Without `calib` a seeded part of them is used for calibration, too. */
  readonly data: string;
  readonly calib?: string;
  /** Number of calibration records. */
  readonly count: number;
  readonly options: Record<string, unknown>;
  /** How many records the peer's histogram calibrators can hold in memory. */
  readonly histogramSamples?: number;
}

const cases: readonly Case[] = [
  {
    name: "kws_dscnn",
    model: "kws_dscnn.onnx",
    data: "npz:data/kws/kws01_1000.npz",
    count: 256,
    options: {},
  },
  {
    name: "resnet20_cifar10_jpegft",
    model: "resnet20_cifar10_jpegft.onnx",
    data: "images:data/cifar10/test.zip",
    calib: "images:data/cifar10/train_25k.zip",
    count: 512,
    options: { mean: ".485,.456,.406", std: ".229,.224,.225" },
  },
  {
    name: "mobilenet_v2",
    model: "mobilenet_v2_1.0_224_dequant.onnx",
    data: "images:data/imagenet_even.zip",
    count: 250,
    options: { scale: "1", mean: "128", std: "128", labelOffset: "1" },
    histogramSamples: 64,
  },
];

interface Setting {
  readonly setting: string;
  readonly seconds: { wall: number; cpu: number };
  readonly bytes: number;
  readonly file: string;
  readonly error?: string;
}

interface Score {
  readonly file: string;
  readonly bytes: number;
  readonly accuracy: number | null;
  readonly flips: number | null;
  /** CPU milliseconds of single runs, and the speed-up over the original. */
  readonly latency: {
    cpu: number;
    speedup: { value: number; ci95: readonly [number, number] | null };
  } | null;
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
async function prepare(item: Case): Promise<{ model: string; calib: string; test: string }> {
  const model = `${assets}models/${item.model}`;
  const { runtime } = await platform.runtime("node");
  const session = await runtime.open({ bytes: readFileSync(model) });
  const options = parseDataOptions(item.options);
  const open = (spec: string) => openData(located(spec), session.inputs, options, platform);
  const data = await open(item.data);
  let calibration: Dataset;
  const split = { count: item.count, seed: 1 };
  if (item.calib) calibration = splitDataset(await open(item.calib), split).calibration;
  // Both sides are measured on all records. Those used for calibration are among them, but their
  // labels are not used.
  else calibration = splitDataset(data, split).calibration;
  const calib = `${work}${item.name}.calib.npz`;
  const test = `${work}${item.name}.test.npz`;
  await writeNpz(calibration, calib);
  await writeNpz(
    subset(
      data,
      Array.from({ length: data.length }, (_, i) => i),
    ),
    test,
  );
  await session.close();
  return { model, calib, test };
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

/** Runs onnxruntime.quantization with several settings; those that fail have an `error`. */
function runPeer(item: Case, files: { model: string; calib: string }): Setting[] {
  const run = (globs: readonly string[], samples?: number): Setting[] => {
    const args = [
      `${root}bench/peers/quantize.py`,
      files.model,
      files.calib,
      `${work}${item.name}`,
    ];
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
      .map((line) => JSON.parse(line) as Setting);
  };
  if (!item.histogramSamples) return run(["*minmax", "*percentile", "*percentile99.9"]);
  return [...run(["*minmax"]), ...run(["*percentile"], item.histogramSamples)];
}

/** Runs `quantize-int8` in a process of its own. */
function runOurs(item: Case, files: { model: string; calib: string }): Setting {
  const file = `${work}${item.name}/tersor.onnx`;
  const args = [`${root}bench/peers/ours.mjs`, files.model, files.calib, file];
  const seconds = timed(process.execPath, args);
  return { setting: "tersor quantize-int8", seconds, bytes: readFileSync(file).byteLength, file };
}

const chosen = process.argv.slice(2);
const results: Record<string, unknown>[] = [];
if (!existsSync(python))
  throw new Error(`${python} is missing: see bench/peers/README.md, or set PEERS_PYTHON`);
for (const item of cases.filter(({ name }) => chosen.length === 0 || chosen.includes(name))) {
  rmSync(`${work}${item.name}`, { recursive: true, force: true });
  mkdirSync(`${work}${item.name}`, { recursive: true });
  const files = await prepare(item);
  const rows = [runOurs(item, files), ...runPeer(item, files)].filter(({ error }) => !error);
  const args = [
    `${root}bench/peers/evaluate.py`,
    files.model,
    files.test,
    ...rows.map(({ file }) => file),
  ];
  const { models } = JSON.parse(
    execFileSync(python, [...args, "--latency", "100"], { encoding: "utf8", maxBuffer: 2 ** 26 }),
  ) as { models: Score[] };
  const [original, ...scores] = models;
  const table = rows.map((row, i) => ({
    setting: row.setting,
    accuracy: scores[i].accuracy,
    drop: Number((original.accuracy! - scores[i].accuracy!).toFixed(3)),
    flips: scores[i].flips,
    bytes: row.bytes,
    smaller: Number((original.bytes / row.bytes).toFixed(2)),
    latency: scores[i].latency,
    seconds: row.seconds,
  }));
  console.log(`\n${item.name}: original ${original.accuracy} %, ${original.bytes} bytes`);
  console.table(
    table.map(({ latency, seconds, ...rest }) => ({
      ...rest,
      "CPU ms": latency?.cpu,
      "speed-up": latency?.speedup.value,
      "wall s": seconds.wall,
      "CPU s": seconds.cpu,
    })),
  );
  results.push({ model: item.name, original, settings: table });
}
mkdirSync(`${root}bench/results`, { recursive: true });
const versions = { node: process.version, cpu: cpus()[0]?.model, files: readdirSync(work).length };
const file = `${root}bench/results/peers.json`;
const before =
  chosen.length > 0 && existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).results : [];
const kept = before.filter(({ model }: { model: string }) => !chosen.includes(model));
writeFileSync(
  file,
  `${JSON.stringify({ command: "npm run bench:peers", versions, results: [...kept, ...results] }, null, 2)}\n`,
);
console.log(`written: ${file}`);
