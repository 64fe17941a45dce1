/**
 * @file Metrics through ONNX Runtime: the scores are the records themselves (Identity models), so every
 * figure is known beforehand; then the shared models against their published scores.
 * References by scipy 1.17.1 and numpy 2.4.6 on the p and q below:
 *   sp.rel_entr(softmax(p, 1), softmax(q, 1)).sum(1).mean(); 10 * np.log10((p**2).sum() / ((p - q)**2).sum());
 *   -10 * np.log10(((img - out)**2).mean(1)); st.binomtest(k, n).proportion_ci(method="wilson").
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type Dataset, subset } from "../../src/data/dataset.ts";
import type { DType } from "../../src/ir/dtype.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { type Evaluation, implausible, measureMetric } from "../../src/measure/metric.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { openNodeRuntime } from "../../src/runtime/ort-node.ts";
import { assets } from "../support/assets.ts";
import { tensorDataset } from "../support/dataset.ts";
import { readNpz } from "../support/npz.ts";
import { type TinyNode, type TinyPort, tinyModel } from "../support/tiny.ts";

const runtime = openNodeRuntime();

const floats = (shape: number[], values: readonly number[]) => tensor("float32", shape, values);
const indices = (values: readonly number[], shape = [values.length], dtype: DType = "int64") =>
  tensor(dtype, shape, values);

async function measure(bytes: Uint8Array, dataset: Dataset, options = {}): Promise<Evaluation> {
  const session = await (await runtime).open({ bytes });
  try {
    return await measureMetric({ session, dataset, ...options });
  } finally {
    await session.close();
  }
}

/** One node from `input` to y; the shape of both unless told. */
function model(
  dims: TinyPort["dims"],
  node: Partial<TinyNode> = {},
  input = "x",
  out = dims,
): Uint8Array {
  return tinyModel({
    inputs: [{ name: input, dims }],
    outputs: [{ name: "y", dims: out }],
    nodes: [{ op: "Identity", inputs: [input], outputs: ["y"], ...node }],
  });
}

// Largest scores: 0, 3, 0 and 0, 3, 2.
const p = [2, -1, 0.5, 0, 0.1, 0.2, -3, 1, 5, 5, 5, -5];
const q = [1.5, -1, 0.75, 0.1, 0.3, 0.2, -2, 0.5, 5, 4, 5.5, -4];
const kl = 0.09362323684658964;
const sqnr = 14.749608148618078;
/** Two models on one dataset: the original reads p, the compressed one q. */
const pairs = tensorDataset({ p: floats([3, 4], p), q: floats([3, 4], q) }, indices([0, 3, 2]));
const original = model(["N", 4], {}, "p");
const changed = model(["N", 4], {}, "q");

