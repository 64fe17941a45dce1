/** @file Metrics named by the user, through ONNX Runtime: the table's and one of the user's own. */
import { describe, expect, test } from "vitest";
import type { Dataset } from "../../src/data/dataset.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { measureMetric } from "../../src/measure/metric.ts";
import { metricNamed } from "../../src/measure/metrics/index.ts";
import type { MetricSpec } from "../../src/measure/metrics/spec.ts";
import { ownMetric, specOfOwn } from "../../src/measure/own-metric.ts";
import { openNodeRuntime } from "../../src/runtime/ort-node.ts";
import { tensorDataset } from "../support/dataset.ts";
import { tinyModel } from "../support/tiny.ts";

const floats = (shape: number[], values: readonly number[]) => tensor("float32", shape, values);

/** A model that gives its inputs as its outputs: `boxes` and `scores` of p or of q. */
const detector = (version: "p" | "q"): Uint8Array =>
  tinyModel({
    inputs: [
      { name: `${version}b`, dims: ["N", 3, 4] },
      { name: `${version}s`, dims: ["N", 3, 1] },
    ],
    outputs: [
      { name: "scores", dims: ["N", 3, 1] },
      { name: "boxes", dims: ["N", 3, 4] },
    ],
    nodes: [
      { op: "Identity", inputs: [`${version}b`], outputs: ["boxes"] },
      { op: "Identity", inputs: [`${version}s`], outputs: ["scores"] },
    ],
  });

const row = [0, 0, 4, 4, 10, 0, 14, 4, 20, 0, 24, 4];
const pb = floats([2, 3, 4], [...row, ...row]);
const ps = floats([2, 3, 1], [0.9, 0.8, 0.7, 0.9, 0.1, 0.1]);
// In the second record the box is elsewhere; in the first the third is too unsure.
const qb = floats([2, 3, 4], [...row, 0, 30, 4, 34, ...row.slice(4)]);
const qs = floats([2, 3, 1], [0.9, 0.8, 0.2, 0.9, 0.1, 0.1]);
const records = tensorDataset({ pb, ps, qb, qs }, null as never, "faces");
const unlabelled: Dataset = {
  ...records,
  labelled: false,
  read: async (indices) => ({ ...(await records.read(indices)), label: null }),
};

async function both(dataset: Dataset, metric: MetricSpec | null) {
  const runtime = await openNodeRuntime();
  const measure = async (bytes: Uint8Array, options: object) => {
    const session = await runtime.open({ bytes });
    try {
      return await measureMetric({ session, dataset, metric, ...options });
    } finally {
      await session.close();
    }
  };
  const original = await measure(detector("p"), { keepBytes: 1e6 });
  const product = await measure(detector("q"), { reference: original.reference });
  return { original, product };
}

describe("detection against the original", () => {
  test("is guessed from boxes and scores, which is said; the original is its own measure", async () => {
    const { original, product } = await both(unlabelled, null);
    expect(original.metric).toMatchObject({ name: "detection", value: 100, against: "original" });
    expect(original.note).toMatch(/^guessed from the outputs: judged by detection against/);
    // Kept 2, lost 2, new 1.
    expect(product.metric).toMatchObject({
      ...{ baseline: 100, words: "F1, 2 of 4 boxes lost, 1 new", flips: 60, n: 2 },
    });
    expect(product.metric!.value).toBeCloseTo(400 / 7, 9);
    expect(product.metric!.drop).toBeCloseTo(100 - 400 / 7, 9);
    expect(product.metric!.sqnr).not.toBeNull();
    expect(product.note).toBeNull();
  });

  test("its options are its own", async () => {
    const { product } = await both(unlabelled, metricNamed("detection:score=0.75", "test"));
    expect(product.metric!.words).toBe("F1, 1 of 3 boxes lost, 1 new");
  });

  test("a metric that needs labels is refused without them", async () => {
    await expect(both(unlabelled, metricNamed("accuracy", "test"))).rejects.toThrow(
      "--metric accuracy: cannot judge this: faces has no labels. Give labelled data, or",
    );
  });

  test("labels that a named metric cannot use are left out, which is said", async () => {
    const labelled: Dataset = {
      ...unlabelled,
      labelled: true,
      read: async (indices) => ({
        ...(await unlabelled.read(indices)),
        label: tensor("int64", [indices.length], indices as number[]),
      }),
    };
    const { original, product } = await both(labelled, metricNamed("detection", "test"));
    expect(original.note).toMatch(/the labels are left out, because a label of shape \[2\]/);
    expect(product.metric!.words).toBe("F1, 2 of 4 boxes lost, 1 new");
  });
});

describe("a metric of one's own", () => {
  const largest = () => {
    let [sum, n] = [0, 0];
    return ownMetric({
      name: "mean-gap",
      higherIsBetter: false,
      outputs: ["scores"],
      add({ scores }, _, original) {
        sum += Math.max(...scores.values.map((x, i) => Math.abs(x - original!.scores.values[i])));
        n++;
      },
      finish: () => ({ value: sum / n, ci95: [0, 1], words: `over ${n}` }),
    });
  };

  test("judges the original beside its own outputs, then the product", async () => {
    const { original, product } = await both(unlabelled, specOfOwn(largest, "./mine.ts"));
    expect(original.metric).toMatchObject({ name: "mean-gap", value: 0 });
    expect(product.metric).toMatchObject({ name: "mean-gap", baseline: 0, words: "over 2" });
    expect(product.metric!.value).toBeCloseTo(0.25, 6); // 0.5 and 0
    expect(product.metric!.drop).toBeCloseTo(0.25, 6);
    expect(product.metric!.about).toMatchObject({ higherIsBetter: false, unit: "" });
  });

  test("the example of the documentation: the original first, then its distance", async () => {
    const example = await import(new URL("../../examples/own-metric.ts", import.meta.url).href);
    const { original, product } = await both(unlabelled, specOfOwn(example.default, "./mine.ts"));
    expect(original.metric).toMatchObject({ name: "mean-error", value: 0 });
    // The first output, scores: 0.5 of 6 numbers.
    expect(product.metric!.value).toBeCloseTo(0.5 / 6, 6);
    expect(product.metric!.words).toBe("over 6 numbers");
  });

  test("an output that the model lacks is named", async () => {
    const spec = specOfOwn({ ...largest(), outputs: ["scors"] }, "./mine.ts");
    await expect(both(unlabelled, spec)).rejects.toThrow('no output "scors" (but scores)');
  });

  test.each<[unknown, string]>([
    [3, "its default export is no metric"],
    [{ name: "Mine" }, "has no name in kebab-case"],
    [{ name: "detection" }, "which is one of tersor's own"],
    [{ name: "mine" }, "does not say whether higherIsBetter"],
    [{ name: "mine", higherIsBetter: true }, "has no function add"],
    [{ name: "mine", higherIsBetter: true, add() {} }, "has no function finish"],
  ])("%o is refused", (given, message) => {
    expect(() => specOfOwn(given, "./mine.ts")).toThrow(message);
  });
});
