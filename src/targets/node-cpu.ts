/** @file Target: x64 processors with VNNI (or AVX-VNNI), in ONNX Runtime's native build. */
import { figures, measured, published, type TargetDevice } from "./target.ts";

const bench = measured("npm run bench:targets");

export const nodeCpu: TargetDevice = {
  id: "node-cpu",
  title: "x64 with VNNI, native",
  engine: "node",
  // Chains of equal layers with a Relu between (docs/engine.md, "Where int8 arithmetic is faster").
  int8: {
    spatial: [
      [8, 0.8],
      [16, 1.1],
      [32, 1.8],
      [64, 2.7],
      [128, 3.4],
    ],
    line: [
      [16, 1.2],
      [64, 2.5],
      [256, 4.2],
    ],
    pointwise: {
      16: [[1, 0.9]],
      32: [
        [14, 0.95],
        [56, 1.35],
      ],
      64: [
        [4, 0.94],
        [7, 1.26],
        [14, 1.6],
        [56, 2],
      ],
      128: [
        [1, 0.9],
        [4, 1.4],
        [7, 1.8],
        [14, 2.4],
      ],
      256: [[1, 2.8]],
    },
    depthwise: {
      by: "channels",
      curve: [
        [16, 0.45],
        [64, 0.63],
        [256, 0.75],
        [512, 0.85],
      ],
      line: 2,
    },
    grouped: [
      [16, 0.74],
      [32, 1.35],
      [64, 2],
    ],
    products: {
      64: [
        [16, 0.95],
        [64, 1.15],
      ],
      128: [
        [4, 0.85],
        [16, 1.2],
        [64, 1.7],
      ],
      256: [[1, 2.4]],
    },
    takesDepthwiseAlong: true,
    // With the curves above, what makes two text models (PP-OCRv4) as fast as they are in int8
    // (docs/cookbook.md).
    conversion: 20,
  },
  saturates: null,
  channelBlock: 16,
  facts: {
    "static-int8": figures(bench, {
      "product-1": 2.06,
      "product-128": 3.3,
      dense: 3.25,
      pointwise: 2.12,
      depthwise: 0.65,
      gate: 1.44,
    }),
    "dynamic-int8": figures(bench, {
      "product-1": 2.03,
      "product-128": 3.26,
      dense: 0.26,
      pointwise: 0.26,
      depthwise: 0.04,
    }),
    "weights-8": figures(bench, { "product-1": 2.04, "product-128": 1.57 }),
    "weights-4": figures(bench, { "product-1": 2.27, "product-128": 1.51 }),
    "weights-2": figures(bench, { "product-1": 2.36, "product-128": 1.47 }),
    "rows-4": figures(bench, { "look-up": 0.19 }),
    float16: figures(bench, {
      "product-1": 0.92,
      "product-128": 0.98,
      dense: 0.99,
      pointwise: 1.01,
      depthwise: 0.98,
      gate: 1.02,
    }),
  },
  limits: [
    {
      bytes: 2 ** 31,
      what: "a model without external data, which protobuf holds in one message",
      source: published("https://protobuf.dev/programming-guides/proto-limits/"),
    },
  ],
  notes: [
    {
      text: "Activations have to be uint8: products of two int8 factors have no fast kernels on x64.",
      source: published(
        "https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html",
      ),
    },
    {
      text: "float16 arithmetic is computed in float32, with casts around it: half the file, no speed.",
      source: bench,
    },
  ],
};