describe("class indices", () => {
  test("accuracy in percent with Wilson's interval; no comparison without a reference", async () => {
    const { metric, classes, warnings } = await measure(original, pairs);
    expect(metric).toMatchObject({ name: "accuracy", value: 200 / 3, n: 3 });
    // 100 - (1 of 3 wrong), st.binomtest(1, 3)
    expect(metric!.ci95![0]).toBeCloseTo(100 * (1 - 0.7923403991979523), 9);
    expect(metric!.ci95![1]).toBeCloseTo(100 * (1 - 0.06149194472039626), 9);
    expect(metric).toMatchObject({ baseline: null, drop: null, flips: null, kl: null, sqnr: null });
    expect(classes).toBe(4);
    expect(warnings).toEqual([]);
  });

  test.each([1, 2, 3, 32])("against the original, %d at a time", async (batchSize) => {
    const { reference } = await measure(original, pairs, { keepBytes: 1e6 });
    const { metric, warnings } = await measure(changed, pairs, { reference, batchSize });
    expect(metric).toMatchObject({ value: 100, n: 3 });
    expect(metric!.baseline).toBeCloseTo(66.667, 2);
    expect(metric!.drop).toBeCloseTo(-33.333, 2);
    expect(metric!.flips).toBeCloseTo(100 / 3, 9);
    expect(metric!.kl).toBeCloseTo(kl, 6); // the runtime computes in float32
    expect(metric!.sqnr).toBeCloseTo(sqnr, 5);
    expect(warnings).toEqual([]);
  });

  test("probabilities are recognized: the same KL after a softmax", async () => {
    const softmax = { op: "Softmax", ints: { axis: 1 } };
    const bytes = (input: string) => model(["N", 4], { ...softmax, inputs: [input] }, input);
    const { reference } = await measure(bytes("p"), pairs, { keepBytes: 1e6 });
    const { metric } = await measure(bytes("q"), pairs, { reference });
    expect(metric!.kl).toBeCloseTo(kl, 6);
    expect(metric!.flips).toBeCloseTo(100 / 3, 9);
  });

  test("a model is its own equal", async () => {
    const { reference } = await measure(original, pairs, { keepBytes: 1e6 });
    const { metric } = await measure(original, pairs, { reference });
    expect(metric).toMatchObject({ drop: 0, flips: 0, kl: 0, sqnr: Infinity, exact: true });
  });

  test("equal on the compared records only is not exact, nor is a change", async () => {
    const { reference } = await measure(original, pairs, { keepBytes: 40 });
    const { metric: partly } = await measure(original, pairs, { reference });
    expect(partly).toMatchObject({ sqnr: Infinity, exact: false });
    const whole = (await measure(original, pairs, { keepBytes: 1e6 })).reference;
    const { metric } = await measure(changed, pairs, { reference: whole });
    expect(metric!.exact).toBe(false);
    expect(whole.metric!.exact).toBeNull();
  });

  test("the drop has an interval of its own, from records judged by both models", async () => {
    // 10 records that the original gets right and 30 that it does not; the other model loses 2 and
    // gains 1 of them. Scores of class 0 and 1; the label is 0.
    const right = [1, 0];
    const wrong = [0, 1];
    const rows = (flipped: readonly number[]) =>
      Array.from({ length: 40 }, (_, i) => (i < 10 !== flipped.includes(i) ? right : wrong)).flat();
    const dataset = tensorDataset(
      { p: floats([40, 2], rows([])), q: floats([40, 2], rows([0, 1, 30])) },
      indices(new Array(40).fill(0)),
    );
    const [before, after] = ["p", "q"].map((input) => model(["N", 2], {}, input));
    const { metric: alone, reference } = await measure(before, dataset, { keepBytes: 1e6 });
    expect(alone!.dropCi95).toBeNull();
    const { metric } = await measure(after, dataset, { reference });
    expect(metric!.drop).toBeCloseTo(2.5, 9);
    // Bonett & Price: p = 3/42, q = 2/42, and 1/42 -+ 1.959964 sqrt((5/42 - 1/42^2) / 42)
    const half = 1.959964 * Math.sqrt((5 / 42 - 1 / 42 ** 2) / 42);
    expect(metric!.dropCi95![0]).toBeCloseTo(100 * (1 / 42 - half), 4);
    expect(metric!.dropCi95![1]).toBeCloseTo(100 * (1 / 42 + half), 4);
    // Where only some outputs of the original were kept, not all records are pairs.
    const { reference: part } = await measure(before, dataset, { keepBytes: 80 });
    expect((await measure(after, dataset, { reference: part })).metric!.dropCi95).toBeNull();
  });

  test("a bounded memory compares the first records, and says so", async () => {
    const { reference } = await measure(original, pairs, { keepBytes: 40 });
    expect(reference.outputs).toHaveLength(2);
    const { metric, warnings } = await measure(changed, pairs, { reference });
    expect(metric).toMatchObject({ value: 100, flips: 0, n: 3 });
    expect(warnings).toEqual(["flips, KL and SQNR are taken over the first 2 of 3 records"]);
  });

  test("one-hot labels and trailing axes of 1 are class indices too", async () => {
    const label = floats([3, 4], [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0]);
    const dataset = tensorDataset({ x: floats([3, 4, 1, 1], p) }, label);
    const { metric } = await measure(model(["N", 4, 1, 1]), dataset);
    expect(metric).toMatchObject({ name: "accuracy", value: 200 / 3 });
  });

  test("the output that fits the label is judged, not the first one", async () => {
    const bytes = tinyModel({
      inputs: [{ name: "x", dims: ["N", 2, 2] }],
      outputs: [
        { name: "features", dims: ["N", 2, 2] },
        { name: "scores", dims: ["N", 4] },
      ],
      nodes: [
        { op: "Neg", inputs: ["x"], outputs: ["features"] },
        { op: "Flatten", inputs: ["x"], outputs: ["scores"], ints: { axis: 1 } },
      ],
    });
    const dataset = tensorDataset({ x: floats([3, 2, 2], p) }, indices([0, 3, 2]));
    expect((await measure(bytes, dataset)).metric).toMatchObject({ value: 200 / 3 });
  });

  test.each([
    [[0, 4, 1], "record 1: label 4 is not one of the model's 4 classes (0 to 3)"],
    [[0, 1, -1], "record 2: label -1 is not one of the model's 4 classes (0 to 3)"],
  ])("labels %o are out of range", async (labels, words) => {
    const dataset = tensorDataset({ x: floats([3, 4], p) }, indices(labels), "mnist:test");
    await expect(measure(model(["N", 4]), dataset)).rejects.toMatchObject({
      code: "label-out-of-range",
      message: expect.stringContaining(`mnist:test, ${words}`),
      remedy: expect.stringContaining("--label-offset"),
    });
  });

  test("a part of the data names records as the whole does", async () => {
    const all = tensorDataset({ x: floats([3, 4], p) }, indices([0, 4, 1]), "mnist:test");
    const part = subset(subset(all, [2, 1]), [1]);
    await expect(measure(model(["N", 4]), part)).rejects.toThrow("mnist:test, record 1: label 4");
  });

  test("a record labelled -100 is left out, also of the number of records", async () => {
    const dataset = tensorDataset({ x: floats([3, 4], p) }, indices([0, -100, 1]));
    const { metric } = await measure(model(["N", 4]), dataset);
    expect(metric).toMatchObject({ value: 50, n: 2 });
  });

  test("NaN counts as wrong and is told", async () => {
    const x = floats(
      [3, 4],
      p.map((v, i) => (i === 5 ? Number.NaN : v)),
    );
    const dataset = tensorDataset({ x }, indices([0, 3, 0]));
    const whole = tensorDataset({ x: floats([3, 4], p) }, indices([0, 3, 0]));
    const { reference } = await measure(model(["N", 4]), whole, { keepBytes: 1e6 });
    const { metric, warnings } = await measure(model(["N", 4]), dataset, { reference });
    expect(metric).toMatchObject({ value: 200 / 3, kl: null, flips: 100 / 3 });
    expect(warnings).toEqual([
      "outputs are not finite on record 1: 1 of 3 predictions are NaN or infinite, which counts as wrong",
    ]);
  });

  test("a record keeps the number of its file", async () => {
    const broken = [9, 4, 7].flatMap((v) => [v, 0, 0, v === 4 ? Number.NaN : 0]);
    const numbers = { numbers: [16, 17, 40] };
    const dataset = {
      ...tensorDataset({ x: floats([3, 4], broken) }, indices([0, 0, 9])),
      ...numbers,
    };
    await expect(measure(model(["N", 4]), dataset)).rejects.toThrow("record 40: label 9");
    const right = {
      ...tensorDataset({ x: floats([3, 4], broken) }, indices([0, 0, 0])),
      ...numbers,
    };
    const { warnings } = await measure(model(["N", 4]), { ...right, warnings: ["of the data"] });
    expect(warnings[0]).toBe("of the data");
    expect(warnings[1]).toContain("not finite on record 17: 1 of 3");
  });

  test("what the original does not give is not compared", async () => {
    const x = [2, 1, 0, Number.NaN];
    const { reference } = await measure(model(["N", 2]), tensorDataset({ x: floats([2, 2], x) }), {
      keepBytes: 1e6,
    });
    const y = tensorDataset({ x: floats([2, 2], [2, 2, 0, 1]) });
    const { metric } = await measure(model(["N", 2]), y, { reference });
    // 10 log10((2^2 + 1^2 + 0^2) / 1^2)
    expect(metric?.sqnr).toBeCloseTo(10 * Math.log10(5), 10);
  });
});

