/** @file Rate-distortion quantization keeps its promise of error, and beats rounding at the same error. */
import { expect, test } from "vitest";
import { CONTEXT } from "../../src/codec/decode/symbols.ts";
import { encodeWith } from "../../src/codec/encode/symbols.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { readWeight } from "../../src/weights/read.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { kindOf, partOf } from "../support/layer.ts";
import { type Net, nets } from "../support/nets.ts";

const net = nets.find(({ name }) => name === "conv") as Net;
const before = weightsOf(net.model).map(({ value }) => readWeight(value)!);
const power = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, w) => sum + w * w, 0);

const distortion = 0.06;
const { model } = await apply(net.model, "quantize-rate", { distortion }, environmentOf(net));
const layers = weightsOf(model).flatMap(({ value }, i) => {
  const weight = readWeight(value)!;
  if (kindOf(weight) !== "grid") return [];
  const error = power(weight.values.map((w, j) => w - before[i].values[j]));
  return [{ weight, original: before[i].values, error }];
});

const bytesOf = (q: ArrayLike<number>, dims: readonly number[]): number =>
  encodeWith(CONTEXT, Int32Array.from(q), dims).bytes.length;

test("the error is as large as it may be, and no larger", () => {
  expect(layers.length).toBeGreaterThan(1);
  // Every layer's energy counts the same.
  const shares = layers.map(({ error, original }) => error / power(original));
  const mean = shares.reduce((a, b) => a + b, 0) / shares.length;
  expect(mean).toBeLessThanOrEqual(distortion * 1.0001);
  expect(mean).toBeGreaterThan(distortion * 0.9);
});

test("takes fewer bytes than rounding with the same error", () => {
  let [ours, rounded] = [0, 0];
  for (const { weight, original, error } of layers) {
    ours += bytesOf(partOf(weight, "levels"), weight.shape);
    let [low, high] = [1e-6, 10];
    for (let round = 0; round < 40; round++) {
      const step = Math.sqrt(low * high);
      const worse = power(original.map((w) => w - step * Math.round(w / step))) > error;
      if (worse) high = step;
      else low = step;
    }
    rounded += bytesOf(
      original.map((w) => Math.round(w / low)),
      weight.shape,
    );
  }
  expect(ours).toBeLessThan(0.99 * rounded);
});

test("what lies on a grid stays on it", async () => {
  const again = await apply(model, "quantize-rate", { distortion: 0.1 }, environmentOf(net));
  const steps = weightsOf(again.model).flatMap(({ value }) => {
    const weight = readWeight(value)!;
    return kindOf(weight) === "grid" ? [partOf(weight, "scale")[0]] : [];
  });
  expect(steps).toEqual(layers.map(({ weight }) => partOf(weight, "scale")[0]));
});
