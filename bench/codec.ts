/**
 * @file Compares the tensor coder with brotli -11 on the weights of real models, as fp32, as int8,
 * and as int8 with 90 % of the weights pruned: sizes, order-0 entropy, and speed. Speed is in
 * megabytes of fp32 weights per second of process CPU time, the median of several runs over the
 * model.
 *
 * `npm run bench:codec [-- part of a model's name]`; without a name it writes results/codec.json.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";
import { decodeTensor, encodeTensor, type Plain } from "../src/codec/tensor.ts";
import type { Context } from "../src/context.ts";
import { pruneMagnitude } from "../src/methods/pruning/prune-magnitude.ts";
import { quantizeChannels } from "../src/numeric/quantize.ts";
import { createRandom } from "../src/numeric/random.ts";
import { readModel } from "../src/onnx/read.ts";
import { pruneOptions } from "../src/sparsity/by-score.ts";
import { thetasOf } from "../src/weights/sites.ts";
import { realModels } from "../test/support/real-models.ts";
import { writeRun } from "./record.ts";

const example = fileURLToPath(new URL("../examples/lenet5.onnx", import.meta.url));
/**
 * The other real models are left out: they are the same networks, exported or trained differently,
 * or have no weights of 64 numbers or more.
 */
const names = [
  "resnet20_cifar10_jpegft",
  "kws_dscnn",
  "vww_mobilenetv1_96",
  "mobilenet_v1_0.25_128_dequant",
  "mobilenet_v2_1.0_224_dequant",
  "sst2_transformer",
  "stories260k",
  "superres_x3_core",
  "ultraface_rfb_320",
];
const models = [
  { name: "lenet5", path: example },
  ...names.flatMap((name) => realModels.filter((model) => model.name === name)),
];

const kinds = {
  "90 % pruned int8": { sparsity: 0.9, quantized: true },
  int8: { sparsity: 0, quantized: true },
  fp32: { sparsity: 0, quantized: false },
};

/** A context in which pruning and the reading of weights work without a recipe. */
const context = {
  random: createRandom(1),
  skip: () => {},
  group: () => {},
  warn: () => {},
  progress: async () => {},
} as unknown as Context;

const rows: Row[] = [];
/** All sizes are bytes over the weights of one model; `weights` is their number. */
interface Row {
  model: string;
  kind: string;
  weights: number;
  bytes: number;
  brotli: number;
  entropy: number;
  tersor: number;
  /** tersor / brotli. */
  toBrotli: number;
  /** tersor / entropy; null for fp32, in which hardly two elements are equal. */
  toEntropy: number | null;
  encodeMBps: number;
  decodeMBps: number;
}

for (const { name, path } of models) {
  if (!path || process.argv.slice(2).some((part) => !name.includes(part))) continue;
  for (const [kind, { sparsity, quantized }] of Object.entries(kinds)) {
    const tensors = await weightsOf(path, sparsity, quantized);
    const row = measure(name, kind, tensors);
    rows.push(row);
    print(row);
  }
}
const totals = Object.keys(kinds).map((kind) => {
  const of = rows.filter((row) => row.kind === kind);
  const sum = (key: "weights" | "bytes" | "brotli" | "entropy" | "tersor") =>
    of.reduce((total, row) => total + row[key], 0);
  const speed = (key: "encodeMBps" | "decodeMBps") =>
    round(sum("weights") / of.reduce((total, row) => total + row.weights / row[key], 0), 1);
  const sizes = {
    weights: sum("weights"),
    bytes: sum("bytes"),
    brotli: sum("brotli"),
    entropy: sum("entropy"),
    tersor: sum("tersor"),
  };
  const encodeMBps = speed("encodeMBps");
  // A single large model has half of all weights. In the geometric mean each model counts once.
  const logs = of.reduce((total, { toBrotli }) => total + Math.log(toBrotli), 0);
  const meanToBrotli = round(Math.exp(logs / of.length), 3);
  const all = summarize("all", kind, sizes);
  return { ...all, meanToBrotli, encodeMBps, decodeMBps: speed("decodeMBps") };
});
for (const total of totals) {
  print(total);
  console.log(`  geometric mean of the models to brotli: ${total.meanToBrotli}x`);
}
if (process.argv.length === 2) writeRun("codec", { node: process.version, totals, rows });

/**
 * The weights of a model after magnitude pruning, as float32 or as int8 with a scale per channel.
 */