test.each(["N", 64, 10] as const)(
  "65 records in batches of %s score as they do one by one",
  async (batch) => {
    const random = createRandom(4);
    const values = Array.from({ length: 65 * 6 }, (_, i) => random.normal() * (i >= 384 ? 9 : 1));
    const x = floats([65, 6], values);
    const near = floats(
      [65, 6],
      values.map((v) => v + 0.3 * random.normal()),
    );
    const targets = floats(
      [65, 6],
      values.map((v) => v * 0.9),
    );
    const labels = indices(Array.from({ length: 65 }, (_, i) => i % 6));
    for (const label of [labels, targets, null]) {
      const whole = async (dims: TinyPort["dims"], data: Tensor, options: object) =>
        measure(model(dims), tensorDataset({ x: data }, label), options);
      const { reference } = await whole([65, 6], x, { keepBytes: 1e6 });
      const { metric: expected } = await whole(["N", 6], near, { reference, batchSize: 1 });
      const { metric } = await whole([batch, 6], near, { reference, batchSize: 64 });
      for (const [name, value] of Object.entries(expected ?? {})) {
        const found = metric?.[name as keyof typeof metric];
        if (typeof value === "number") expect(found).toBeCloseTo(value, 10);
        else expect(found).toEqual(value);
      }
    }
  },
);

