/** @file Target: a browser's GPU, by ONNX Runtime's WebGPU build. Nothing here can measure it. */
import { published, type TargetDevice, type Work, words } from "./target.ts";
import { webLimits } from "./web-wasm.ts";

/** The package's list of operators that have a GPU kernel: webgpu-operators.md. */
const operators = published("https://www.npmjs.com/package/onnxruntime-web/v/1.30.0");
const wrongOutputs = published("https://github.com/huggingface/transformers.js/issues/1728");
const wrongInt8 = published("https://github.com/huggingface/transformers.js/issues/1512");
const halfFloats = published("https://developer.chrome.com/blog/io24-webassembly-webgpu-2");

const layers: readonly Work[] = [
  "product-1",
  "product-128",
  "dense",
  "pointwise",
  "depthwise",
  "gate",
];
const products: readonly Work[] = ["product-1", "product-128"];
const onCpu =
  "has no kernel on the GPU: it is computed on the processor, with copies there and back";
const wrong =
  "has a kernel on the GPU, whose outputs were silently wrong on some GPUs: compare with float32 there";

export const webWebgpu: TargetDevice = {
  id: "web-webgpu",
  title: "browser, WebGPU",
  engine: "web",
  int8: null,
  saturates: null,
  channelBlock: 1,
  facts: {
    "static-int8": words(operators, layers, { problem: onCpu }),
    "dynamic-int8": words(operators, layers, { problem: onCpu }),
    "weights-8": words(wrongInt8, products, { pays: true, problem: wrong }),
    "weights-4": words(wrongOutputs, products, { pays: true, problem: wrong }),
    "rows-4": words(operators, ["look-up"], { pays: true }),
    float16: words(halfFloats, layers, { pays: true }),
  },
  limits: webLimits,
  notes: [
    {
      text: "float16 needs a GPU with the feature shader-f16; where it is missing, such models fail to run.",
      source: published("https://github.com/nico-martin/gemma4-browser-extension/issues/13"),
    },
  ],
};
