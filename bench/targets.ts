/**
 * @file Measures what each target rewards: a few layers in each representation, beside float32.
 *
 * Natively, in WebAssembly and, where gcc and objdump are installed, natively with AVX512 and VNNI hidden from
 * the engine (hidden-cpu.ts); one thread, in rounds that alternate with float32. Writes
 * results/targets.json: float32 time / time, above 1 is faster. Arguments: names of targets (default: all);
 * with --widths static int8 alone, at other widths of layers, from which the curves of src/targets/ are.
 */

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { dtypes } from "../src/ir/dtype.ts";
import type { Value } from "../src/ir/graph.ts";
import type { Model } from "../src/ir/model.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import type { Builder } from "../src/ops/builder.ts";
import { openNodeRuntime } from "../src/runtime/ort-node.ts";
import { apply, environmentOf } from "../test/support/apply.ts";
import { tensorDataset } from "../test/support/dataset.ts";
import { layerModel } from "../test/support/layer.ts";
import { nets } from "../test/support/nets.ts";
import { hiddenCpu } from "./hidden-cpu.ts";
import { readRun, writeRun } from "./record.ts";
import { type Case, inputOf, type Job, numbers, type Times } from "./targets-plan.ts";

const [INPUTS, OUTPUTS, BLOCK] = [512, 2048, 128];
const [CHANNELS, SIDE, DEPTH] = [64, 28, 4];
const integer = { kernel: "integer", equalize: false, correctBias: false };
const [WORDS, FEATURES] = [8192, 128];
const BUDGET_MS = process.argv.includes("--widths") ? 1200 : 2500;

type Maker = (model: Model) => Promise<Uint8Array> | Uint8Array;

const runtime = await openNodeRuntime();
const folder = mkdtempSync(join(tmpdir(), "tersor-targets-"));
const require = createRequire(import.meta.url);

/** A method's product, calibrated on one input. */
const by =
  (id: Parameters<typeof apply>[1], options: Record<string, unknown>): Maker =>
  async (model) => {
    const [input] = model.graph.inputs;
    const x = inputOf(input.shape as number[], input.dtype === "int64" ? WORDS : null);
    const env = environmentOf(nets[0], {
      calibration: tensorDataset({ x }),
      feeds: { x },
      runtime,
    });
    return (await apply(model, id, options, env)).bytes;
  };

const product = (g: Builder, x: Value, inputs = INPUTS, outputs = OUTPUTS): Value =>
  g.MatMul(x, g.constant(numbers(inputs * outputs, 0.05), { shape: [inputs, outputs] }));

/** The product on weights of 2 bits, which no method writes. */
const twoBits =
  (rows: number): Maker =>
  () => {
    const blocks = INPUTS / BLOCK;
    const bytes = Uint8Array.from({ length: (OUTPUTS * INPUTS) / 4 }, (_, i) => (i * 37) % 256);
    const model = layerModel([rows, INPUTS], (g, x) => {
      const levels = g.constant(bytes, {
        dtype: "uint8",
        shape: [OUTPUTS, blocks, BLOCK / 4],
      });
      const scales = g.constant(numbers(OUTPUTS * blocks, 0.05), { shape: [OUTPUTS * blocks] });
      const attributes = { K: INPUTS, N: OUTPUTS, bits: 2, block_size: BLOCK, accuracy_level: 4 };
      return g.many("MatMulNBits", [x, levels, scales], {
        outputs: 1,
        domain: "com.microsoft",
        attributes,
      })[0];
    });
    model.domains.set("com.microsoft", 1);
    return concat(writeModel(model));
  };

const kinds = {
  dense: { kernel: [3, 3], groups: () => 1 },
  pointwise: { kernel: [1, 1], groups: () => 1 },
  depthwise: { kernel: [3, 3], groups: (channels: number) => channels },
  grouped: { kernel: [3, 3], groups: () => 4 },
  line: { kernel: [3], groups: () => 1 },
  gate: { kernel: [1, 1], groups: () => 1 },
};
type Kind = keyof typeof kinds;

const shapeOf = (kind: Kind, channels = CHANNELS, side = SIDE): number[] => [
  1,
  channels,
  ...kinds[kind].kernel.map(() => side),
];
const sizeOf = (shape: readonly number[]): number => shape.reduce((all, dim) => all * dim, 1);

/** A chain of convolutions, with SiLU behind each for "gate", else Relu. */
function chain(kind: Kind, channels = CHANNELS, side = SIDE): Model {
  const { kernel, groups } = kinds[kind];
  const group = groups(channels);
  return layerModel(shapeOf(kind, channels, side), (g, x) => {
    let y = x;
    for (let i = 0; i < DEPTH; i++) {
      const shape = [channels, channels / group, ...kernel];
      const fan = sizeOf(shape) / channels;
      const weight = g.constant(numbers(channels * fan, Math.sqrt(2 / fan)), { shape });
      const pads = [...kernel, ...kernel].map((size) => (size - 1) / 2);
      const attributes = { kernel_shape: kernel, group, pads };
      y = g.Conv(y, weight, g.constant(numbers(channels, 0.1)), attributes);
      y = kind === "gate" ? g.Mul(y, g.Sigmoid(y)) : g.Relu(y);
    }
    return y;
  });
}