describe("one score per record", () => {
  const labels = indices([1, 0, 1, 1]);
  test("logits are split at 0", async () => {
    const dataset = tensorDataset({ x: floats([4, 1], [0.3, 0.2, -4, 7]) }, labels);
    expect((await measure(model(["N", 1]), dataset, { batchSize: 1 })).metric).toMatchObject({
      name: "accuracy",
      value: 50,
    });
  });

  test("probabilities are split at one half, known from all records together", async () => {
    const dataset = tensorDataset({ x: floats([4], [0.3, 0.2, 0.6, 0.9]) }, labels);
    const { metric, classes } = await measure(model(["N"]), dataset, { batchSize: 1 });
    expect(metric).toMatchObject({ value: 75, n: 4 });
    expect(classes).toBe(2);
  });

  test("KL is Bernoulli's", async () => {
    const inputs = { p: floats([2, 1], [0.2, 0.9]), q: floats([2, 1], [0.4, 0.8]) };
    const dataset = tensorDataset(inputs, indices([0, 1]));
    const { reference } = await measure(model(["N", 1], {}, "p"), dataset, { keepBytes: 1e6 });
    const { metric } = await measure(model(["N", 1], {}, "q"), dataset, { reference });
    const term = (a: number, b: number) =>
      a * Math.log(a / b) + (1 - a) * Math.log((1 - a) / (1 - b));
    expect(metric!.kl).toBeCloseTo((term(0.2, 0.4) + term(0.9, 0.8)) / 2, 6);
    expect(metric!.flips).toBe(0);
  });

  test("a label of 2 is out of range", async () => {
    const dataset = tensorDataset({ x: floats([2, 1], [1, 2]) }, indices([0, 2]));
    await expect(measure(model(["N", 1]), dataset)).rejects.toMatchObject({
      code: "label-out-of-range",
    });
  });
});

describe("tokens", () => {
  // Two sequences of two positions over three tokens, as probabilities.
  const rows = [0.5, 0.25, 0.25, 0.1, 0.1, 0.8, 0.2, 0.2, 0.6, 0.25, 0.5, 0.25];
  const x = floats([2, 2, 3], rows);
  test("perplexity is exp of the mean negative log-likelihood; next-token accuracy beside it", async () => {
    const dataset = tensorDataset({ x }, indices([0, 2, 1, 0], [2, 2]));
    const { metric, classes } = await measure(model(["N", "T", 3]), dataset);
    const nll = -Math.log(0.5 * 0.8 * 0.2 * 0.25) / 4;
    expect(metric!.name).toBe("perplexity");
    expect(metric!.value).toBeCloseTo(Math.exp(nll), 6);
    expect(metric!.accuracy).toBe(50);
    expect(metric!.n).toBe(2);
    expect(metric!.ci95![0]).toBeLessThan(metric!.value);
    expect(metric!.ci95![1]).toBeGreaterThan(metric!.value);
    expect(classes).toBe(3);
  });

  test("-100 marks padding; a record may be nothing else", async () => {
    const dataset = tensorDataset({ x }, indices([0, -100, 1, -100], [2, 2]));
    const { metric } = await measure(model(["N", "T", 3]), dataset);
    expect(metric!.value).toBeCloseTo(Math.exp(-Math.log(0.5 * 0.2) / 2), 6);
    expect([metric!.accuracy, metric!.n]).toEqual([50, 2]);
    const half = tensorDataset({ x }, indices([0, 2, -100, -100], [2, 2]));
    const { metric: first } = await measure(model(["N", "T", 3]), half);
    expect(first!.value).toBeCloseTo(Math.exp(-Math.log(0.5 * 0.8) / 2), 6);
    expect(first!.n).toBe(1);
    const none = measure(
      model(["N", "T", 3]),
      tensorDataset({ x }, indices(Array(4).fill(-100), [2, 2])),
    );
    await expect(none).rejects.toThrow("no-records: test: has no label but -100");
  });

  test("other negative labels are refused, as in training", async () => {
    const dataset = tensorDataset({ x }, indices([0, 2, -1, 0], [2, 2]));
    await expect(measure(model(["N", "T", 3]), dataset)).rejects.toThrow(
      "label-out-of-range: test, record 1: label -1 is not one of the model's 3 classes",
    );
  });

  test("positions folded into the batch axis are found again; a worse model drops upwards", async () => {
    const inputs = {
      x,
      z: floats(
        [2, 2, 3],
        rows.map((v) => v / 2 + 1 / 6),
      ),
    };
    const dataset = tensorDataset(inputs, indices([0, 2, 2, 1], [2, 2]));
    const { reference } = await measure(model(["N", 2, 3]), dataset, { keepBytes: 1e6 });
    const folded = tinyModel({
      inputs: [{ name: "z", dims: ["N", 2, 3] }],
      outputs: [{ name: "y", dims: ["M", 3] }],
      nodes: [{ op: "Reshape", inputs: ["z", "shape"], outputs: ["y"] }],
      weights: [{ name: "shape", dtype: "int64", dims: [2], data: BigInt64Array.of(-1n, 3n) }],
    });
    const { metric } = await measure(folded, dataset, { reference });
    const value = Math.exp(
      -[0.5, 0.8, 0.6, 0.5].reduce((sum, v) => sum + Math.log(v / 2 + 1 / 6), 0) / 4,
    );
    expect(metric!.value).toBeCloseTo(value, 5);
    expect(metric!.drop).toBeCloseTo(value - reference.metric!.value, 5);
    expect(metric!.drop).toBeGreaterThan(0);
    expect(metric!.flips).toBe(0);
  });
});

