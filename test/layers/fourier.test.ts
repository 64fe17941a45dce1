/** @file Products of spectra against the plain sums of a convolution, for every way to cut the map. */
import { describe, expect, test } from "vitest";
import { cloneModel } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import {
  replaceBySpectra,
  type Shapes,
  shapesOf,
  spectrumShape,
} from "../../src/layers/fourier.ts";
import { type Layer, layerOf } from "../../src/layers/matrix.ts";
import { type Plan, plansOf } from "../../src/numeric/fourier.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { fourier } from "../../src/weights/forms/fourier.ts";
import { layersOf } from "../../src/weights/sites.ts";
import { composed } from "../../src/weights/weight.ts";
import { outputsOf } from "../support/apply.ts";
import { type Convolution, convolve } from "../support/convolve.ts";
import { layerModel } from "../support/layer.ts";

const RECORDS = 2;
const random = createRandom(3);
const some = (size: number) => Float32Array.from({ length: size }, () => random.normal());
const count = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);

type Case = Convolution & { readonly bias?: boolean };
const alike = (channels: number) => ({ inputs: channels, outputs: channels, groups: channels });

const cases: Record<string, Case> = {
  "depthwise, odd filter": { ...alike(8), size: [9, 14], taps: [5, 3], pads: [2, 1, 2, 1] },
  "depthwise, even filter": { ...alike(8), size: [14, 9], taps: [4, 6], pads: [1, 3, 2, 2] },
  "depthwise, filter larger than the map": {
    ...{ ...alike(4), size: [7, 6], taps: [13, 11], pads: [6, 5, 6, 5], bias: true },
  },
  "depthwise, uneven padding": { ...alike(8), size: [11, 8], taps: [3, 5], pads: [0, 4, 5, 0] },
  "depthwise, no padding": { ...alike(8), size: [11, 16], taps: [5, 4], pads: [0, 0, 0, 0] },
  "two outputs for each input": {
    ...{ inputs: 5, outputs: 10, groups: 5, size: [9, 7], taps: [3, 4], pads: [1, 1, 1, 2] },
    bias: true,
  },
  dense: {
    ...{ inputs: 3, outputs: 5, groups: 1, size: [10, 13], taps: [5, 7], pads: [2, 3, 2, 3] },
    bias: true,
  },
  groups: { inputs: 6, outputs: 9, groups: 3, size: [12, 7], taps: [5, 2], pads: [2, 1, 2, 0] },
  "line, depthwise": { ...alike(6), size: [83], taps: [16], pads: [7, 8], bias: true },
  "line, dense, odd filter": {
    ...{ inputs: 3, outputs: 4, groups: 1, size: [60], taps: [21], pads: [20, 0], bias: true },
  },
  "line, groups, no padding": {
    ...{ inputs: 4, outputs: 6, groups: 2, size: [50], taps: [17], pads: [0, 0] },
  },
};

const modelOf = (one: Case, weights: Float32Array, bias: Float32Array | null) =>
  layerModel(["N", one.inputs, ...one.size], (g, x) => {
    const shape = [one.outputs, one.inputs / one.groups, ...one.taps];
    const attributes = { kernel_shape: one.taps, pads: one.pads, group: one.groups };
    return g.Conv(x, g.constant(weights, { shape }), bias && g.constant(bias), attributes);
  });

/** The layer of the model, and the shapes that its spectra have. */
function layerIn(model: ReturnType<typeof modelOf>): { layer: Layer; shapes: Shapes } {
  inferModel(model);
  const [site] = layersOf(model, { only: [], except: [] }, { skip() {} });
  const layer = layerOf(site, { grouped: true }) as Layer;
  return { layer, shapes: shapesOf(layer) as Shapes };
}

describe("spectra", () => {
  test.each(Object.keys(cases))("%s: are the convolution, however it is cut", async (name) => {
    const one = cases[name];
    const weights = some((count(one.taps) * one.inputs * one.outputs) / one.groups);
    const bias = one.bias ? some(one.outputs) : null;
    const x = some(RECORDS * one.inputs * count(one.size));
    const expected = convolve(x, weights, bias, one);
    const largest = Math.max(...expected.values.map(Math.abs));
    const model = modelOf(one, weights, bias);
    const { shapes } = layerIn(model);
    const plans: Plan[] = plansOf(shapes.axes, shapes.channels, Infinity);
    expect(plans.length).toBeGreaterThan(2);
    for (const plan of plans) {
      const copy = cloneModel(model);
      const own = layerIn(copy);
      const u = composed(fourier, spectrumShape(own.shapes, plan), { kernel: own.layer.weight });
      replaceBySpectra(own.layer, own.shapes, plan, u);
      const input = tensor("float32", [RECORDS, one.inputs, ...one.size], x);
      const { y } = await outputsOf(concat(writeModel(copy)), { x: input });
      expect(y.shape).toEqual(expected.shape);
      const errors = expected.values.map((value, i) => Math.abs(value - y.floats()[i]));
      expect(Math.max(...errors) / largest).toBeLessThan(5e-6);
    }
  });

  test("of a picture are tried whole and cut along either axis or both", () => {
    const axis = { size: 64, taps: 5, begin: 2, end: 2, result: 64 };
    const plans = plansOf([axis, axis], { inputs: 8, outputs: 8, groups: 1 }, Infinity);
    const kinds = plans.map(({ tiles }) => tiles.map((tile) => tile > 1).join());
    expect(kinds.sort()).toEqual(["false,false", "false,true", "true,false", "true,true"]);
  });

  test("have enough points that what comes around misses the outputs", () => {
    const axes = [{ size: 50, taps: 9, begin: 8, end: 0, result: 50 }];
    for (const { spans, steps, tiles } of plansOf(axes, alike(4), Infinity)) {
      expect(spans[0].points * spans[1].points).toBeGreaterThanOrEqual(steps[0] + 8);
      expect(steps[0] * tiles[0]).toBeGreaterThanOrEqual(50);
    }
  });
});
