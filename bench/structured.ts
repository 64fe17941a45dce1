/**
 * @file Every structured matrix on LeNet-300-100, step by step through files: projected, trained with
 * the original as teacher, in 4 bits, packed. Writes results/structured.json row by row; rows that are
 * there with the same recipe are kept, so that an interrupted run goes on where it stopped.
 * `npm run bench:structured` takes about half an hour on one core; arguments choose structures.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { compress, evaluate, load, pack } from "../src/node.ts";
import { readModel } from "../src/onnx/read.ts";
import { inferModel } from "../src/ops/infer.ts";
import { weightsOf } from "../src/ops/weights.ts";
import { unpack } from "../src/unpack.ts";
import { countOf } from "../src/weights/count.ts";
import { readWeight } from "../src/weights/read.ts";
import { ownCpu } from "./record.ts";

const root = new URL("../", import.meta.url).pathname;
const work = `${root}tersor-out/structured/`;
const results = `${root}bench/results/structured.json`;
const start = `${root}examples/lenet-300-100.onnx`;
mkdirSync(work, { recursive: true });

/** So that all weights of layers together, with the small last layer as it is, are 8 times fewer. */
const ratio = 8.25;
const names = [
  "kronecker",
  "monarch",
  "tensor-train",
  "acdc",
  "toeplitz-like",
  "circulant",
  "fastfood",
] as const;

/** The same for every structure; augmented as the original's own training was (bench/lenet.ts). */
const steps = [
  "train:epochs=6,rate=0.002,schedule=one-cycle,loss=kd,augment=shift=1+affine=8",
  "quantize-weights:bits=4",
  "pack",
] as const;

/** In place of rounding, the parts are trained on their grids, from the trained file. */
const learned = ["quantize-lsq:bits=4,activations=0,ends=4,epochs=2,loss=kd", "pack"] as const;

/** One row of bench/results/structured.json, which scripts/docs prints. */
export interface StructuredRow {
  readonly structure: string;
  readonly recipe: string;
  /** The written file: ONNX, or .tersor behind the step pack. */
  readonly bytes: number;
  /** Numbers that the weights of layers are stored in. */
  readonly numbers: number;
  /** Test error in percent. */
  readonly error: number;
  readonly seconds: number;
}

export interface StructuredBench {
  readonly cpu: string;
  readonly original: Omit<StructuredRow, "structure" | "recipe" | "seconds">;
  readonly rows: readonly StructuredRow[];
}

const settings = {
  data: "mnist:test",
  calib: "mnist:train",
  deterministic: true,
  threads: 1,
  timingSeconds: 0.1,
} as const;

function numbersIn(bytes: Uint8Array): number {
  const model = readModel(bytes, { name: "row" });
  inferModel(model);
  const weights = weightsOf(model).flatMap(({ value }) => readWeight(value) ?? []);
  return weights.reduce((sum, weight) => sum + countOf(weight).numbers, 0);
}

const errorOf = (accuracy: number | undefined): number =>
  Number((100 - (accuracy ?? 0)).toFixed(2));

const teacher = await load(start);
const before = await evaluate(teacher, settings);
const original = {
  bytes: readFileSync(start).length,
  numbers: numbersIn(readFileSync(start)),
  error: errorOf(before.metric?.value),
};
const known: StructuredBench | null = existsSync(results)
  ? JSON.parse(readFileSync(results, "utf8"))
  : null;
const rows = [...(known?.rows ?? [])];

async function compressed(from: string, recipe: string) {
  const { bytes, result } = await compress(await load(from), { ...settings, teacher, recipe });
  return { bytes, onnx: bytes, error: errorOf(result.metric?.value) };
}

/** What a user runs is measured: the model that is unpacked from the file. */
async function packed(from: string) {
  const { bytes } = await pack(await load(from));
  const onnx = (await unpack(bytes)).slice();
  const { metric } = await evaluate(await load(onnx), settings);
  return { bytes, onnx, error: errorOf(metric?.value) };
}

/**
 * Runs one step on a file, unless an earlier run did, and keeps its row. `before`: a step to repeat
 * first, where its own file is no better than chance and so is refused as a baseline.
 */
async function runStep(
  structure: string,
  recipe: string,
  from: string,
  to: string,
  before: string | null,
): Promise<void> {
  const same = (row: StructuredRow) => row.structure === structure && row.recipe === recipe;
  if (rows.some(same) && existsSync(to)) return;
  const began = performance.now();
  const steps = before ? `${before} > ${recipe}` : recipe;
  const { bytes, onnx, error } = recipe.endsWith("pack")
    ? await packed(from)
    : await compressed(from, steps);
  writeFileSync(to, bytes);
  const row: StructuredRow = {
    structure,
    recipe,
    bytes: bytes.length,
    numbers: numbersIn(onnx),
    error,
    seconds: Math.round((performance.now() - began) / 1000),
  };
  const at = rows.findIndex(same);
  if (at < 0) rows.push(row);
  else rows[at] = row;
  const bench: StructuredBench = { cpu: ownCpu, original, rows };
  writeFileSync(results, `${JSON.stringify(bench, null, 1)}\n`);
  console.log(JSON.stringify(row));
}

const given = process.argv.slice(2);
const chosen = names.filter((name) => given.length === 0 || given.includes(name));
for (const name of chosen) {
  const first = `${name}:ratio=${ratio}`;
  const file = (step: number | string, end: string) => `${work}${name}-${step}.${end}`;
  for (const [i, recipe] of [first, ...steps].entries()) {
    const from = i < 2 ? start : file(i - 1, "onnx");
    const to = file(i, recipe === "pack" ? "tersor" : "onnx");
    await runStep(name, recipe, from, to, i === 1 ? first : null);
  }
  const [onnx, tersor] = ["onnx", "tersor"].map((end) => file("learned", end));
  await runStep(name, learned[0], file(1, "onnx"), onnx, null);
  await runStep(name, `${learned[0]} > ${learned[1]}`, onnx, tersor, null);
}
process.exit(0);