async function weightsOf(path: string, sparsity: number, quantized: boolean): Promise<Plain[]> {
  const model = readModel(new Uint8Array(readFileSync(path)));
  const options = pruneOptions.parse({ sparsity });
  await pruneMagnitude.apply(model, options, context);
  return thetasOf(model, options, context).map(({ weight: { values, shape } }) => {
    if (!quantized) return { dtype: "float32", dims: shape, bytes: bytesOf(values) };
    const { q } = quantizeChannels(values, shape, null, { bits: 8, symmetric: true });
    return { dtype: "int8", dims: shape, bytes: bytesOf(q) };
  });
}

/** Codes, decodes and checks the tensors, and measures sizes and speed. */
function measure(model: string, kind: string, tensors: readonly Plain[]): Row {
  const bodies: Uint8Array[] = [];
  const encode = cpuSeconds(() => {
    bodies.length = 0;
    for (const tensor of tensors) bodies.push(encodeTensor(tensor));
  }, 3);
  const decode = cpuSeconds(() => {
    for (const [i, { dtype, dims }] of tensors.entries()) decodeTensor(bodies[i], dtype, dims);
  }, 5);
  for (const [i, { dtype, dims, bytes }] of tensors.entries()) {
    if (Buffer.compare(decodeTensor(bodies[i], dtype, dims), bytes) !== 0) throw new Error(model);
  }
  const total = (of: (tensor: Plain, i: number) => number) =>
    tensors.reduce((sum, tensor, i) => sum + of(tensor, i), 0);
  const weights = total(({ dims }) => dims.reduce((a, b) => a * b, 1));
  const sizes = {
    weights,
    bytes: total(({ bytes }) => bytes.length),
    brotli: total(({ bytes }) => brotli(bytes)),
    entropy: Math.round(total(({ dtype, bytes }) => entropy(dtype, bytes))),
    tersor: total((_, i) => bodies[i].length),
  };
  const speed = (seconds: number) => round((4 * weights) / 1e6 / seconds, 1);
  return {
    ...summarize(model, kind, sizes),
    encodeMBps: speed(encode),
    decodeMBps: speed(decode),
  };
}

function summarize(
  model: string,
  kind: string,
  sizes: Pick<Row, "weights" | "bytes" | "brotli" | "entropy" | "tersor">,
): Omit<Row, "encodeMBps" | "decodeMBps"> {
  const { brotli, entropy, tersor } = sizes;
  const toBrotli = round(tersor / brotli, 3);
  return {
    model,
    kind,
    ...sizes,
    toBrotli,
    toEntropy: kind === "fp32" ? null : round(tersor / entropy, 3),
  };
}

/**
 * Median CPU seconds of at least `times` runs, repeated until they have taken 0.8 s together,
 * because the first runs are slower until the JavaScript engine has compiled them.
 */
function cpuSeconds(run: () => void, times: number): number {
  const seconds: number[] = [];
  for (let total = 0; seconds.length < times || total < 0.8; ) {
    const { user, system } = process.cpuUsage();
    run();
    const spent = process.cpuUsage();
    seconds.push((spent.user + spent.system - user - system) / 1e6);
    total += seconds.at(-1) as number;
  }
  return seconds.sort((a, b) => a - b)[seconds.length >> 1];
}

function brotli(bytes: Uint8Array): number {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: 11,
    [constants.BROTLI_PARAM_LGWIN]: 24,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  return brotliCompressSync(bytes, { params }).length;
}

/**
 * Bytes at the empirical order-0 entropy of the elements, without the tables a coder would need.
 */
function entropy(dtype: string, bytes: Uint8Array): number {
  const words = dtype === "float32" ? new Int32Array(new Uint8Array(bytes).buffer) : bytes;
  const counts = new Map<number, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= count * Math.log2(count / words.length);
  return bits / 8;
}

function bytesOf(array: {
  buffer: ArrayBufferLike;
  byteOffset: number;
  byteLength: number;
}): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

function round(x: number, digits: number): number {
  return Number(x.toFixed(digits));
}

function print(row: Row): void {
  const { model, kind, bytes, brotli, tersor, toBrotli, toEntropy, encodeMBps, decodeMBps } = row;
  console.log(
    `${model}, ${kind}: ${bytes} -> ${tersor} (brotli ${brotli}: ${toBrotli}x, entropy: ${toEntropy}x), encode ${encodeMBps} MB/s, decode ${decodeMBps} MB/s`,
  );
}
