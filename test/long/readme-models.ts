/** @file Models and data for the steps of README.md: a classifier, a detector, a text model. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { createRandom } from "../../src/numeric/random.ts";
import { type TinyWeight, tinyModel } from "../support/tiny.ts";

const random = createRandom(1);

function weight(name: string, dims: readonly number[], scale: number): TinyWeight {
  const length = dims.reduce((a, b) => a * b, 1);
  const data = Float32Array.from({ length }, () => (random.float() - 0.5) * 2 * scale);
  return { name, dims, data };
}

const constant = (name: string, data: Float32Array | BigInt64Array): TinyWeight => ({
  name,
  dtype: data instanceof Float32Array ? "float32" : "int64",
  dims: [data.length],
  data,
});

/** Writes a noisy image in which one colour is the brightest. */
async function image(path: string, side: number, colour: number): Promise<void> {
  const raw = Uint8Array.from({ length: side * side * 3 }, (_, i) =>
    Math.round((i % 3 === colour ? 170 : 50) + 60 * random.float()),
  );
  await sharp(raw, { raw: { width: side, height: side, channels: 3 } })
    .png()
    .toFile(path);
}

const same = { pads: [1, 1, 1, 1] };

/** Filters of 3x3 whose first three pass channels 0, 1 and 2 on as they are. */
function passing(filters: TinyWeight): TinyWeight {
  const values = filters.data as Float32Array;
  const size = filters.dims[1] * 9;
  for (let c = 0; c < 3; c++) {
    values.fill(0, c * size, (c + 1) * size);
    values[c * size + c * 9 + 4] = 1;
  }
  return filters;
}

/**
 * classifier.onnx, [N, 3, 32, 32] -> [N, 3] scores, and photos/, a folder a class. It tells the
 * brightest colour: its first three filters pass the colours on, and the scores are their means.
 */
export async function writeClassifier(folder: string): Promise<void> {
  const scores = new Float32Array(32 * 3);
  // Classes are sorted by name, blue, green, red; the colours of a pixel are red, green, blue.
  for (let c = 0; c < 3; c++) scores[c * 3 + (2 - c)] = 5;
  const model = tinyModel({
    inputs: [{ name: "image", dims: ["N", 3, 32, 32] }],
    outputs: [{ name: "scores", dims: ["N", 3] }],
    weights: [
      passing(weight("first", [32, 3, 3, 3], 0.05)),
      passing(weight("second", [32, 32, 3, 3], 0.05)),
      { name: "dense", dims: [32, 3], data: scores },
    ],
    nodes: [
      { op: "Conv", inputs: ["image", "first"], outputs: ["a"], ints: same },
      { op: "Relu", inputs: ["a"], outputs: ["b"] },
      { op: "Conv", inputs: ["b", "second"], outputs: ["c"], ints: same },
      { op: "Relu", inputs: ["c"], outputs: ["r"] },
      { op: "GlobalAveragePool", inputs: ["r"], outputs: ["p"] },
      { op: "Flatten", inputs: ["p"], outputs: ["f"] },
      { op: "Gemm", inputs: ["f", "dense"], outputs: ["scores"] },
    ],
  });
  writeFileSync(join(folder, "classifier.onnx"), model);
  for (const [channel, name] of ["red", "green", "blue"].entries()) {
    mkdirSync(join(folder, "photos", name), { recursive: true });
    for (let i = 0; i < 20; i++) await image(join(folder, `photos/${name}/${i}.png`), 32, channel);
  }
}

/** detector.onnx, [1, 3, 64, 64] -> boxes [1, 7, 256], and frames/, images without labels. */
export async function writeDetector(folder: string): Promise<void> {
  const stride = { strides: [2, 2], pads: [1, 1, 1, 1] };
  const model = tinyModel({
    inputs: [{ name: "frame", dims: [1, 3, 64, 64] }],
    outputs: [{ name: "boxes", dims: [1, 7, 256] }],
    weights: [
      weight("w1", [32, 3, 3, 3], 0.3),
      weight("w2", [64, 32, 3, 3], 0.1),
      weight("w3", [7, 64, 1, 1], 0.2),
      constant("shape", BigInt64Array.of(1n, 7n, 256n)),
    ],
    nodes: [
      { op: "Conv", name: "stem/conv", inputs: ["frame", "w1"], outputs: ["a"], ints: stride },
      { op: "Relu", inputs: ["a"], outputs: ["b"] },
      { op: "Conv", name: "body/conv", inputs: ["b", "w2"], outputs: ["c"], ints: stride },
      { op: "Relu", inputs: ["c"], outputs: ["d"] },
      { op: "Conv", name: "head/conv", inputs: ["d", "w3"], outputs: ["e"] },
      { op: "Reshape", inputs: ["e", "shape"], outputs: ["boxes"] },
    ],
  });
  writeFileSync(join(folder, "detector.onnx"), model);
  mkdirSync(join(folder, "frames"), { recursive: true });
  for (let i = 0; i < 30; i++) await image(join(folder, `frames/${i}.png`), 64, i % 3);
}

