/** @file Front ends: tables are found by their values, and methods leave them alone. */
import { describe, expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { frontEndOf } from "../../src/weights/front-end.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const N = 64;
const BINS = N / 2 + 1;
const BANDS = 11;
const random = createRandom(7);
const hann = (n: number, length: number) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / length);

/** cos and -sin of every frequency, one a row [2 bins, length]; windowed where that is asked. */
const dft = (length: number, window: (n: number) => number = () => 1): Float32Array =>
  Float32Array.from({ length: (length + 2) * length }, (_, i) => {
    const [row, n] = [Math.floor(i / length), i % length];
    const bins = length / 2 + 1;
    const phase = (2 * Math.PI * (row % bins) * n) / length;
    return window(n) * (row < bins ? Math.cos(phase) : -Math.sin(phase));
  });

/** Triangles over the bins, each half over the next [bins, bands]. */
const bank = (bins: number, bands: number): Float32Array =>
  Float32Array.from({ length: bins * bands }, (_, i) => {
    const [bin, band] = [Math.floor(i / bands), i % bands];
    const width = (bins - 1) / (bands + 1);
    return Math.max(0, 1 - Math.abs(bin / width - (band + 1)));
  });

function transposed(x: Float32Array, rows: number): Float32Array {
  const columns = x.length / rows;
  return x.map((_, i) => x[(i % rows) * columns + Math.floor(i / rows)]);
}

const normal = (size: number, scale = 1): Float32Array =>
  Float32Array.from({ length: size }, () => scale * random.normal());

describe("found by its values", () => {
  const found = (values: Float32Array, shape: readonly number[]) => {
    const isConv = shape.length > 2;
    const input = isConv ? ["N", shape[1], ...shape.slice(2).map(() => 512)] : ["N", shape[0]];
    const model = layerModel(input, (g, x) => {
      const weight = g.constant(values, { shape });
      return isConv ? g.Conv(x, weight) : g.MatMul(x, weight);
    });
    return frontEndOf(weightsOf(model)[0]);
  };
  const dct = Float32Array.from({ length: 400 }, (_, i) =>
    Math.cos((Math.PI / 40) * (Math.floor(i / 10) + 0.5) * (i % 10)),
  );
  test.each([
    ["a DFT as MatMul", transposed(dft(N), N + 2), [N, N + 2], "sines and cosines"],
    ["a windowed DFT as Conv", dft(256, (n) => hann(n, 256)), [258, 1, 256], "sines and cosines"],
    ["a cosine transform", dct, [40, 10], "sines and cosines"],
    ["mel as MatMul", bank(BINS, BANDS), [BINS, BANDS], "a filterbank"],
    ["mel as Conv", transposed(bank(BINS, BANDS), BINS), [BANDS, BINS, 1], "a filterbank"],
    ["luma", Float32Array.of(0.299, 0.587, 0.114), [1, 3, 1, 1], "a conversion of colours"],
    [
      "YCbCr of BGR",
      Float32Array.of(0.114, 0.587, 0.299, 0.5, -0.3313, -0.1687, -0.0813, -0.4187, 0.5),
      [3, 3, 1, 1],
      "a conversion of colours",
    ],
    ["random numbers", normal(64 * 66), [64, 66], null],
    ["rows that are sines of one frequency", sinesOf(0.9, 32), [32, 32], null],
    ["a permutation", eye(16), [16, 16], null],
    ["smooth humps of one width", blurs(32), [32, 32], null],
    ["random colours", Float32Array.of(0.5, 0.3, 0.2), [1, 3, 1, 1], null],
    ["a sparse weight", normal(4096).map((x, i) => (i % 10 ? 0 : Math.abs(x))), [64, 64], null],
  ] as const)("%s", (_, values, shape, kind) => {
    expect(found(values, shape)).toBe(kind);
  });
});

/** A sine of one frequency in every row, each at another phase. */
function sinesOf(omega: number, n: number): Float32Array {
  return Float32Array.from({ length: n * n }, (_, i) =>
    Math.sin(omega * (i % n) + Math.floor(i / n)),
  );
}

function eye(n: number): Float32Array {
  return Float32Array.from({ length: n * n }, (_, i) => Number(i % (n + 1) === 0));
}

/** Gaussians in every row: x[n-1] + x[n+1] = k x[n] holds nearly, with the same k. */
function blurs(n: number): Float32Array {
  return Float32Array.from({ length: n * n }, (_, i) =>
    Math.exp(-(((Math.floor(i / n) - (i % n)) / 12) ** 2)),
  );
}

