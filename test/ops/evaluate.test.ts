import fc from "fast-check";
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { TersorError } from "../../src/errors.ts";
import type { DType } from "../../src/ir/dtype.ts";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { evaluateGraph, evaluateNode } from "../../src/ops/evaluate.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { nodeCases, readCase } from "./node-cases.ts";

const random = createRandom(11);

function floats(...shape: number[]): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return tensor(
    "float32",
    shape,
    Float32Array.from({ length: size }, () => random.float() * 4 - 2),
  );
}

function codes(dtype: DType, low: number, high: number, ...shape: number[]): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return tensor(
    dtype,
    shape,
    Array.from({ length: size }, () => low + random.int(high - low + 1)),
  );
}

type Case = (g: Builder, x: Value) => Value | readonly Value[];

const int8 = 3;
const int32 = 6;
const float32 = 1;

/** Operators, or forms of them, that are newer than Debian's test data, on x [2, 4, 6, 8]. */
const cases: Readonly<Record<string, Case>> = {
  "GroupNormalization, scale per channel": (g, x) =>
    g.GroupNormalization(x, g.constant(floats(4)), g.constant(floats(4)), { num_groups: 2 }),
  RMSNormalization: (g, x) => g.RMSNormalization(x, g.constant(floats(8)), { axis: -1 }),
  "LayerNormalization with statistics": (g, x) =>
    g.many("LayerNormalization", [x, g.constant(floats(6, 8)), g.constant(floats(6, 8))], {
      outputs: 3,
      attributes: { axis: 2 },
    }),
  "Gelu, exact and by tanh": (g, x) => [g.Gelu(x), g.Gelu(x, { approximate: "tanh" })],
  Mish: (g, x) => g.Mish(x),
  "LpPool with dilations": (g, x) =>
    g.LpPool(x, { kernel_shape: [2, 3], dilations: [2, 1], pads: [1, 0, 1, 1], p: 2 }),
  "AveragePool with ceil_mode": (g, x) =>
    g.AveragePool(x, {
      kernel_shape: [3, 3],
      strides: [2, 2],
      ceil_mode: 1,
      pads: [1, 1, 1, 1],
      count_include_pad: 1,
    }),
  "Conv, dilated and grouped": (g, x) =>
    g.Conv(x, g.constant(floats(6, 2, 3, 2)), g.constant(floats(6)), {
      group: 2,
      dilations: [2, 3],
      pads: [2, 0, 1, 3],
      strides: [1, 2],
    }),
  "Conv in one and three dimensions": (g, x) => [
    g.Conv(g.Reshape(x, g.ints([4, 4, 24])), g.constant(floats(3, 4, 5)), {
      auto_pad: "SAME_LOWER",
    }),
    g.Conv(g.Reshape(x, g.ints([1, 2, 4, 6, 8])), g.constant(floats(3, 2, 2, 3, 3)), {
      strides: [2, 1, 2],
    }),
  ],
  "ConvTranspose, grouped, with output padding": (g, x) =>
    g.ConvTranspose(x, g.constant(floats(4, 3, 3, 3)), g.constant(floats(6)), {
      group: 2,
      strides: [2, 3],
      pads: [1, 0, 0, 1],
      output_padding: [1, 0],
    }),
  "ReduceL2 with axes as an input": (g, x) => g.ReduceL2(x, g.ints([1, -1]), { keepdims: 0 }),
  "Split into unequal equals": (g, x) =>
    g.many("Split", [x], { outputs: 3, attributes: { axis: 3, num_outputs: 3 } }),
  "Resize, antialiased": (g, x) =>
    g.Resize(x, null, g.constant([1, 1, 0.5, 0.6]), { mode: "linear", antialias: 1 }),
  "Resize by sizes, keeping the aspect": (g, x) =>
    g.Resize(x, null, null, g.ints([9, 9]), {
      axes: [2, 3],
      mode: "linear",
      keep_aspect_ratio_policy: "not_larger",
    }),
  "Resize, cubic": (g, x) =>
    g.Resize(x, null, g.constant([1, 1, 1.5, 2]), { mode: "cubic", cubic_coeff_a: -0.5 }),
  "Resize, nearest, asymmetric": (g, x) =>
    g.Resize(x, null, g.constant([1, 1, 2, 2]), {
      mode: "nearest",
      coordinate_transformation_mode: "asymmetric",
      nearest_mode: "floor",
    }),
  "ScatterND, largest": (g, x) =>
    g.ScatterND(
      x,
      g.constant([0, 1, 1, 3, 0, 1], { dtype: "int64", shape: [3, 2] }),
      g.constant(floats(3, 6, 8)),
      { reduction: "max" },
    ),
  "Bitwise operators": (g) => {
    const [a, b] = [0, 1].map(() => g.constant(codes("int32", -999, 999, 6)));
    return [g.BitwiseAnd(a, b), g.BitwiseOr(a, b), g.BitwiseXor(a, b), g.BitwiseNot(a)];
  },
  "Pad, wrapped": (g, x) => g.Pad(x, g.ints([1, 2]), null, g.ints([3]), { mode: "wrap" }),
  CenterCropPad: (g, x) => g.CenterCropPad(x, g.ints([3, 11]), { axes: [2, 3] }),
  Col2Im: (g, x) => g.Col2Im(g.Reshape(x, g.ints([2, 8, 24])), g.ints([5, 7]), g.ints([2, 2])),
  "DequantizeLinear in blocks, int4": (g, x) => {
    const weight = g.constant(codes("int4", -8, 7, 8, 6));
    const zero = g.constant(codes("int4", -8, 7, 2, 6));
    const scale = g.constant(floats(2, 6));
    return g.MatMul(x, g.DequantizeLinear(weight, scale, zero, { axis: 0, block_size: 4 }));
  },
  "DequantizeLinear per channel, uint4 and int8": (g, x) => {
    const weight = g.constant(codes("uint4", 0, 15, 8, 6));
    const other = g.constant(codes("int8", -128, 127, 6, 8));
    const first = g.DequantizeLinear(weight, g.constant(floats(6)), { axis: 1 });
    const second = g.DequantizeLinear(other, g.constant(floats(6)), { axis: 0 });
    return g.MatMul(g.MatMul(x, first), second);
  },
  "QuantizeLinear per channel and in blocks": (g, x) => {
    const scale = g.constant([0.1, 0.02, 0.3, 0.5]);
    const zero = g.constant([3, -5, 0, 100], { dtype: "int8" });
    const blocks = g.constant(new Float32Array(2 * 4 * 6 * 2).fill(0.25), { shape: [2, 4, 6, 2] });
    const small = g.QuantizeLinear(x, blocks, { axis: 3, block_size: 4, output_dtype: 22 });
    return [
      g.QuantizeLinear(x, scale, zero, { axis: 1 }),
      g.DequantizeLinear(small, blocks, { axis: 3, block_size: 4 }),
    ];
  },
  "Cast through small types": (g, x) => {
    const wide = g.Mul(x, g.constant(3));
    return [
      g.Cast(g.Cast(wide, { to: 10 }), { to: float32 }),
      g.Cast(g.Cast(wide, { to: 16 }), { to: float32 }),
      g.Cast(wide, { to: int8 }),
      g.Cast(wide, { to: int32 }),
      g.Cast(g.Cast(wide, { to: 17 }), { to: float32 }),
      g.Cast(g.Cast(wide, { to: 19 }), { to: float32 }),
      g.Cast(wide, { to: 9 }),
    ];
  },
  "MatMulNBits, 4 bits with zero points and bias": (g, x) => {
    const weight = g.constant(codes("uint8", 0, 255, 5, 2, 8));
    const zero = g.constant(codes("uint8", 0, 255, 5 * 1));
    const [y] = g.many(
      "MatMulNBits",
      [
        g.Reshape(x, g.ints([-1, 24])),
        weight,
        g.constant(floats(10)),
        zero,
        null,
        g.constant(floats(5)),
      ],
      {
        outputs: 1,
        domain: "com.microsoft",
        attributes: { K: 24, N: 5, bits: 4, block_size: 16 },
      },
    );
    return y;
  },
  "MatMulNBits, 8 bits": (g, x) => {
    const weight = g.constant(codes("uint8", 0, 255, 5, 2, 16));
    const [y] = g.many(
      "MatMulNBits",
      [g.Reshape(x, g.ints([-1, 32])), weight, g.constant(floats(10))],
      {
        outputs: 1,
        domain: "com.microsoft",
        attributes: { K: 32, N: 5, bits: 8, block_size: 16 },
      },
    );
    return y;
  },
  "MatMulNBits, 2 bits": (g, x) => {
    const weight = g.constant(codes("uint8", 0, 255, 5, 2, 4));
    const [y] = g.many(
      "MatMulNBits",
      [g.Reshape(x, g.ints([-1, 32])), weight, g.constant(floats(10))],
      {
        outputs: 1,
        domain: "com.microsoft",
        attributes: { K: 32, N: 5, bits: 2, block_size: 16 },
      },
    );
    return y;
  },
  FusedMatMul: (g, x) => {
    const [y] = g.many("FusedMatMul", [x, x], {
      outputs: 1,
      domain: "com.microsoft",
      attributes: { transA: 0, transB: 1, alpha: 0.5 },
    });
    return y;
  },
  "LSTM, both ways, with lengths and peepholes": (g, x) => {
    const sequence = g.Reshape(x, g.ints([6, 8, 8]));
    const constants = [floats(2, 12, 8), floats(2, 12, 3), floats(2, 24)].map((t) => g.constant(t));
    const lengths = g.constant([6, 1, 3, 6, 2, 5, 4, 6], { dtype: "int32" });
    const states = [floats(2, 8, 3), floats(2, 8, 3), floats(2, 9)].map((t) => g.constant(t));
    return g.many("LSTM", [sequence, ...constants, lengths, ...states], {
      outputs: 3,
      attributes: { hidden_size: 3, direction: "bidirectional" },
    });
  },
  "GRU, reversed, linear before reset": (g, x) => {
    const sequence = g.Reshape(x, g.ints([6, 8, 8]));
    const constants = [floats(1, 9, 8), floats(1, 9, 3), floats(1, 18)].map((t) => g.constant(t));
    return g.many("GRU", [sequence, ...constants], {
      outputs: 2,
      attributes: { hidden_size: 3, direction: "reverse", linear_before_reset: 1 },
    });
  },
  "Einsum with an ellipsis": (g, x) =>
    g.Einsum(x, g.constant(floats(8, 3)), { equation: "...k,kj->...j" }),
};

