/**
 * @file A small detector, trained here on drawn shapes, keeps its boxes in int8. It is what detectors
 * are made of: SiLU, depthwise convolutions, boxes and scores of a grid in one output.
 */
import { beforeAll, expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { metricNamed } from "../../src/measure/metrics/index.ts";
import { createRandom, type Random } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { applyRecipe } from "../../src/recipe/apply.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { trainModel } from "../../src/recipe/train.ts";
import { trainOptions } from "../../src/train/options.ts";
import { environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { floats, judgeOf } from "../support/judge.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

/** Side of a picture, of the grid of places, and pixels between two places. */
const [SIDE, GRID, STEP] = [32, 8, 4];
const PLACES = GRID * GRID;
/** Boxes are measured in units of so many pixels, which makes their errors as large as those of scores. */
const UNIT = 8;

interface Shape {
  /** 0: a rectangle, 1: an ellipse. */
  readonly kind: number;
  /** Centre and size in pixels. */
  readonly box: readonly [x: number, y: number, w: number, h: number];
}

/** One shape in the left half of the picture and one in the right half, in noise. */
function drawPicture(picture: Float32Array, random: Random): Shape[] {
  for (let i = 0; i < picture.length; i++) picture[i] = 0.1 * random.normal();
  return [0, 1].map((half) => {
    const kind = random.int(2);
    const [w, h] = [7 + 7 * random.float(), 7 + 7 * random.float()];
    const x = (half * SIDE) / 2 + w / 2 + (SIDE / 2 - w) * random.float();
    const y = h / 2 + (SIDE - h) * random.float();
    const light = 0.6 + 0.4 * random.float();
    for (let row = 0; row < SIDE; row++) {
      for (let column = 0; column < SIDE; column++) {
        const [dx, dy] = [(column + 0.5 - x) / (w / 2), (row + 0.5 - y) / (h / 2)];
        const isIn =
          kind === 1 ? dx * dx + dy * dy <= 1 : Math.max(Math.abs(dx), Math.abs(dy)) <= 1;
        if (isIn) picture[row * SIDE + column] += light;
      }
    }
    return { kind, box: [x, y, w, h] };
  });
}

/** What the output [6, places] is to be: the nearest shape's box, and 1 for its kind near its centre. */
function targetOf(shapes: readonly Shape[]): Float32Array {
  const target = new Float32Array(6 * PLACES);
  for (let i = 0; i < PLACES; i++) {
    const [x, y] = [((i % GRID) + 0.5) * STEP, (Math.floor(i / GRID) + 0.5) * STEP];
    const away = ({ box }: Shape) => Math.hypot(box[0] - x, box[1] - y);
    const [nearest] = shapes.toSorted((a, b) => away(a) - away(b));
    for (const [k, side] of nearest.box.entries()) target[k * PLACES + i] = side / UNIT;
    if (away(nearest) < STEP) target[(4 + nearest.kind) * PLACES + i] = 1;
  }
  return target;
}

function pictures(count: number, seed: number) {
  const random = createRandom(seed).fork("detector");
  const image = new Float32Array(count * SIDE * SIDE);
  const target = new Float32Array(count * 6 * PLACES);
  const shapes = Array.from({ length: count }, (_, i) => {
    const own = drawPicture(image.subarray(i * SIDE * SIDE, (i + 1) * SIDE * SIDE), random);
    target.set(targetOf(own), i * 6 * PLACES);
    return own;
  });
  const x = tensor("float32", [count, 1, SIDE, SIDE], image);
  return { x, target: tensor("float32", [count, 6, PLACES], target), shapes };
}

function detector(): Model {
  const random = createRandom(2).fork("weights");
  const conv = (g: Builder, x: Value, inputs: number, outputs: number, k = 1, stride = 1) => {
    const group = k === 3 && inputs === outputs ? inputs : 1;
    const size = (outputs * inputs * k * k) / group;
    const scale = Math.sqrt(3 / (size / outputs));
    const weight = Float32Array.from({ length: size }, () => scale * random.normal());
    return g.Conv(
      x,
      g.constant(weight, { shape: [outputs, inputs / group, k, k] }),
      g.constant(new Float32Array(outputs)),
      { group, strides: [stride, stride], pads: [k >> 1, k >> 1, k >> 1, k >> 1] },
    );
  };
  const silu = (g: Builder, x: Value) => g.Mul(x, g.Sigmoid(x));
  /** Depthwise 3x3, pointwise. */
  const block = (g: Builder, x: Value, inputs: number, outputs: number, stride = 1) => {
    const wide = silu(g, conv(g, x, inputs, inputs, 3, stride));
    return silu(g, conv(g, wide, inputs, outputs));
  };
  const grid = new Float32Array(4 * PLACES);
  for (let i = 0; i < PLACES; i++) {
    grid[i] = (((i % GRID) + 0.5) * STEP) / UNIT;
    grid[PLACES + i] = ((Math.floor(i / GRID) + 0.5) * STEP) / UNIT;
    grid[2 * PLACES + i] = grid[3 * PLACES + i] = 10 / UNIT;
  }
  return layerModel(["N", 1, SIDE, SIDE], (g, image) => {
    let x = silu(g, conv(g, image, 1, 16, 3, 2));
    x = block(g, x, 16, 32, 2);
    x = g.Add(x, block(g, x, 32, 32));
    x = g.Add(x, block(g, x, 32, 32));
    const flat = (y: Value, n: number) => g.Reshape(y, g.ints([-1, n, PLACES]));
    const boxes = g.Add(flat(conv(g, x, 32, 4), 4), g.constant(grid, { shape: [4, PLACES] }));
    const scores = g.Sigmoid(flat(conv(g, x, 32, 2), 2));
    return g.Concat(boxes, scores, { axis: 1 });
  });
}

const test100 = pictures(100, 9);

async function rowsOf(bytes: Uint8Array): Promise<Float32Array[]> {
  const { y } = await outputsOf(bytes, { x: test100.x });
  const all = y.floats();
  return Array.from({ length: 100 }, (_, i) => all.slice(i * 6 * PLACES, (i + 1) * 6 * PLACES));
}

/** Mean average precision of the boxes, percent, on pictures that nothing was trained on. */
async function precisionOf(bytes: Uint8Array): Promise<number> {
  const rows = test100.shapes.map((shapes) =>
    shapes.flatMap(({ kind, box: [x, y, w, h] }) => [
      kind,
      ...[x - w / 2, y - h / 2, x + w / 2, y + h / 2].map((side) => side / UNIT),
    ]),
  );
  const shape = [6, PLACES];
  const judge = judgeOf("detection", { y: floats([1, ...shape]) }, floats([1, 2, 5]));
  for (const [i, values] of (await rowsOf(bytes)).entries()) {
    judge.add([[...values], shape], [rows[i], [2, 5]], null);
  }
  return judge.finish().value ?? 0;
}

/** F1 of the boxes against the float model's, percent. */
async function agreementOf(bytes: Uint8Array, float: Uint8Array): Promise<number> {
  const shape = [6, PLACES];
  const judge = judgeOf("detection", { y: floats([1, ...shape]) });
  const [own, original] = [await rowsOf(bytes), await rowsOf(float)];
  for (const [i, values] of own.entries()) {
    judge.add([[...values], shape], null, [[...original[i]], shape]);
  }
  return judge.finish().value ?? 0;
}

const env = environmentOf(nets[0], {
  calibration: tensorDataset({ x: pictures(128, 5).x }),
  metric: metricNamed("detection", "test"),
  feeds: { x: pictures(2, 6).x },
});
let model: Model;
let float: Uint8Array;

beforeAll(async () => {
  const { x, target } = pictures(3000, 3);
  model = detector();
  const options = { epochs: 30, batch: 32, rate: 0.01, holdout: 0, loss: "mse" };
  const training = tensorDataset({ x }, target);
  await trainModel(
    model,
    trainOptions.parse(options),
    {},
    { ...env, training },
    {
      label: "train",
      original: model,
    },
  );
  float = concat(writeModel(model));
}, 600_000);

test("the detector finds what was drawn", async () => {
  const map = await precisionOf(float);
  console.log(`mAP of float32: ${map.toFixed(1)} %`);
  expect(map).toBeGreaterThan(80);
});

test("in int8 it finds 95 % of the same, with few layers in float", async () => {
  // 3 points on calibration records, so that other records lose no more than 5.
  const recipe = parseRecipe("quantize-int8:tolerance=3");
  const { bytes, warnings } = await applyRecipe(model, recipe, env, { anySize: true });
  const f1 = await agreementOf(bytes, float);
  console.log(`F1 of int8: ${f1.toFixed(1)} %, mAP ${(await precisionOf(bytes)).toFixed(1)} %`);
  console.log(warnings.join("\n"));
  expect(f1).toBeGreaterThanOrEqual(95);
  expect(await agreementOf(float, float)).toBe(100);
});
