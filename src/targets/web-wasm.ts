/** @file Target: pages and workers of a browser, on the processor, in ONNX Runtime's WebAssembly build. */
import { figures, type Limit, measured, published, type TargetDevice } from "./target.ts";

const bench = measured("npm run bench:targets");
const largeModels = published("https://onnxruntime.ai/docs/tutorials/web/large-models.html");

/** What holds of files that a page downloads. */
export const webLimits: readonly Limit[] = [
  {
    bytes: 25 * 2 ** 20,
    what: "a file of a static host such as Cloudflare Pages",
    source: published("https://developers.cloudflare.com/pages/platform/limits/"),
  },
  {
    bytes: 2 ** 31,
    what: "an ArrayBuffer in Chrome, and a model without external data",
    source: largeModels,
  },
  { bytes: 2 ** 32, what: "the memory of a WebAssembly module", source: largeModels },
];

export const webWasm: TargetDevice = {
  id: "web-wasm",
  title: "browser, WebAssembly",
  engine: "web",
  // Chains of equal layers with a Relu between (docs/engine.md, "Where int8 arithmetic is faster").
  int8: {
    spatial: [
      [8, 0.8],
      [16, 1.15],
      [32, 1.4],
      [64, 1.9],
      [128, 2.1],
    ],
    line: [
      [16, 0.7],
      [64, 1.1],
      [256, 1.8],
    ],
    pointwise: {
      16: [[1, 0.5]],
      64: [[1, 0.7]],
      128: [
        [4, 0.7],
        [7, 1],
      ],
      256: [
        [4, 0.93],
        [7, 1.3],
      ],
      512: [[1, 1.65]],
    },
    depthwise: {
      by: "side",
      curve: [
        [7, 0.9],
        [14, 0.45],
        [28, 0.27],
      ],
      line: 0.15,
    },
    grouped: [
      [8, 0.54],
      [16, 0.9],
      [32, 1.35],
      [64, 1.7],
    ],
    products: {
      64: [
        [16, 0.8],
        [64, 1.2],
      ],
      128: [
        [4, 0.8],
        [16, 1.36],
      ],
      256: [
        [1, 0.85],
        [4, 1.5],
        [16, 1.9],
      ],
    },
    takesDepthwiseAlong: false,
    // On five real models a region that saved 197 MACs for each element was faster, those that saved
    // 30 or less were slower.
    conversion: 100,
  },
  saturates: null,
  channelBlock: 1,
  facts: {
    "static-int8": figures(bench, {
      "product-1": 0.31,
      "product-128": 2.4,
      dense: 1.93,
      pointwise: 0.58,
      depthwise: 0.22,
      gate: 1.4,
    }),
    "dynamic-int8": figures(bench, {
      "product-1": 0.55,
      "product-128": 2.42,
      dense: 0.18,
      pointwise: 0.16,
      depthwise: 0.15,
    }),
    "weights-8": figures(bench, { "product-1": 0.06, "product-128": 0.83 }),
    "weights-4": figures(bench, { "product-1": 0.07, "product-128": 0.81 }),
    "weights-2": figures(bench, { "product-1": 0.1, "product-128": 0.84 }),
    "rows-4": figures(bench, { "look-up": 0.19 }),
    float16: figures(bench, {
      "product-1": 1.06,
      "product-128": 1,
      dense: 1,
      pointwise: 0.93,
      depthwise: 1.01,
      gate: 1.01,
    }),
  },
  limits: webLimits,
  notes: [],
};
