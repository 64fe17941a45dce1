/** @file What chains cost, against the cost model's count of the graph that they become. */
import { describe, expect, test } from "vitest";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import type { Chain, Outline } from "../../src/layers/chain.ts";
import { costOf, whyDearer } from "../../src/layers/cost.ts";
import type { Layer } from "../../src/layers/matrix.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { costModel } from "../../src/ops/cost.ts";
import { layerModel } from "../support/layer.ts";
import { normal, sizeOf, stage } from "./kernels.ts";
import { open, replaced } from "./replaced.ts";

const weight = (g: Builder, ...shape: number[]) =>
  g.constant(tensor("float32", shape, normal(sizeOf(shape))));

const geometry = { strides: [2, 3], pads: [1, 0, 2, 1], dilations: [1, 2] };
const conv = layerModel([5, 8, 17, 19], (g, x) =>
  g.Conv(x, weight(g, 12, 8, 3, 3), null, geometry),
);
const left = layerModel([2, 30, 7], (g, x) => g.MatMul(weight(g, 20, 30), x));
const right = layerModel(["N", 6, 30], (g, x) => g.MatMul(x, weight(g, 30, 20)));
const gemm = layerModel([4, 30], (g, x) => g.Gemm(x, weight(g, 20, 30), null, { transB: 1 }));

const convChains: Chain[] = [
  [stage("down", [5, 8, 3, 3]), stage("up", [12, 5, 1, 1])],
  [stage("rows", [5, 8, 3, 1]), stage("columns", [12, 5, 1, 3])],
  [stage("columns", [5, 8, 1, 3]), stage("rows", [12, 5, 3, 1])],
  [stage("in", [6, 8, 1, 1]), stage("core", [7, 6, 3, 3]), stage("out", [12, 7, 1, 1])],
  [stage("depthwise", [8, 1, 3, 3], { groups: 8 }), stage("point", [12, 8, 1, 1])],
  [stage("point", [3, 8, 1, 1], { axes: [1] }), stage("core", [12, 3, 3, 3])],
  [
    stage("squeeze", [3, 8, 1, 1]),
    {
      join: "concat",
      branches: [
        [stage("point", [4, 3, 1, 1])],
        [stage("rows", [4, 3, 3, 1]), (g, x) => g.Relu(x), stage("columns", [8, 4, 1, 3])],
      ],
    },
    stage("last", [12, 12, 3, 3]),
  ],
];
const linearChains: Chain[] = [
  [stage("down", [4, 30]), stage("up", [20, 4])],
  [
    {
      join: "sum",
      branches: [[stage("down", [4, 30]), stage("up", [20, 4])], [stage("s", [20, 30])]],
    },
  ],
];

describe.each([
  ["Conv", conv, convChains],
  ["W x", left, linearChains],
  ["x W", right, linearChains],
  ["Gemm", gemm, linearChains],
] as const)("%s", (_, start, chains) => {
  const counted = (model: Model) => {
    const { macs, params } = costModel(model);
    return { macs, params };
  };

  test("the layer itself, and every chain in its place", () => {
    expect(costOf(open(start) as Layer)).toEqual(counted(start));
    for (const chain of chains) {
      expect(costOf(open(start) as Layer, chain)).toEqual(counted(replaced(start, chain).model));
    }
  });
});

test("sizes that are not known count by their strides", () => {
  const start = layerModel(["N", 8, "H", "W"], (g, x) =>
    g.Conv(x, weight(g, 12, 8, 3, 3), null, { strides: [2, 3] }),
  );
  const layer = open(start) as Layer;
  const chain: Chain<Outline> = [
    { name: "in", shape: [4, 8, 1, 1] },
    { name: "rows", shape: [5, 4, 3, 1] },
    { name: "columns", shape: [12, 5, 1, 3] },
  ];
  expect(costOf(layer)).toEqual({ params: 864, macs: 864 });
  // 2 x 3 positions before the rows are strided, 3 before the columns are.
  expect(costOf(layer, chain)).toEqual({ params: 32 + 60 + 180, macs: 6 * 32 + 3 * 60 + 180 });
});

test("strides that no kernel spans are taken at once", () => {
  const start = layerModel(["N", 8, 8, 8], (g, x) =>
    g.Conv(x, weight(g, 12, 8, 1, 1), null, { strides: [2, 2] }),
  );
  const chain = [stage("down", [4, 8, 1, 1]), stage("up", [12, 4, 1, 1])];
  expect(costOf(open(start) as Layer, chain)).toEqual({ params: 80, macs: 16 * 80 });
});

test("break-even: the last rank that pays is below mn / (m + n)", () => {
  const layer = open(conv) as Layer;
  const thin = (rank: number): Chain<Outline> => [
    { name: "down", shape: [rank, 8, 3, 3] },
    { name: "up", shape: [12, rank, 1, 1] },
  ];
  // 12 72 / 84 = 10.3
  expect(whyDearer(layer, thin(10))).toBeNull();
  expect(whyDearer(layer, thin(11))).toBe("would take 924 weights, now 864");
  expect(whyDearer(layer, thin(11), ["macs"])).toMatch(
    /^would take \d+ multiply-accumulates, now \d+$/,
  );
});