describe("targets and no labels", () => {
  const img = [0.1, 0.5, 0.9, 1, 0, 0.25, 0.5, 0.75];
  const out = [0.12, 0.5, 0.85, 1, 0.1, 0.2, 0.5, 0.75];
  test("a label of the output's shape gives the PSNR, mean over records", async () => {
    const dataset = tensorDataset({ x: floats([2, 1, 2, 2], out) }, floats([2, 1, 2, 2], img));
    const { metric, classes } = await measure(model(["N", 1, 2, 2]), dataset);
    expect(metric!.name).toBe("psnr");
    expect(metric!.value).toBeCloseTo(28.224059858744557, 4);
    expect(classes).toBeNull();
  });

  /** The metric of outputs `out * by` for targets `img * by`, both of this shape per record. */
  const scored = async (by: number, shape: number[]) => {
    const scale = (values: number[]) =>
      floats(
        [2, ...shape],
        values.map((v) => v * by),
      );
    const dataset = tensorDataset({ x: scale(out) }, scale(img));
    return (await measure(model(["N", ...shape]), dataset)).metric!;
  };
  // By hand: sum img^2 = 2.945, sum (img - out)^2 = 0.0154.
  const snr = 10 * Math.log10(2.945 / 0.0154);

  test.each([
    ["the peak is 255 for pictures of 8 bits", 255, [1, 2, 2]],
    ["channels may come last", 1, [2, 2, 1]],
  ])("PSNR: %s", async (_, by, shape) => {
    expect(await scored(by, shape)).toMatchObject({ name: "psnr" });
    expect((await scored(by, shape)).value).toBeCloseTo(28.22406, 4);
  });

  test.each([
    ["is no picture: a row of numbers", 1, [4]],
    ["is no picture: a sequence", 1, [2, 2]],
    ["reaches beyond 8 bits: metres, counts", 1000, [1, 2, 2]],
    ["has no range of pictures: metres again", 10, [1, 2, 2]],
    ["goes below zero", -1, [1, 2, 2]],
  ])("SNR, whatever the unit, for a target that %s", async (_, by, shape) => {
    const metric = await scored(by, shape);
    expect(metric.name).toBe("snr");
    expect(metric.value).toBeCloseTo(snr, 4);
    // Per record: noise 0.0029 of 2.07, 0.0125 of 0.875. The ratio of sums r = 0.0154 / 2.945 has the
    // standard error sqrt(n / (n - 1) sum (noise - r signal)^2) / 2.945; d log r = dr / r.
    const gap = 0.0125 - (0.0154 / 2.945) * 0.875;
    const half = ((10 / Math.LN10) * 1.959964 * Math.sqrt(2 * 2 * gap ** 2)) / 0.0154;
    expect(metric.ci95![0]).toBeCloseTo(snr - half, 3);
    expect(metric.ci95![1]).toBeCloseTo(snr + half, 3);
  });

  test("targets that are the original's own outputs give no drop", async () => {
    const y = floats([2, 4], img);
    const dataset = tensorDataset({ p: y, q: floats([2, 4], out) }, y);
    const { reference } = await measure(original, dataset, { keepBytes: 1e6 });
    const { metric: same } = await measure(original, dataset, { reference });
    expect(same).toMatchObject({ name: "snr", value: Infinity, drop: 0, exact: true });
    const { metric } = await measure(changed, dataset, { reference });
    expect(metric).toMatchObject({ name: "snr", drop: null, exact: false });
    expect(metric!.value).toBeCloseTo(snr, 4);
  });

  test("without labels: nothing on its own, SQNR, flips and KL against the original", async () => {
    const dataset = tensorDataset({ p: floats([3, 4], p), q: floats([3, 4], q) });
    const { metric: alone, reference } = await measure(original, dataset, { keepBytes: 1e6 });
    expect(alone).toBeNull();
    const { metric } = await measure(changed, dataset, { reference });
    expect(metric).toMatchObject({ name: "fidelity", baseline: null, drop: null, ci95: null });
    expect(metric!.value).toBeCloseTo(sqnr, 5);
    expect(metric!.sqnr).toBe(metric!.value);
    expect(metric!.flips).toBeCloseTo(100 / 3, 9);
    expect(metric!.kl).toBeCloseTo(kl, 6);
  });

  test("maps are no class scores: no flips", async () => {
    const dataset = tensorDataset({ x: floats([2, 1, 2, 2], out) });
    const { reference } = await measure(model(["N", 1, 2, 2]), dataset, { keepBytes: 1e6 });
    const { metric } = await measure(model(["N", 1, 2, 2]), dataset, { reference });
    expect(metric).toMatchObject({
      ...{ name: "fidelity", value: Infinity, exact: true },
      ...{ flips: null, kl: null },
    });
  });

  // A detector on an empty picture: all scores are rounding noise.
  const silent = [1e-8, 2e-8, 0, 3e-8];
  const shifted = silent.map((v) => v + 3e-8);
  const empty = tensorDataset({ p: floats([1, 4], silent), q: floats([1, 4], shifted) });

  test("what is far below the peak of an output is no signal", async () => {
    const bare = await measure(original, empty, { keepBytes: 1e6 });
    const { metric: noise } = await measure(changed, empty, { reference: bare.reference });
    // sum p^2 = 14e-16, sum (p - q)^2 = 36e-16
    expect(noise!.value).toBeCloseTo(10 * Math.log10(14 / 36), 3);
    const known = await measure(original, empty, { keepBytes: 1e6, peaks: { y: 2 } });
    const { metric, warnings } = await measure(changed, empty, { reference: known.reference });
    // The floor of the signal is a thousandth of the peak: (0.002 / 3e-8)^2.
    expect(metric!.value).toBeCloseTo(20 * Math.log10(0.002 / 3e-8), 3);
    expect(metric!.sqnr).toBe(metric!.value);
    expect(warnings).toEqual([]);
  });

  test("a signal above that is measured as it is, and damage to silence still shows", async () => {
    const loud = tensorDataset({ p: floats([3, 4], p), q: floats([3, 4], q) });
    const known = await measure(original, loud, { keepBytes: 1e6, peaks: { y: 10 } });
    const { metric } = await measure(changed, loud, { reference: known.reference });
    expect(metric!.value).toBeCloseTo(sqnr, 5);
    const ghost = tensorDataset({ p: floats([1, 4], silent), q: floats([1, 4], [0, 0, 0, 0.6]) });
    const quiet = await measure(original, ghost, { keepBytes: 1e6, peaks: { y: 1 } });
    const { metric: damaged } = await measure(changed, ghost, { reference: quiet.reference });
    expect(damaged!.value).toBeCloseTo(10 * Math.log10((4 * 1e-6) / 0.36), 3);
  });

  /** Two outputs, scores = a and boxes = b; the inputs are the outputs. */
  const detector = (b: string) =>
    tinyModel({
      inputs: [
        { name: "a", dims: ["N", 1, 2] },
        { name: b, dims: ["N", 2, 2] },
      ],
      outputs: [
        { name: "scores", dims: ["N", 1, 2] },
        { name: "boxes", dims: ["N", 2, 2] },
      ],
      nodes: [
        { op: "Identity", inputs: ["a"], outputs: ["scores"] },
        { op: "Identity", inputs: [b], outputs: ["boxes"] },
      ],
    });
  const boxes = (values: number[]) => floats([2, 2, 2], values);
  const detections = (worse: number[]) =>
    tensorDataset({ a: floats([2, 1, 2], [1, 2, 3, 4]), b: boxes(img), c: boxes(worse) });

  test.each([1, 2])("every output counts, the worst decides (%d at a time)", async (batchSize) => {
    const data = detections(out);
    const { reference } = await measure(detector("b"), data, { keepBytes: 1e6, batchSize });
    const { metric } = await measure(detector("c"), data, { reference, batchSize });
    expect(metric!.value).toBeCloseTo(snr, 4);
    expect(metric!.exact).toBe(false);
    const { metric: same } = await measure(detector("b"), data, { reference, batchSize });
    expect(same).toMatchObject({ value: Infinity, exact: true });
  });

  test("low fidelity is a warning that names the output", async () => {
    const data = detections(img.map((v) => v / 2)); // SQNR 6.02 dB
    const { reference } = await measure(detector("b"), data, { keepBytes: 1e6 });
    const { warnings } = await measure(detector("c"), data, { reference });
    expect(warnings).toEqual([
      "low fidelity: output boxes has 6.0 dB SQNR (below 10 dB its error is over 30 % of it)",
    ]);
  });

  test("an output that is NaN where the original is not is no fidelity at all", async () => {
    const data = detections([...out.slice(1), Number.NaN]);
    const { reference } = await measure(detector("b"), data, { keepBytes: 1e6 });
    const { metric, warnings } = await measure(detector("c"), data, { reference });
    expect(metric).toMatchObject({ value: Number.NEGATIVE_INFINITY, exact: false });
    expect(warnings).toEqual([
      "low fidelity: output boxes is NaN or infinite where the original is not",
    ]);
  });

  test("a state whose batch is its second axis is compared one record at a time", async () => {
    const recurrent = (state: string) =>
      tinyModel({
        inputs: [
          { name: "a", dims: ["N", 2] },
          { name: state, dims: [2, "N", 1] },
        ],
        outputs: [
          { name: "y", dims: ["N", 2] },
          { name: "next", dims: [2, "N", 1] },
        ],
        nodes: [
          { op: "Identity", inputs: ["a"], outputs: ["y"] },
          { op: "Identity", inputs: [state], outputs: ["next"] },
        ],
      });
    const data: Dataset = {
      ...tensorDataset({ a: floats([3, 2], [1, 2, 3, 4, 5, 6]) }),
      read: async (indices) => ({
        inputs: {
          a: floats([indices.length, 2], [1, 2]),
          s: floats([2, indices.length, 1], [1, 1]),
          t: floats([2, indices.length, 1], [1, 0.9]),
        },
        label: null,
        size: indices.length,
      }),
    };
    const options = { keepBytes: 1e6, batchSize: 1 };
    const { reference } = await measure(recurrent("s"), data, options);
    const { metric } = await measure(recurrent("t"), data, { ...options, reference });
    expect(metric!.value).toBeCloseTo(10 * Math.log10(2 / 0.01), 3);
  });

  test("a label that fits no output is an error that names both", async () => {
    const dataset = tensorDataset({ x: floats([3, 4], p) }, floats([3, 3], p.slice(0, 9)), "npz:a");
    await expect(measure(model(["N", 4]), dataset)).rejects.toThrow(/npz:a.*\[3,3\].*y \[3,4\]/);
  });
});

