/**
 * @file Target: x64 processors with AVX2 but without VNNI (Intel before Ice Lake and Cascade Lake, AMD before
 * Zen 4), in ONNX Runtime's native build.
 *
 * Their instruction for int8 (vpmaddubsw) adds two products in 16 bits, which saturate: src/int8/saturation.ts.
 */
import { nodeCpu } from "./node-cpu.ts";
import { figures, measured, published, type TargetDevice } from "./target.ts";

/** A processor with VNNI on which AVX512 and VNNI were hidden from the engine (bench/hidden-cpu.ts). */
const bench = measured("npm run bench:targets");
const options =
  "https://github.com/microsoft/onnxruntime/blob/main/include/onnxruntime/core/session/onnxruntime_session_options_config_keys.h";

export const nodeCpuNoVnni: TargetDevice = {
  id: "node-cpu-no-vnni",
  title: "x64 without VNNI, native",
  engine: "node",
  // npm run bench:targets -- --widths
  int8: {
    spatial: [
      [8, 0.72],
      [16, 1.57],
      [128, 1.9],
    ],
    line: [
      [16, 1.33],
      [64, 1.89],
      [256, 2.07],
    ],
    pointwise: {
      16: [[14, 0.9]],
      32: [
        [14, 1],
        [56, 1.15],
      ],
      64: [
        [7, 1.09],
        [14, 1.25],
        [56, 1.42],
      ],
      128: [
        [7, 1.4],
        [14, 1.54],
      ],
      256: [[7, 1.7]],
    },
    depthwise: {
      by: "channels",
      curve: [
        [16, 0.62],
        [64, 0.68],
        [256, 0.73],
      ],
      line: 1,
    },
    grouped: [
      [32, 1.28],
      [64, 1.64],
    ],
    products: {
      64: [[64, 0.9]],
      128: [
        [16, 0.97],
        [64, 1.09],
      ],
      256: [
        [1, 1.14],
        [16, 1.28],
        [64, 1.46],
      ],
      512: [[1, 1.6]],
    },
    takesDepthwiseAlong: true,
    // On six real models regions that saved 126 MACs or more for each element were faster, those that
    // saved 58 or less were slower.
    conversion: 100,
  },
  saturates: published(options),
  channelBlock: 8,
  facts: {
    "static-int8": figures(bench, {
      "product-1": 2.39,
      "product-128": 1.89,
      dense: 1.84,
      pointwise: 1.35,
      depthwise: 0.62,
      gate: 1.12,
    }),
    "dynamic-int8": figures(bench, {
      "product-1": 2.67,
      "product-128": 1.86,
      dense: 0.27,
      pointwise: 0.25,
      depthwise: 0.05,
    }),
    "weights-8": figures(bench, { "product-1": 1.73, "product-128": 0.72 }),
    "weights-4": figures(bench, { "product-1": 1.96, "product-128": 1.07 }),
    "weights-2": figures(bench, { "product-1": 2.37, "product-128": 0.9 }),
    "rows-4": figures(bench, { "look-up": 0.16 }),
    float16: figures(bench, {
      "product-1": 1.01,
      "product-128": 0.97,
      dense: 1.01,
      pointwise: 1.01,
      depthwise: 1.04,
      gate: 0.93,
    }),
  },
  limits: nodeCpu.limits,
  notes: [
    {
      text: "Sums of int8 products saturate at 16 bits: outputs are silently wrong where weights are large, unless these have 7 bits (reduceRange). The session option session.x64quantprecision avoids it at the speed of uint8 weights.",
      source: published(options),
    },
  ],
};
