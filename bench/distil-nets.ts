/** @file What bench/distil.ts trains: its small networks, and records drawn from a seed. */
import { strToU8, zipSync } from "fflate";
import type { Value } from "../src/ir/graph.ts";
import type { Layers } from "../src/nets/layers.ts";
import { defineNet } from "../src/nets/net.ts";
import { createRandom, type Random } from "../src/numeric/random.ts";

const digits = { input: [1, 28, 28], classes: 10 } as const;

/** Fully connected layers with ReLU: `depth` hidden layers of `width` units. */
const perceptron = (depth: number, width: number) =>
  defineNet({
    title: `${depth} hidden layers of ${width} units`,
    cite: "Hinton et al. 2015, arXiv 1503.02531, section 3",
    ...digits,
    draw({ dense, relu }, image, classes) {
      let x = image;
      for (let i = 0; i < depth; i++) x = relu(dense(x, width));
      return dense(x, classes, { scale: 0.1 });
    },
  });

/** Three strided convolutions, then the centre and the size of the box: [x, y, width, height]. */
const locator = (width: number) =>
  defineNet({
    title: `a locator of ${width} channels`,
    cite: "after Chen et al. 2017, Learning efficient object detection models with distillation",
    input: [1, SIZE, SIZE],
    classes: 4,
    draw(layers, image, outputs) {
      return layers.dense(features(layers, image, width), outputs, { scale: 0.1 });
    },
  });

function features({ conv, relu }: Layers, image: Value, width: number): Value {
  let x = image;
  for (const factor of [1, 2, 2]) x = relu(conv(x, factor * width, 3, { stride: 2, pad: 1 }));
  return x;
}

/** Side of the drawn pictures. */
const SIZE = 24;

export const nets = {
  "2 x 30": perceptron(2, 30),
  "2 x 800": perceptron(2, 800),
  "20 x 24": perceptron(20, 24),
  "locator 16": locator(16),
  "locator 3": locator(3),
};

/**
 * A NumPy archive of `count` pictures [1, 24, 24], each with one bright rectangle or ellipse in noise,
 * and its box [x, y, width, height] in shares of the picture, to which noise of the deviation `blur`
 * is added, as careless annotators would.
 */
export function drawnShapes(count: number, seed: number, blur: number): Uint8Array {
  const random = createRandom(seed).fork("shapes");
  const image = new Float32Array(count * SIZE * SIZE);
  const label = new Float32Array(count * 4);
  for (let i = 0; i < count; i++) {
    const box = drawShape(image.subarray(i * SIZE * SIZE, (i + 1) * SIZE * SIZE), random);
    label.set(
      box.map((side) => side / SIZE + blur * random.normal()),
      i * 4,
    );
  }
  return zipSync({
    "image.npy": npy(image, [count, 1, SIZE, SIZE]),
    "label.npy": npy(label, [count, 4]),
  });
}

/** Draws a shape and noise; the box in pixels. */
function drawShape(picture: Float32Array, random: Random): number[] {
  const [w, h] = [4 + 10 * random.float(), 4 + 10 * random.float()];
  const [x, y] = [w, h].map((side) => side / 2 + (SIZE - side) * random.float());
  const isRound = random.float() < 0.5;
  const light = 0.4 + 0.6 * random.float();
  for (let row = 0; row < SIZE; row++) {
    for (let column = 0; column < SIZE; column++) {
      const [dx, dy] = [(column + 0.5 - x) / (w / 2), (row + 0.5 - y) / (h / 2)];
      const isIn = isRound ? dx * dx + dy * dy <= 1 : Math.max(Math.abs(dx), Math.abs(dy)) <= 1;
      picture[row * SIZE + column] = (isIn ? light : 0) + 0.15 * random.normal();
    }
  }
  return [x, y, w, h];
}

/** An array in NumPy's format, version 1: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
function npy(values: Float32Array, shape: readonly number[]): Uint8Array {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(", ")}), }`;
  const header = `${text.padEnd(117)}\n`;
  const start = strToU8(`\x93NUMPY\x01\x00${String.fromCharCode(header.length)}\x00`, true);
  const bytes = new Uint8Array(start.length + header.length + values.byteLength);
  bytes.set(start);
  bytes.set(strToU8(header), start.length);
  bytes.set(new Uint8Array(values.buffer), start.length + header.length);
  return bytes;
}