/** The same chain with ranges found at run time, which no method writes. */
function dynamicChain(kind: Kind): Uint8Array {
  const { kernel, groups } = kinds[kind];
  const group = groups(CHANNELS);
  const model = layerModel(shapeOf(kind), (g, x) => {
    let y = x;
    for (let i = 0; i < DEPTH; i++) {
      const shape = [CHANNELS, CHANNELS / group, ...kernel];
      const levels = Int8Array.from({ length: sizeOf(shape) }, (_, k) => ((k * 37) % 255) - 127);
      const weight = g.constant(levels, { dtype: "int8", shape });
      const [q, scale, zero] = g.many("DynamicQuantizeLinear", [y], { outputs: 3 });
      const pads = [...kernel, ...kernel].map((size) => (size - 1) / 2);
      const attributes = { kernel_shape: kernel, group, pads };
      const sums = g.ConvInteger(q, weight, zero, null, attributes);
      const step = g.Mul(scale, g.constant([0.001], { shape: [] }));
      y = g.Relu(g.Mul(g.Cast(sums, { to: dtypes.float32.code }), step));
    }
    return y;
  });
  return concat(writeModel(model));
}

const conv = (kind: Kind) => ({
  model: () => chain(kind),
  shape: shapeOf(kind),
  integers: null,
  forms: {
    "static-int8": by("quantize-int8", integer),
    ...(kind === "gate" ? {} : { "dynamic-int8": () => dynamicChain(kind) }),
    float16: by("store-float16", { compute: "float16" }),
  },
});
const products = (rows: number) => ({
  model: () => layerModel([rows, INPUTS], product),
  shape: [rows, INPUTS],
  integers: null,
  forms: {
    "static-int8": by("quantize-int8", integer),
    "dynamic-int8": by("quantize-dynamic", {}),
    "weights-8": by("quantize-weights", { bits: 8, block: BLOCK, kernel: "integer" }),
    "weights-4": by("quantize-weights", { bits: 4, block: BLOCK, kernel: "integer" }),
    "weights-2": twoBits(rows),
    float16: by("store-float16", { compute: "float16" }),
  },
});
const rows = {
  model: tableModel,
  shape: [64],
  integers: WORDS,
  forms: {
    "rows-4": by("quantize-embeddings", { bits: 4, block: 32, kernel: "integer" }),
  },
};

/** 64 rows of a table. */
function tableModel(): Model {
  const model = layerModel([64], (g, x) => {
    x.dtype = "int64";
    const table = g.constant(numbers(WORDS * FEATURES, 1), { shape: [WORDS, FEATURES] });
    return g.Gather(table, x);
  });
  return model;
}

interface Plan {
  model(): Model;
  readonly shape: readonly number[];
  /** The input holds row numbers below this; else floats. */
  readonly integers: number | null;
  readonly forms: Readonly<Record<string, Maker>>;
}

const staticInt8 = { integers: null, forms: { "static-int8": by("quantize-int8", integer) } };
const widths: Record<string, Plan> = {};
for (const [kind, channels, side] of [
  ...[8, 16, 32, 128, 256].map((n) => ["dense", n, 28] as const),
  ...[16, 32, 64, 128, 256].flatMap((n) => [7, 14, 56].map((m) => ["pointwise", n, m] as const)),
  ...[16, 64, 256, 512].map((n) => ["depthwise", n, 14] as const),
  ...[128, 256].map((n) => ["grouped", n, 28] as const),
  ...[16, 64, 256].map((n) => ["line", n, 256] as const),
] as const) {
  if (kind === "pointwise" && channels >= 128 && side === 56) continue;
  const shape = shapeOf(kind, channels, side);
  widths[`${kind} ${channels} @${side}`] = {
    ...staticInt8,
    ...{ model: () => chain(kind, channels, side), shape },
  };
}
for (const n of [64, 128, 256, 512]) {
  for (const m of [1, 16, 64]) {
    const model = () => layerModel([m, n], (g, x) => product(g, x, n, n));
    widths[`product ${n} x ${m}`] = { ...staticInt8, model, shape: [m, n] };
  }
}

const isWidths = process.argv.includes("--widths");
const plans: Record<string, Plan> = isWidths
  ? widths
  : {
      "product-1": products(1),
      "product-128": products(128),
      dense: conv("dense"),
      pointwise: conv("pointwise"),
      depthwise: conv("depthwise"),
      gate: conv("gate"),
      "look-up": rows,
    };

const cases: Case[] = [];
for (const [name, { model: draw, shape, integers, forms }] of Object.entries(plans)) {
  const model = draw();
  const files: { id: string; path: string }[] = [];
  for (const [id, make] of Object.entries({
    float32: (float: Model) => concat(writeModel(float)),
    ...forms,
  })) {
    const path = join(folder, `${name}.${id}.onnx`);
    writeFileSync(path, await make(model));
    files.push({ id, path });
  }
  cases.push({ name, files, shape, integers });
}

const child = fileURLToPath(new URL("targets-child.ts", import.meta.url));
const native = require.resolve("onnxruntime-node");
const web = fileURLToPath(import.meta.resolve("onnxruntime-web/wasm"));
const hidden = hiddenCpu(folder);
const engines = {
  "node-cpu": { engine: native, provider: "cpu", env: {} },
  "web-wasm": { engine: web, provider: "wasm", env: {} },
  ...(hidden && { "node-cpu-no-vnni": { ...hidden, provider: "cpu" as const } }),
} satisfies Record<string, Pick<Job, "engine" | "provider"> & { env: object }>;

const asked = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const found: Record<string, Times> = { ...readRun<Record<string, Times>>("targets") };
for (const [name, { engine, provider, env }] of Object.entries(engines)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  const [file, out] = [join(folder, `${name}.job.json`), join(folder, `${name}.json`)];
  const job: Job = { name, engine, provider, budgetMs: BUDGET_MS, cases, out };
  writeFileSync(file, JSON.stringify(job));
  const { status } = spawnSync(process.execPath, ["--import", "tsx", child, file], {
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  if (status !== 0) continue;
  const times: Times = JSON.parse(readFileSync(out, "utf8"));
  found[isWidths ? `${name} widths` : name] = times;
}
writeRun("targets", found);
rmSync(folder, { recursive: true });
process.exit(0);