describe.each(Object.entries(cases))("%s", (_, make) => {
  test("evaluates and infers as ONNX Runtime does", async () => {
    const graph = new Graph("case");
    const model = createModel(graph, 21);
    model.domains.set("com.microsoft", 1);
    const input = graph.addInput("x", "float32", [2, 4, 6, 8]);
    const made = make(build(graph, "n"), input);
    const outputs = Array.isArray(made) ? (made as readonly Value[]) : [made as Value];
    for (const [i, output] of outputs.entries()) output.name = `y${i}`;
    graph.setOutputs(outputs);
    if ([...graph.nodes].some(({ op }) => op === "RMSNormalization")) model.opset = 23;
    const x = floats(2, 4, 6, 8);
    inferModel(model);
    const actual = evaluateGraph(graph, { x });
    // Optimized, DequantizeLinear -> MatMul would become a product of dynamically quantized int8.
    const session = await ort.InferenceSession.create(concat(writeModel(model)), {
      graphOptimizationLevel: "disabled",
    });
    const feed = new ort.Tensor("float32", x.data() as Float32Array, x.shape);
    const expected = await session.run({ x: feed });
    for (const { name, dtype, shape } of graph.outputs) {
      const { dims, type, data } = expected[name];
      expect([dtype, shape]).toEqual([type, dims]);
      expect([actual[name].dtype, actual[name].shape]).toEqual([type, dims]);
      const [a, b] = [actual[name].numbers(), data as Float32Array];
      const scale = b.reduce((top, v) => Math.max(top, Math.abs(Number(v))), 0);
      const isFloat = type === "float32";
      for (let i = 0; i < b.length; i++) {
        const error = Math.abs(a[i] - Number(b[i]));
        expect(error).toBeLessThanOrEqual(isFloat ? 1e-5 * scale + 1e-6 : 0);
      }
    }
  });
});

