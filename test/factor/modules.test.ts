/** @file Compact modules in the place of convolutions that are such modules: nothing may change. */
import { describe, expect, test } from "vitest";
import { fitFeatures } from "../../src/factor/features.ts";
import type { Value } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import type { MethodId } from "../../src/methods/index.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(8);
const normal = (size: number) => Float32Array.from({ length: size }, () => random.normal());
const [C, N, SIDE] = [12, 16, 9];
const MIDDLE = 4;

const convolution = (weights: Float32Array, attributes: object) =>
  layerModel(["B", C, SIDE, SIDE], (g: Builder, x: Value) => {
    const w = g.constant(weights, { shape: [N, C, 3, 3] });
    const given = { kernel_shape: [3, 3], ...attributes };
    return g.Relu(g.Conv(x, w, g.constant(normal(N)), given));
  });

const at = (o: number, c: number, p: number) => (o * C + c) * 9 + p;

/** Two positions of each channel. */
function shifts(): Float32Array {
  const w = new Float32Array(N * C * 9);
  for (let c = 0; c < C; c++) {
    for (const p of [c % 9, (c + 4) % 9])
      for (let o = 0; o < N; o++) w[at(o, c, p)] = random.normal();
  }
  return w;
}

/** Three mixed channels, of which every other output reads the middle alone. */
function squeezed(): Float32Array {
  const [mix, w] = [normal(3 * C), new Float32Array(N * C * 9)];
  for (let o = 0; o < N; o++) {
    for (let k = 0; k < 3; k++) {
      for (let p = 0; p < 9; p++) {
        const weight = o % 2 === 0 && p !== MIDDLE ? 0 : random.normal() * (p === MIDDLE ? 1 : 3);
        for (let c = 0; c < C; c++) w[at(o, c, p)] += weight * mix[k * C + c];
      }
    }
  }
  return w;
}

/** Outputs 0, 2, 4 ... of one position; each output behind is a 3x3 filter of the one before. */
function ghosts(): Float32Array {
  const w = new Float32Array(N * C * 9);
  for (let o = 0; o < N; o += 2) {
    const [mix, filter] = [normal(C), normal(9)];
    for (let c = 0; c < C; c++) {
      w[at(o + 1, c, MIDDLE)] = mix[c];
      for (let p = 0; p < 9; p++) w[at(o, c, p)] = mix[c] * filter[p];
    }
  }
  return w;
}

const x = { x: tensor("float32", [2, C, SIDE, SIDE], normal(2 * C * SIDE * SIDE)) };
const env = environmentOf(nets[0], { feeds: x, calibration: tensorDataset(x) });
const plain = { energy: 0.999999, weighting: "none", multiple: 1 };

const same = { pads: [1, 1, 1, 1] };
const halved = { pads: [1, 1, 1, 1], strides: [2, 2] };
const cases: [MethodId, () => Float32Array, object, number[][]][] = [
  [
    "shift",
    shifts,
    same,
    [
      [2 * C, 1, 3, 3],
      [N, 2 * C, 1, 1],
    ],
  ],
  [
    "shift",
    shifts,
    { ...halved, pads: [0, 1, 1, 0] },
    [
      [2 * C, 1, 3, 3],
      [N, 2 * C, 1, 1],
    ],
  ],
  [
    "fire",
    squeezed,
    same,
    [
      [3, C, 1, 1],
      [N / 2, 3, 1, 1],
      [N / 2, 3, 3, 3],
    ],
  ],
  [
    "fire",
    squeezed,
    { ...halved, pads: [0, 1, 0, 1] },
    [
      [3, C, 1, 1],
      [N / 2, 3, 1, 1],
      [N / 2, 3, 3, 3],
    ],
  ],
  [
    "ghost",
    ghosts,
    same,
    [
      [N / 2, C, 3, 3],
      [N / 2, 1, 3, 3],
    ],
  ],
];

describe.each(cases)("%s", (id, weights, attributes, shapes) => {
  test(`finds what is there, with ${JSON.stringify(attributes)}`, async () => {
    const model = convolution(weights(), attributes);
    const before = await outputsOf(concat(writeModel(model)), x);
    const { model: made, bytes, skipped } = await apply(model, id, plain, env);
    expect(skipped).toEqual([]);
    expect(weightsOf(made).map(({ value }) => value.shape)).toEqual(shapes);
    expect(relativeError(before, await outputsOf(bytes, x))).toBeLessThan(1e-4);
    const weighted = await apply(model, id, { ...plain, weighting: "activations" }, env);
    expect(weightsOf(weighted.model).map(({ value }) => value.shape)).toEqual(shapes);
    expect(relativeError(before, await outputsOf(weighted.bytes, x))).toBeLessThan(1e-3);
  });
});

test("features are fitted by least squares", () => {
  // W = X T + noise that T cannot see: t1 = (1, 1, 0, 0), t2 = (0, 1, 1, 0).
  const features = Float64Array.of(1, 1, 0, 0, 0, 1, 1, 0);
  const outputs = Float64Array.of(2, 5, 3, 0, 0, 0, 0, 7, 1, 0, 0, 0);
  const { weights, errors } = fitFeatures(outputs, features, 4);
  const expected = [2, 3, 0, 0, 2 / 3, -1 / 3];
  for (const [i, value] of expected.entries()) expect(weights[i]).toBeCloseTo(value, 6);
  for (const [i, value] of [0, 49, 1 / 3].entries()) expect(errors[i]).toBeCloseTo(value, 6);
});