describe("batches", () => {
  test("a fixed batch is filled up, and what was filled in is not counted", async () => {
    const values = Array.from({ length: 20 }, (_, i) => (i * 7) % 11);
    const dataset = tensorDataset({ x: floats([5, 4], values) }, indices([0, 1, 2, 3, 0]));
    const free = await measure(model(["N", 4]), dataset, { keepBytes: 1e6 });
    for (const batch of [1, 2, 3, 5, 8]) {
      const { metric } = await measure(model([batch, 4]), dataset, { reference: free.reference });
      expect(metric).toMatchObject({ value: free.metric!.value, n: 5, flips: 0, sqnr: Infinity });
    }
  });

  const fold = (shape: bigint[], out: TinyPort["dims"]) =>
    tinyModel({
      inputs: [{ name: "x", dims: ["N", 4] }],
      outputs: [{ name: "y", dims: out }],
      nodes: [{ op: "Reshape", inputs: ["x", "shape"], outputs: ["y"] }],
      weights: [
        { name: "shape", dtype: "int64", dims: [shape.length], data: BigInt64Array.from(shape) },
      ],
    });
  test.each([
    ["fails in any other", [1n, 4n], [1, 4]],
    ["mixes the records of any other", [1n, -1n], [1, "M"]],
  ] as const)("a batch of 1 fixed inside a graph that %s is found out", async (_, shape, out) => {
    const dataset = tensorDataset({ x: floats([3, 4], p) }, indices([0, 3, 2]));
    const { metric, warnings } = await measure(fold([...shape], out), dataset);
    expect(metric).toMatchObject({ name: "accuracy", value: 200 / 3, n: 3 });
    expect(warnings).toEqual([
      "the model takes one record at a time, though its batch axis is free",
    ]);
  });

  test("a model that always fails fails with the engine's words", async () => {
    const dataset = tensorDataset({ x: floats([3, 4], p) }, indices([0, 3, 2]));
    await expect(measure(fold([7n], [7]), dataset)).rejects.toMatchObject({ code: "run-failed" });
  });

  test("progress is told, an abort heard, an empty dataset refused", async () => {
    const told: string[] = [];
    const control = new AbortController();
    const onProgress = (done: number, total: number) => {
      told.push(`${done}/${total}`);
      if (done === 2) control.abort();
    };
    await measure(original, pairs, { batchSize: 2, onProgress });
    expect(told).toEqual(["2/3", "3/3"]);
    await expect(
      measure(original, pairs, { batchSize: 2, signal: control.signal }),
    ).rejects.toMatchObject({ code: "aborted" });
    const empty = tensorDataset({ x: floats([0, 4], []) }, indices([]));
    await expect(measure(model(["N", 4]), empty)).rejects.toMatchObject({ code: "no-records" });
  });
});

