/** @file Layers that cannot be replaced, with their reasons, and chains that do not fit. */
import { describe, expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import type { Chain } from "../../src/layers/chain.ts";
import type { Layer } from "../../src/layers/matrix.ts";
import { replaceLayer } from "../../src/layers/replace.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { layerModel } from "../support/layer.ts";
import { normal, sizeOf, stage } from "./kernels.ts";
import { open } from "./replaced.ts";

const weight = (g: Builder, ...shape: number[]): Value =>
  g.constant(tensor("float32", shape, normal(sizeOf(shape))), { name: "W" });

describe("refuses", () => {
  const image = ["N", 4, 9, 11];
  const half = (g: Builder): Value =>
    g.constant(tensor("float16", [6, 4, 3, 3], normal(216)), { name: "W" });
  const cases: Record<string, [Model, string]> = {
    "a weight of two layers": [
      layerModel(image, (g, x) => {
        const W = weight(g, 4, 4, 3, 3);
        return g.Conv(g.Conv(x, W), W);
      }),
      "its weight is shared by several layers",
    ],
    groups: [
      layerModel(image, (g, x) => g.Conv(x, weight(g, 6, 2, 3, 3), null, { group: 2 })),
      "is a grouped convolution",
    ],
    "transposed convolutions": [
      layerModel(image, (g, x) => g.ConvTranspose(x, weight(g, 4, 6, 3, 3))),
      "ConvTranspose has no form of several plain layers",
    ],
    "other types": [
      layerModel(image, (g, x) => g.Cast(g.Conv(g.Cast(x, { to: 10 }), half(g)), { to: 1 })),
      "its weight is float16; only float32 is compressed",
    ],
    "weights of integer kernels": [
      layerModel(image, (g, x) => {
        const levels = g.constant(tensor("int8", [6, 4, 3, 3], new Int8Array(216).fill(3)));
        return g.Conv(x, g.DequantizeLinear(levels, g.constant(0.5)));
      }),
      "is quantized for integer kernels already",
    ],
    infinities: [
      layerModel(image, (g, x) =>
        g.Conv(x, g.constant(new Float32Array(216).fill(Infinity), { shape: [6, 4, 3, 3] })),
      ),
      "its weight holds infinities or NaNs",
    ],
    embeddings: [
      layerModel(image, (g, x) => g.Gather(weight(g, 9, 5), g.Cast(x, { to: 7 }))),
      "Gather has no form of several plain layers",
    ],
  };

  test.each(Object.entries(cases))("%s", (_, [model, reason]) => {
    expect(open(model)).toBe(reason);
  });

  test("a smaller kernel where strides and auto_pad need a size that is not known", () => {
    const model = layerModel([2, 4, "H", 9], (g, x) =>
      g.Conv(x, weight(g, 6, 4, 3, 3), null, { auto_pad: "SAME_UPPER", strides: [2, 1] }),
    );
    const before = model.graph.nodes.size;
    const only = stage("only", [6, 4, 1, 3]);
    expect(replaceLayer(open(model) as Layer, [only])).toBe(
      "pads by SAME_UPPER along an axis of unknown size",
    );
    expect(model.graph.nodes.size).toBe(before);
  });
});

describe("throws where a chain does not fit, before anything has changed", () => {
  const conv = layerModel(["N", 4, 9, 11], (g, x) => g.Conv(x, weight(g, 6, 4, 3, 3)));
  const layer = open(conv) as Layer;
  const cases: [Chain, string][] = [
    [[stage("a", [2, 3, 3, 3])], "a reads 3 channels; 4 arrive"],
    [[stage("a", [2, 4, 3, 3]), stage("b", [6, 3, 1, 1])], "b reads 3 channels; 2 arrive"],
    [[stage("a", [5, 4, 3, 3])], "the chain gives 5 channels; layer1 gives 6"],
    [[stage("a", [6, 4])], "a has 24 values of shape 6 x 4"],
    [[{ ...stage("a", [6, 4, 3, 3]), values: normal(4) }], "a has 4 values of shape 6 x 4 x 3 x 3"],
    [[stage("a", [6, 4, 3, 3], { axes: [0] })], "no stage owns axis 1"],
    [
      [stage("a", [4, 4, 1, 1], { axes: [0] }), stage("b", [6, 4, 3, 3], { axes: [0, 1] })],
      "b cannot own axis 0",
    ],
    [
      [{ join: "sum", branches: [[], [stage("a", [4, 4, 3, 3])]] }, stage("b", [6, 4, 1, 1])],
      "no stage owns axis 0, 1",
    ],
    [
      [{ join: "sum", branches: [[stage("a", [6, 4, 3, 3])], [stage("b", [5, 4, 3, 3])]] }],
      "a sum of 6 and 5 channels",
    ],
  ];

  test.each(cases)("%#", (chain, message) => {
    const before = [...conv.graph.nodes];
    expect(() => replaceLayer(layer, chain)).toThrow(message);
    expect([...conv.graph.nodes]).toEqual(before);
  });

  test("a chain of nothing", () => {
    const square = layerModel(["N", 4], (g, x) => g.MatMul(x, weight(g, 4, 4)));
    expect(() => replaceLayer(open(square) as Layer, [])).toThrow(
      "the chain in place of layer1 does nothing",
    );
  });
});