describe("a spectrogram with a classifier behind it", () => {
  // A loud tone that says nothing, and a faint one whose band is the class.
  const records = 160;
  const labels = Array.from({ length: records }, () => Math.floor(random.float() * 8));
  const waves = new Float32Array(records * N);
  for (let r = 0; r < records; r++) {
    const [loud, faint] = [26 + 4 * random.float(), 2 + 2.7 * labels[r] + random.float()];
    const [a, b] = [6 * random.float(), 6 * random.float()];
    for (let n = 0; n < N; n++) {
      const at = (2 * Math.PI * n) / N;
      const wave = Math.sin(loud * at + a) + 0.01 * Math.sin(faint * at + b);
      waves[r * N + n] = hann(n, N) * wave + 1e-4 * random.normal();
    }
  }
  const [sines, mel] = [transposed(dft(N), N + 2), bank(BINS, BANDS)];
  const features = logMel(waves, sines, mel);
  const hidden = normal(BANDS * 32, 0.3);
  const activations = product(features, hidden, BANDS).map((x) => Math.max(0, x));
  const head = trained(activations, labels, 32, 8);
  const model = layerModel(["N", N], (g, x) => {
    const constant = (values: Float32Array, ...shape: number[]) => g.constant(values, { shape });
    const spectrum = g.MatMul(x, constant(sines, N, N + 2));
    const [re, im] = [
      [0, BINS],
      [BINS, 2 * BINS],
    ].map(([from, to]) => g.Slice(spectrum, g.ints([from]), g.ints([to]), g.ints([1])));
    const power = g.Add(g.Mul(re, re), g.Mul(im, im));
    const energy = g.MatMul(power, constant(mel, BINS, BANDS));
    const log = g.Log(g.Add(energy, g.constant(1e-6)));
    const inner: Value = g.Relu(g.Gemm(log, constant(hidden, BANDS, 32)));
    return g.Gemm(inner, constant(head, 32, 8));
  });
  const x = tensor("float32", [records, N], waves);
  const env = environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x } });
  const accuracy = async (file: Uint8Array): Promise<number> => {
    const scores = (await outputsOf(file, { x })).y.floats();
    const right = labels.filter((label, r) => {
      const row = [...scores.subarray(8 * r, 8 * r + 8)];
      return row.indexOf(Math.max(...row)) === label;
    });
    return (100 * right.length) / records;
  };

  test.each(["quantize-int8", "quantize-dynamic"] as const)("%s", async (id) => {
    const float = await accuracy(
      (await apply(model, "prune-magnitude", { sparsity: 0 }, env)).bytes,
    );
    expect(float).toBeGreaterThan(95);
    const { bytes, skipped } = await apply(model, id, {}, env);
    expect(await accuracy(bytes)).toBeGreaterThan(float - 1);
    expect(skipped.map(({ reason }) => reason)).toEqual([
      "its weight is sines and cosines, not trained: frontEnds=true includes it",
      "its weight is a filterbank, not trained: frontEnds=true includes it",
    ]);
    const all = await apply(model, id, { frontEnds: true }, env);
    expect(all.skipped).toEqual([]);
    expect(await accuracy(all.bytes)).toBeLessThan(float - 10);
  });
});

function product(a: Float32Array, b: Float32Array, inner: number): Float32Array {
  const columns = b.length / inner;
  return Float32Array.from({ length: (a.length / inner) * columns }, (_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    let sum = 0;
    for (let k = 0; k < inner; k++) sum += a[row * inner + k] * b[k * columns + column];
    return sum;
  });
}

function logMel(waves: Float32Array, sines: Float32Array, mel: Float32Array): Float32Array {
  const spectrum = product(waves, sines, N);
  const power = Float32Array.from({ length: (spectrum.length / 2 / BINS) * BINS }, (_, i) => {
    const [row, bin] = [Math.floor(i / BINS), i % BINS];
    const [re, im] = [0, BINS].map((shift) => spectrum[row * 2 * BINS + shift + bin]);
    return re * re + im * im;
  });
  return product(power, mel, BINS).map((x) => Math.log(x + 1e-6));
}

/** Softmax regression by steps along the gradient. */
function trained(x: Float32Array, labels: readonly number[], inputs: number, classes: number) {
  const weight = new Float32Array(inputs * classes);
  for (let step = 0; step < 400; step++) {
    const scores = product(x, weight, inputs);
    for (const [r, label] of labels.entries()) {
      const row = scores.subarray(r * classes, (r + 1) * classes);
      const most = Math.max(...row);
      const all = row.reduce((sum, s) => sum + Math.exp(s - most), 0);
      for (const [c, s] of row.entries()) {
        const slope = Math.exp(s - most) / all - Number(c === label);
        for (let k = 0; k < inputs; k++)
          weight[k * classes + c] -= (0.05 / labels.length) * slope * x[r * inputs + k];
      }
    }
  }
  return weight;
}