describe("implausible", () => {
  const baseline = (name: string, value: number, ci95: [number, number] | null) => ({
    name,
    value,
    ci95,
    baseline: null,
    drop: null,
    dropCi95: null,
    flips: null,
    kl: null,
    sqnr: null,
    exact: null,
    n: 500,
  });
  test.each([
    ["accuracy", 9.8, [8, 12], 10, true], // chance
    ["accuracy", 0, [0, 0.8], 10, true], // worse than chance
    ["accuracy", 2, [1.1, 3.6], 1000, false], // weak, but no accident
    ["accuracy", 60, [46, 72.4], 2, true],
    ["accuracy", 60, [31, 83], 2, false], // too few records to say
    ["accuracy", 81, [80, 82], 10, false],
    ["perplexity", 600, [500, 700], 512, true],
    ["perplexity", 4.7, [4.2, 5.3], 512, false],
    ["psnr", 5, [4, 6], null, false],
    ["snr", -3, [-4, -2], null, false],
  ] as const)("%s %d %o of %s classes: %s", (name, value, ci95, classes, expected) => {
    const error = implausible(baseline(name, value, [...ci95]), classes, "mnist:test");
    expect(error !== null).toBe(expected);
    if (error) {
      expect(error.code).toBe("implausible-baseline");
      for (const option of ["--mean", "--std", "--scale", "--label-offset"]) {
        expect(error.message).toContain(option);
      }
    }
  });
});

describe("shared models reach their published scores", () => {
  const file = (path: string) => new Uint8Array(readFileSync(assets(path)!));
  const cases = [
    ["kws_dscnn", "kws/kws01_1000", "accuracy", 90.1],
    ["sst2_transformer", "sst2/test", "accuracy", 78.47],
    ["stories260k", "stories/tinystories_ids", "perplexity", 4.736],
  ] as const;
  test.skipIf(!assets("data")).each(cases)("%s on %s", async (name, data, metricName, value) => {
    const { label, ...inputs } = readNpz(assets(`data/${data}.npz`)!) as { label: Tensor };
    const dataset = tensorDataset(inputs, label, data);
    const { metric, classes, warnings } = await measure(file(`models/${name}.onnx`), dataset);
    expect(metric!.name).toBe(metricName);
    expect(metric!.value).toBeCloseTo(value, metricName === "perplexity" ? 3 : 2);
    if (metricName === "perplexity") expect(metric!.accuracy).toBeCloseTo(61.28, 2);
    expect(warnings).toEqual([]);
    expect(implausible(metric!, classes, data)).toBeNull();
  });
});