test("int64 is exact beyond 2^53 and wraps", () => {
  const graph = new Graph("case");
  const g = build(graph);
  const big = g.constant(tensor("int64", [2], BigInt64Array.of(2n ** 62n + 1n, -3n)));
  const run = (value: Value): bigint[] => {
    const node = value.producer!;
    const [result] = evaluateNode(
      node,
      node.inputs.map((input) => input!.tensor),
    )!;
    return Array.from(result.data() as BigInt64Array);
  };
  expect(run(g.Add(big, big))).toEqual([-(2n ** 63n) + 2n, -6n]);
  expect(run(g.Mul(big, g.ints([3, 3])))).toEqual([BigInt.asIntN(64, 3n * (2n ** 62n + 1n)), -9n]);
  expect(run(g.Div(big, g.ints([2, 2])))).toEqual([2n ** 61n, -1n]);
  expect(run(g.Mod(big, g.ints([2, 2])))).toEqual([1n, 1n]);
  expect(run(g.ReduceSum(big, g.ints([0])))).toEqual([2n ** 62n - 2n]);
  expect(run(g.CumSum(big, g.constant(0, { dtype: "int64" })))).toEqual([
    2n ** 62n + 1n,
    2n ** 62n - 2n,
  ]);
  expect(run(g.Where(g.constant([1, 0], { dtype: "bool" }), big, g.ints([7, 7])))).toEqual([
    2n ** 62n + 1n,
    7n,
  ]);
});

test("what has no rule, or does not fit, is said in one line", () => {
  const graph = new Graph("case");
  const g = build(graph, "layer");
  const [a, b] = [g.constant([1, 2, 3]), g.constant([1, 2])];
  const sum = g.Add(a, b);
  graph.setOutputs([sum]);
  expect(() => evaluateGraph(graph, {})).toThrow(
    "bad-operands: layer/Add: shapes [3] and [2] do not broadcast.",
  );
  const noise = g.RandomNormalLike(a);
  expect(evaluateNode(noise.producer!, [a.tensor])).toBe(null);
  graph.setOutputs([noise]);
  graph.remove(sum.producer!);
  expect(() => evaluateGraph(graph, {})).toThrow("no-rule: layer/RandomNormalLike: operator");
});

const names = nodeCases();

test.skipIf(names.length === 0)("inputs that do not fit give a TersorError, never another", () => {
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.integer({ min: 1, max: 3 }), (name, shift) => {
      const found = readCase(name);
      if (typeof found === "string") return;
      const { model, inputs } = found;
      const feeds = Object.fromEntries(
        model.graph.inputs.map((input, i) => [input.name, inputs[(i + shift) % inputs.length]]),
      );
      try {
        evaluateGraph(model.graph, feeds);
      } catch (error) {
        expect(error).toBeInstanceOf(TersorError);
      }
    }),
    { numRuns: 500, seed: 1 },
  );
});
