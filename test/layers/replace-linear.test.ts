/** @file Chains in place of a product: Gemm and MatMul, the weight on either side. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import type { Chain } from "../../src/layers/chain.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { layerModel } from "../support/layer.ts";
import { kernelOf, normal, sizeOf, stage } from "./kernels.ts";
import { apart, expectAlike, open, replaced } from "./replaced.ts";

const [INPUTS, OUTPUTS, COLUMNS] = [7, 5, 4];

const chains: Record<string, Chain> = {
  "two matrices": [stage("down", [3, INPUTS]), stage("up", [OUTPUTS, 3])],
  "one matrix": [stage("whole", [OUTPUTS, INPUTS])],
  "three matrices": [
    stage("first", [6, INPUTS]),
    stage("second", [2, 6]),
    stage("third", [OUTPUTS, 2]),
  ],
  "low rank + sparse": [
    {
      join: "sum",
      branches: [
        [stage("down", [2, INPUTS]), stage("up", [OUTPUTS, 2])],
        [stage("sparse", [OUTPUTS, INPUTS])],
      ],
    },
  ],
  "outputs in two parts": [
    { join: "concat", branches: [[stage("a", [3, INPUTS])], [stage("b", [2, INPUTS])]] },
  ],
  "parts, then one": [
    stage("first", [4, INPUTS]),
    { join: "concat", branches: [[stage("a", [3, 4])], []] },
    stage("last", [OUTPUTS, 7]),
  ],
  "a sum that starts with what came in": [
    stage("square", [OUTPUTS, INPUTS]),
    { join: "sum", branches: [[], [stage("more", [OUTPUTS, OUTPUTS])]] },
  ],
};

/** W of y = W x as the operator stores it. */
function weightOf(g: Builder, chain: Chain, isTurned: boolean): Value {
  const { values } = kernelOf(chain, INPUTS, []);
  if (!isTurned) return g.constant(tensor("float32", [OUTPUTS, INPUTS], values));
  const turned = Array.from(
    values,
    (_, i) => values[(i % OUTPUTS) * INPUTS + Math.floor(i / OUTPUTS)],
  );
  return g.constant(tensor("float32", [INPUTS, OUTPUTS], turned));
}

const vector = (g: Builder, shape: readonly number[]): Value =>
  g.constant(tensor("float32", shape, normal(sizeOf(shape))));

type Draw = (g: Builder, x: Value, chain: Chain) => Value;
/** By name: the shape of x, and the layer that has the chain's product as its weight. */
const operators: Record<string, [readonly (number | string)[], Draw]> = {
  "W x [columns]: a bias of the columns is none of the outputs": [
    [INPUTS, OUTPUTS],
    (g, x, chain) => g.Gemm(weightOf(g, chain, false), x, vector(g, [OUTPUTS])),
  ],
  "x W + b": [
    ["N", INPUTS],
    (g, x, chain) => g.Add(g.MatMul(x, weightOf(g, chain, true)), vector(g, [OUTPUTS])),
  ],
  "Gemm with a computed bias": [
    ["N", INPUTS],
    (g, x, chain) => {
      const bias = g.Mul(vector(g, [OUTPUTS]), g.ReduceMax(x, null, { keepdims: 0 }));
      return g.Gemm(x, weightOf(g, chain, true), bias, { alpha: 0.5, beta: -1 });
    },
  ],
};
for (const shape of [[INPUTS], ["N", INPUTS], [2, "N", INPUTS]]) {
  operators[`x [${shape}] W`] = [shape, (g, x, chain) => g.MatMul(x, weightOf(g, chain, true))];
}
for (const shape of [[INPUTS], [INPUTS, "N"], ["N", INPUTS, COLUMNS]]) {
  operators[`W x [${shape}]`] = [shape, (g, x, chain) => g.MatMul(weightOf(g, chain, false), x)];
}
for (const factors of [{}, { alpha: 0.5, beta: 3 }, { alpha: -2, beta: 0 }]) {
  for (const isTurned of [0, 1]) {
    for (const bias of [null, [OUTPUTS], [1, OUTPUTS], [1], []]) {
      const attributes = { ...factors, transB: isTurned };
      operators[`Gemm(x, W, ${bias && `[${bias}]`}) ${JSON.stringify(attributes)}`] = [
        ["N", INPUTS],
        (g, x, chain) =>
          g.Gemm(x, weightOf(g, chain, !isTurned), bias && vector(g, bias), attributes),
      ];
    }
    for (const bias of [null, [COLUMNS], [OUTPUTS, 1], [OUTPUTS, COLUMNS]]) {
      const attributes = { ...factors, transA: isTurned };
      operators[`Gemm(W, x, ${bias && `[${bias}]`}) ${JSON.stringify(attributes)}`] = [
        [INPUTS, COLUMNS],
        (g, x, chain) =>
          g.Gemm(weightOf(g, chain, isTurned === 1), x, bias && vector(g, bias), attributes),
      ];
    }
  }
}

test.each(Object.entries(operators))("%s", async (_, [shape, draw]) => {
  const layers = Object.entries(chains).map(([name, chain]) => [
    name,
    { chain, draw: (g: Builder, x: Value) => draw(g, x, chain) },
  ]);
  await expectAlike(shape, Object.fromEntries(layers));
});

test("any sizes of any depth", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 2, maxLength: 5 }),
      fc.boolean(),
      fc.boolean(),
      async (sizes, isLeft, isGemm) => {
        const chain = sizes.slice(1).map((outputs, i) => stage(`stage${i}`, [outputs, sizes[i]]));
        const [inputs, outputs] = [sizes[0], sizes.at(-1) as number];
        const { values } = kernelOf(chain, inputs, []);
        const W = tensor("float32", [outputs, inputs], values);
        const start = layerModel(isLeft ? [inputs, 3] : [3, inputs], (g, x) => {
          const weight = g.constant(W);
          if (isLeft) return isGemm ? g.Gemm(weight, x) : g.MatMul(weight, x);
          return isGemm
            ? g.Gemm(x, weight, null, { transB: 1 })
            : g.MatMul(x, g.Transpose(weight, { perm: [1, 0] }));
        });
        expect(await apart(start, replaced(start, chain).model)).toBeLessThan(1e-5);
      },
    ),
    { numRuns: 60, seed: 3 },
  );
});

describe("refuses", () => {
  const W = (g: Builder, ...shape: number[]): Value => vector(g, shape);

  test.each([
    [
      "x^T W",
      layerModel([8, 6], (g, x) => g.Gemm(x, W(g, 8, 4), null, { transA: 1 })),
      "its input is transposed",
    ],
    [
      "W x^T",
      layerModel([6, 8], (g, x) => g.Gemm(W(g, 4, 8), x, null, { transB: 1 })),
      "its input is transposed",
    ],
    [
      "a matrix per batch",
      layerModel([2, 6, 8], (g, x) => g.MatMul(x, W(g, 2, 8, 4))),
      "its weight has 3 axes: a matrix for each of a batch",
    ],
  ])("%s", (_, model, reason) => {
    expect(open(model)).toBe(reason);
  });
});
