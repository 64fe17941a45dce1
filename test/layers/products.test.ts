/** @file Structured matrices as products at run time: the same outputs, and nothing slower. */
import { describe, expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const env = environmentOf(nets[0]);
const random = createRandom(71);
const normal = (size: number) => Float32Array.from({ length: size }, random.normal);
const [inputs, outputs] = [84, 60];

const weight = normal(outputs * inputs);
const turned = Float32Array.from(
  { length: weight.length },
  (_, at) => weight[(at % outputs) * inputs + Math.floor(at / outputs)],
);
const bias = normal(outputs);

/** The ways in which a matrix W is read: y = alpha W x + beta b for records, and for sequences. */
const layers = {
  matmul: {
    model: layerModel(["N", inputs], (g, x) =>
      g.MatMul(x, g.constant(turned, { shape: [inputs, outputs] })),
    ),
    shape: [3, inputs],
    factors: [1, 0],
  },
  single: {
    model: layerModel([1, inputs], (g, x) =>
      g.MatMul(x, g.constant(turned, { shape: [inputs, outputs] })),
    ),
    shape: [1, inputs],
    factors: [1, 0],
  },
  sequence: {
    model: layerModel(["N", "S", inputs], (g, x) =>
      g.Add(g.MatMul(x, g.constant(turned, { shape: [inputs, outputs] })), g.constant(bias)),
    ),
    shape: [2, 5, inputs],
    factors: [1, 1],
  },
  gemm: {
    model: layerModel(["N", inputs], (g, x) =>
      g.Gemm(x, g.constant(weight, { shape: [outputs, inputs] }), g.constant(bias), {
        ...{ transB: 1, alpha: 0.5, beta: 2 },
      }),
    ),
    shape: [3, inputs],
    factors: [0.5, 2],
  },
};

describe.each([
  ["monarch", 6],
  ["kronecker", 30],
] as const)("%s", (method, ratio) => {
  test.each(Object.entries(layers))("is the folded matrix times x: %s", async (_, layer) => {
    const { model, shape, factors } = layer;
    const x = normal(shape.reduce((a, b) => a * b, 1));
    const products = await apply(model, method, { ratio, compute: "products" }, env);
    expect(products.skipped).toEqual([]);
    expect(products.model.graph.sorted().filter(({ op }) => op === "MatMul")).toHaveLength(2);
    const { y } = await outputsOf(products.bytes, { x: tensor("float32", shape, x) });
    expect(y.shape).toEqual([...shape.slice(0, -1), outputs]);
    // The Gemm stores W [outputs, inputs], which the products are of in every case.
    const folded = await apply(layers.gemm.model, method, { ratio }, env);
    const [{ weight: near }] = weightsIn(folded.model);
    y.floats().forEach((value, at) => {
      const [record, output] = [Math.floor(at / outputs), at % outputs];
      let sum = factors[1] * bias[output];
      for (let i = 0; i < inputs; i++) {
        sum += factors[0] * near.values[output * inputs + i] * x[record * inputs + i];
      }
      expect(value).toBeCloseTo(sum, 3);
    });
  });

  test("is left alone where the products are more work", async () => {
    const { skipped } = await apply(
      layers.gemm.model,
      method,
      { ratio: 1.1, compute: "products" },
      env,
    );
    const [, products] = /^takes (\d+) multiply-accumulates as products and 5040/.exec(
      skipped[0]?.reason ?? "",
    ) ?? [null, "0"];
    // A Monarch matrix takes one of each number that it stores.
    if (method === "monarch") expect(skipped).toEqual([]);
    else expect(Number(products)).toBeGreaterThan(5040);
  });

  test("is left alone where the engine says that products are slower, and says so", async () => {
    const { model } = layers.gemm;
    const options = { ratio, compute: "products" };
    const run = async (
      times: readonly number[],
      value: number,
      ci95: readonly [number, number],
    ) => {
      const clock = { time: async () => times, compare: async () => ({ value, ci95 }) };
      const { skipped, model: result } = await apply(model, method, options, env, clock);
      return {
        reasons: skipped.map(({ reason }) => reason),
        ops: result.graph.sorted().map(({ op }) => op),
      };
    };
    const slower = await run([1, 1.25], 1.5, [1.4, 1.6]);
    expect(slower.reasons).toEqual([
      "would slow the model down as products, from 1.000 to 1.250 ms a run",
    ]);
    expect(slower.ops).toEqual(["Gemm"]);
    expect((await run([1, 0.5], 1.5, [1.4, 1.6])).ops).not.toContain("Gemm");
    // Faster by itself, and not for certain when the whole model is timed.
    const uncertain = await run([1, 0.9], 1.1, [0.98, 1.2]);
    expect(uncertain.reasons).toEqual([
      `stays: with 1 layer as products the model runs at 1.10x (0.98 to 1.20) on ${env.target.id}`,
    ]);
    expect(uncertain.ops).toEqual(["Gemm"]);
  });

  test("layers of one shape are timed once, all of them as products", async () => {
    const twice = layerModel(["N", inputs], (g, x) => {
      const product = (of: Value) =>
        g.MatMul(of, g.constant(normal(inputs * outputs), { shape: [inputs, outputs] }));
      const sequence = product(g.Unsqueeze(x, g.ints([0])));
      return g.Add(g.Add(product(x), product(x)), sequence);
    });
    const counts: number[] = [];
    const count = ({ graph }: Model) => [...graph.nodes].filter(({ op }) => op === "MatMul").length;
    const clock = {
      async time(models: readonly Model[]) {
        counts.push(...models.map(count));
        return [1, 0.5];
      },
      async compare(before: Model, after: Model) {
        counts.push(count(before), count(after));
        return { value: 2, ci95: [1.5, 2.5] as const };
      },
    };
    const options = { ratio, compute: "products" };
    const { model, skipped } = await apply(twice, method, options, env, clock);
    expect(skipped).toEqual([]);
    // That of the sequence, the two others, then all; each becomes two products.
    expect(counts).toEqual([3, 4, 3, 5, 3, 6]);
    expect(count(model)).toBe(6);
  });

  const pointwise = (dims: readonly (number | string)[], attributes = {}) =>
    layerModel(dims, (g, x) =>
      g.Conv(
        x,
        g.constant(weight, { shape: [outputs, inputs, ...dims.slice(2).map(() => 1)] }),
        g.constant(bias),
        attributes,
      ),
    );

  test.each([
    ["a sequence", ["N", inputs, 5], [2, inputs, 5]],
    ["an image", ["N", inputs, 3, 2], [2, inputs, 3, 2]],
    ["an image of open size", [1, inputs, "H", "W"], [1, inputs, 2, 4]],
    ["a volume", ["N", inputs, 2, 1, 3], [2, inputs, 2, 1, 3]],
  ] as const)("is the folded matrix at every position of %s", async (_, dims, shape) => {
    const model = pointwise(dims);
    const products = await apply(model, method, { ratio, compute: "products" }, env);
    expect(products.skipped).toEqual([]);
    const ops = products.model.graph.sorted().map(({ op }) => op);
    expect([ops.filter((op) => op === "MatMul").length, ops.includes("Conv")]).toEqual([2, false]);
    const x = normal(shape.reduce((a, b) => a * b, 1));
    const { y } = await outputsOf(products.bytes, { x: tensor("float32", shape, x) });
    expect(y.shape).toEqual(shape.with(1, outputs));
    const [{ weight: near }] = weightsIn((await apply(model, method, { ratio }, env)).model);
    const positions = shape.slice(2).reduce<number>((a, b) => a * b, 1);
    y.floats().forEach((value, at) => {
      const [record, output] = [
        Math.floor(at / positions / outputs),
        Math.floor(at / positions) % outputs,
      ];
      let sum = bias[output];
      for (let i = 0; i < inputs; i++) {
        sum +=
          near.values[output * inputs + i] *
          x[(record * inputs + i) * positions + (at % positions)];
      }
      expect(value).toBeCloseTo(sum, 3);
    });
  });

  test.each([
    ["strides", { strides: [2, 2] }],
    ["pads", { pads: [0, 1, 0, 0] }],
    ["auto_pad", { auto_pad: "SAME_UPPER", strides: [2, 1] }],
  ])("leaves a convolution with %s alone", async (_, attributes) => {
    const { skipped } = await apply(
      pointwise(["N", inputs, 4, 4], attributes),
      method,
      { ratio, compute: "products" },
      env,
    );
    expect(skipped[0]?.reason).toBe(
      "is a convolution with strides or padding; only plain 1x1 ones are written as products",
    );
  });

  test("leaves wider kernels alone, which are stored like any other matrix", async () => {
    const model = layerModel(["N", 84, 4, 4], (g, x) =>
      g.Conv(x, g.constant(normal(84 * 60 * 9), { shape: [60, 84, 3, 3] })),
    );
    const { skipped } = await apply(model, method, { compute: "products" }, env);
    expect(skipped[0].reason).toBe(
      "is a convolution of 3 x 3; only 1x1 ones and linear layers are written as products",
    );
  });
});
