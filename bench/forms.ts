/**
 * @file What forms and latents reach on MNIST: structured matrices trained, quantized and packed step by
 * step through files, int8 computed from them, and learned quantization of LeNet-5. Writes
 * results/forms.json. `npm run bench:forms` takes about ten minutes on two cores.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import type { Result } from "../src/measure/measurement.ts";
import { compress, load } from "../src/node.ts";
import { readModel } from "../src/onnx/read.ts";
import { inferModel } from "../src/ops/infer.ts";
import { weightsOf } from "../src/ops/weights.ts";
import { countOf } from "../src/weights/count.ts";
import { readWeight } from "../src/weights/read.ts";
import type { Weight } from "../src/weights/weight.ts";
import { raw } from "./raw.ts";

const root = new URL("../", import.meta.url).pathname;
const work = `${root}tersor-out/forms/`;
mkdirSync(work, { recursive: true });
const settings = {
  data: "mnist:test",
  calib: "mnist:train",
  deterministic: true,
  timingSeconds: 0.5,
} as const;

/** One row of bench/results/forms.json, which scripts/docs prints. */
export interface FormStage {
  readonly recipe: string;
  /** The ONNX file, and the .tersor file. */
  readonly onnx: number;
  readonly packed: number;
  /** Numbers that the weights of layers are stored in. */
  readonly stored: number;
  /** How the first layer's weight is stored, from the outside in. */
  readonly form: string;
  readonly accuracy: number;
  /** Speed-up over the file that the step started from, and its 95 % interval. */
  readonly speedup: number | null;
  readonly ci95: readonly [number, number] | null;
}

function describe(weight: Weight): string {
  if (weight.form === null) {
    const { coding } = weight;
    return typeof coding === "string" ? coding : `${coding.bits} bits`;
  }
  if (weight.theta.weight) return `int8 from ${describe(weight.theta.weight)}`;
  const parts = [...new Set(Object.values(weight.theta).map(describe))];
  return `${weight.form.kind} of ${parts.join(", ")}`;
}

function stageOf(recipe: string, bytes: Uint8Array, result: Result): FormStage {
  const model = readModel(bytes, { name: recipe });
  inferModel(model);
  const weights = weightsOf(model).flatMap(({ value }) => readWeight(value) ?? []);
  return {
    recipe,
    onnx: result.bytes.raw,
    packed: result.bytes.packed ?? 0,
    stored: weights.reduce((sum, weight) => sum + countOf(weight).numbers, 0),
    form: weights[0] ? describe(weights[0]) : "none",
    accuracy: result.metric?.value ?? 0,
    speedup: result.delta.infer,
    ci95: result.delta.ci95.infer,
  };
}

/** Distillation learns from the original: without a teacher it would learn from the file it starts with. */
const teacher = await load(`${root}examples/lenet-300-100.onnx`);

/** Each step starts from the file that the step before it wrote. */
async function throughFiles(name: string, steps: readonly string[]): Promise<FormStage[]> {
  let path = `${root}examples/lenet-300-100.onnx`;
  const stages: FormStage[] = [];
  for (const [i, recipe] of steps.entries()) {
    const done = await compress(await load(path), {
      ...settings,
      teacher,
      recipe: raw(recipe),
    });
    path = `${work}${name}-${i}.onnx`;
    writeFileSync(path, done.bytes);
    stages.push(stageOf(recipe, done.bytes, done.result));
    console.log(JSON.stringify(stages.at(-1)));
  }
  return stages;
}

const train = "train:epochs=8,loss=kd";
const structured: Record<string, FormStage[]> = {};
for (const name of ["kronecker", "monarch"]) {
  structured[name] = await throughFiles(name, [name, train, "quantize-weights:bits=4"]);
  // int8 is computed from the trained form: its parts stay as they are.
  const trained = await load(`${work}${name}-1.onnx`);
  const done = await compress(trained, { ...settings, recipe: "quantize-int8" });
  structured[name].push(stageOf(`${train} > quantize-int8`, done.bytes, done.result));
  console.log(JSON.stringify(structured[name].at(-1)));
}

const learned: FormStage[] = [];
for (const recipe of [
  "quantize-lsq:bits=4,activations=4,epochs=3,rate=0.0005,loss=kd",
  "binarize-connect:epochs=8,loss=kd,augment=shift=2+affine=10",
]) {
  const model = await load(`${root}examples/lenet5.onnx`);
  const done = await compress(model, { ...settings, recipe });
  learned.push(stageOf(recipe, done.bytes, done.result));
  console.log(JSON.stringify(learned.at(-1)));
}

const results = { cpu: cpus()[0].model, node: process.version, structured, learned };
writeFileSync(`${root}bench/results/forms.json`, `${JSON.stringify(results, null, 2)}\n`);
