/** @file Target: 64-bit ARM processors with dot products of int8, in ONNX Runtime's native build. */
import { nodeCpu } from "./node-cpu.ts";
import { published, type TargetDevice, words } from "./target.ts";

const dotProducts = published("https://github.com/microsoft/onnxruntime/pull/9902");
const nBits = published("https://github.com/microsoft/onnxruntime/pull/21380");
const casts = published("https://github.com/microsoft/onnxruntime/issues/25824");

export const arm: TargetDevice = {
  id: "arm",
  title: "ARM64 with int8 dot products, native",
  engine: "node",
  // Nobody has published speed-ups by width. Those of x64 with VNNI stand in for them, because udot and sdot
  // add four products of bytes an instruction and lane, as vpdpbusd does.
  int8: nodeCpu.int8,
  saturates: null,
  channelBlock: 1,
  facts: {
    "static-int8": words(dotProducts, ["product-1", "product-128", "dense", "pointwise"], {
      pays: true,
    }),
    "dynamic-int8": words(dotProducts, ["product-1", "product-128"], { pays: true }),
    "weights-8": words(
      published("https://github.com/microsoft/onnxruntime/pull/25110"),
      ["product-1", "product-128"],
      { pays: true },
    ),
    "weights-4": words(nBits, ["product-1", "product-128"], { pays: true }),
    float16: words(casts, ["product-1", "product-128", "dense", "pointwise"], {
      problem:
        "is computed in float32 with casts around it, unless the session sets session.enable_cpu_fp16 in a build that has these kernels",
    }),
  },
  limits: nodeCpu.limits,
  notes: [
    {
      text: "uint8 activations with int8 weights run on the dot products as well as int8 activations.",
      source: dotProducts,
    },
    {
      text: "Processors without dot products of bytes gain memory but no speed from int8.",
      source: published("https://github.com/ARM-software/armnn/issues/382"),
    },
    {
      text: "Processors with I8MM compute quantized products up to 1.33 times as fast again.",
      source: published("https://github.com/microsoft/onnxruntime/pull/17160"),
    },
    {
      text: "Blocked convolutions (NCHWc) are there only in builds made with --enable_arm_neon_nchwc, so that no number of channels is better than another.",
      source: published("https://github.com/microsoft/onnxruntime/pull/27099"),
    },
  ],
};