/**
 * text.onnx, a block of a transformer: input_ids and attention_mask [N, 16] -> scores [N, 2]; and
 * tokens.jsonl, padded sequences without labels.
 */
export function writeText(folder: string): void {
  const [vocabulary, width, inner, length] = [512, 64, 256, 16];
  const dense = (name: string, m: number, n: number) => weight(name, [m, n], 1 / Math.sqrt(m));
  const model = tinyModel({
    inputs: ["input_ids", "attention_mask"].map((name) => ({
      name,
      dtype: "int64" as const,
      dims: ["N", length],
    })),
    outputs: [{ name: "scores", dims: ["N", 2] }],
    weights: [
      weight("embedding", [vocabulary, width], 1),
      dense("wq", width, width),
      dense("wk", width, width),
      dense("wv", width, width),
      dense("w1", width, inner),
      dense("w2", inner, width),
      dense("w3", width, 2),
      constant("one", Float32Array.of(1)),
      constant("never", Float32Array.of(-1e4)),
      constant("root", Float32Array.of(1 / Math.sqrt(width))),
      constant("row", BigInt64Array.of(1n)),
    ],
    nodes: [
      { op: "Gather", inputs: ["embedding", "input_ids"], outputs: ["x"] },
      ...["q", "k", "v"].map((c) => ({ op: "MatMul", inputs: ["x", `w${c}`], outputs: [c] })),
      { op: "Transpose", inputs: ["k"], outputs: ["kt"], ints: { perm: [0, 2, 1] } },
      { op: "MatMul", inputs: ["q", "kt"], outputs: ["qk"] },
      { op: "Mul", inputs: ["qk", "root"], outputs: ["scaled"] },
      { op: "Cast", inputs: ["attention_mask"], outputs: ["there"], ints: { to: 1 } },
      { op: "Sub", inputs: ["one", "there"], outputs: ["padding"] },
      { op: "Mul", inputs: ["padding", "never"], outputs: ["bias"] },
      { op: "Unsqueeze", inputs: ["bias", "row"], outputs: ["rows"] },
      { op: "Add", inputs: ["scaled", "rows"], outputs: ["masked"] },
      { op: "Softmax", inputs: ["masked"], outputs: ["p"], ints: { axis: -1 } },
      { op: "MatMul", inputs: ["p", "v"], outputs: ["pv"] },
      { op: "Add", inputs: ["x", "pv"], outputs: ["h"] },
      { op: "MatMul", inputs: ["h", "w1"], outputs: ["u"] },
      { op: "Relu", inputs: ["u"], outputs: ["ru"] },
      { op: "MatMul", inputs: ["ru", "w2"], outputs: ["y"] },
      { op: "Add", inputs: ["h", "y"], outputs: ["z"] },
      { op: "ReduceMean", inputs: ["z", "row"], outputs: ["m"], ints: { keepdims: 0 } },
      { op: "MatMul", inputs: ["m", "w3"], outputs: ["scores"] },
    ],
  });
  writeFileSync(join(folder, "text.onnx"), model);
  const lines = Array.from({ length: 60 }, () => {
    const used = 4 + Math.floor(random.float() * (length - 4));
    const at = (i: number, value: () => number) => (i < used ? value() : 0);
    const input_ids = Array.from({ length }, (_, i) =>
      at(i, () => Math.floor(random.float() * vocabulary)),
    );
    const attention_mask = Array.from({ length }, (_, i) => at(i, () => 1));
    return JSON.stringify({ input_ids, attention_mask });
  });
  writeFileSync(join(folder, "tokens.jsonl"), lines.join("\n"));
}
