import fc from "fast-check";
import { expect, test } from "vitest";
import type { Attributes } from "../../src/ir/attribute.ts";
import { type Dim, Graph, type Value } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { build } from "../../src/ops/builder.ts";
import { bindDims, inferModel, inferNode } from "../../src/ops/infer.ts";
import { nodeCases, readCase } from "./node-cases.ts";

function setup(inputs: Record<string, readonly Dim[]>) {
  const graph = new Graph("test");
  const values = Object.entries(inputs).map(([name, dims]) =>
    graph.addInput(name, "float32", dims),
  );
  return { graph, g: build(graph), values, model: createModel(graph, 21) };
}

/** Shapes of the outputs that `make` builds on the inputs. */
function shapes(
  inputs: Record<string, readonly Dim[]>,
  make: (g: ReturnType<typeof build>, ...values: Value[]) => readonly Value[],
): unknown[] {
  const { graph, g, values, model } = setup(inputs);
  const outputs = make(g, ...values);
  graph.setOutputs(outputs);
  inferModel(model);
  return outputs.map(({ shape }) => shape);
}

const kernel = (g: ReturnType<typeof build>, ...shape: number[]) =>
  g.constant(new Float32Array(shape.reduce((a, b) => a * b, 1)), { shape });

test("symbols pass through what keeps sizes and stop where arithmetic is needed", () => {
  const found = shapes({ x: ["N", 3, "H", "W"] }, (g, x) => {
    const same = g.Conv(x, kernel(g, 8, 3, 3, 3), { pads: [1, 1, 1, 1] });
    const upper = g.Conv(x, kernel(g, 8, 3, 5, 5), { auto_pad: "SAME_UPPER" });
    const half = g.MaxPool(same, { kernel_shape: [2, 2], strides: [2, 2] });
    const narrow = g.Conv(x, kernel(g, 8, 3, 3, 1));
    const mean = g.GlobalAveragePool(half);
    return [same, upper, half, narrow, mean, g.Flatten(mean), g.Flatten(x)];
  });
  expect(found).toEqual([
    ["N", 8, "H", "W"],
    ["N", 8, "H", "W"],
    ["N", 8, null, null],
    ["N", 8, null, "W"],
    ["N", 8, 1, 1],
    ["N", 8],
    ["N", null],
  ]);
});

test("sizes that flow as data: heads split off and joined again as exporters write it", () => {
  const found = shapes({ x: ["B", "T", 64] }, (g, x) => {
    const dims = g.Shape(x);
    const at = (i: number): Value =>
      g.Unsqueeze(g.Gather(dims, g.constant(i, { dtype: "int64" })), g.ints([0]));
    const width = g.Div(at(2), g.ints([8]));
    const heads = g.Reshape(x, g.Concat(at(0), at(1), g.ints([8]), width, { axis: 0 }));
    const turned = g.Transpose(heads, { perm: [0, 2, 1, 3] });
    const joined = g.Reshape(turned, g.Concat(at(0), g.ints([-1, 64]), { axis: 0 }));
    const mask = g.ConstantOfShape(g.Concat(at(1), at(1), { axis: 0 }));
    const counted = g.Range(
      g.constant(0, { dtype: "int64" }),
      g.Squeeze(at(1)),
      g.constant(1, { dtype: "int64" }),
    );
    const table = g.Slice(kernel(g, 512, 8), g.ints([0]), at(1), g.ints([0]));
    return [heads, turned, joined, mask, counted, table];
  });
  expect(found).toEqual([
    ["B", "T", 8, 8],
    ["B", 8, "T", 8],
    ["B", "T", 64],
    ["T", "T"],
    ["T"],
    ["T", 8],
  ]);
});

test("PyTorch's expand: Where(Equal(shape, -1), 1, shape)", () => {
  const found = shapes({ x: [1, "T", 8], y: ["B", "T", 8] }, (g, x, y) => {
    const wanted = g.Concat(g.Shape(y, { start: 0, end: 1 }), g.ints([-1, -1]), { axis: 0 });
    const ones = g.ConstantOfShape(g.ints([3]), { value: tensor("int64", [1], [1]) });
    const isKept = g.Equal(wanted, g.Mul(ones, g.ints([-1])));
    return [g.Expand(x, g.Where(isKept, ones, wanted))];
  });
  expect(found).toEqual([["B", "T", 8]]);
});

test("Reshape solves for one size, even a symbolic one", () => {
  const found = shapes({ x: ["N", 4, 6], u: [null, 4] }, (g, x, u) => [
    g.Reshape(x, g.ints([-1, 24])),
    g.Reshape(x, g.ints([0, -1])),
    g.Reshape(x, g.ints([-1])),
    g.Reshape(u, g.ints([2, -1])),
    g.Reshape(x, g.ints([0, 0, 2, -1])),
  ]);
  expect(found).toEqual([["N", 24], ["N", 24], [null], [2, null], ["N", 4, 2, 3]]);
});

test("broadcasting with symbols", () => {
  const found = shapes({ a: ["N", 1], b: [1, "M"], c: [null, 5], n: ["N", 5] }, (g, a, b, c, n) => [
    g.Add(a, b),
    g.Add(a, c),
    g.Add(n, c),
    g.MatMul(n, g.Transpose(n)),
  ]);
  expect(found).toEqual([
    ["N", "M"],
    [null, 5],
    [null, 5],
    ["N", "N"],
  ]);
});

test("a layer normalization that only ONNX Runtime knows keeps the shape", () => {
  const found = shapes({ x: ["B", "T", 64] }, (g, x) =>
    g.many("SimplifiedLayerNormalization", [x, kernel(g, 64)], { outputs: 1 }),
  );
  expect(found).toEqual([["B", "T", 64]]);
});

test("an If takes the branch that is known to run, else what both agree on", () => {
  const found = shapes({ x: ["N", 4] }, (g, x) => {
    const { graph } = g;
    const branch = (columns: number): Graph => {
      const body = new Graph("branch");
      const inner = build(body);
      body.setOutputs([inner.MatMul(x, kernel(inner, 4, columns))]);
      return body;
    };
    const attributes = (): Attributes => ({
      then_branch: { type: "graph", value: branch(3) },
      else_branch: { type: "graph", value: branch(5) },
    });
    const isWide = g.Equal(
      g.Gather(g.Shape(x), g.constant(1, { dtype: "int64" })),
      g.constant(4, { dtype: "int64" }),
    );
    const open = graph.addInput("c", "bool", []);
    return [
      graph.add("If", [isWide], { attributes: attributes() }).output,
      graph.add("If", [open], { attributes: attributes() }).output,
    ];
  });
  expect(found).toEqual([
    ["N", 3],
    ["N", null],
  ]);
});

test("a Loop forgets the sizes that its body changes", () => {
  const { graph, g, values, model } = setup({ x: ["N", 4], y: [1, 4] });
  const body = new Graph("body");
  const inner = build(body);
  body.addInput("i", "int64", []);
  const condition = body.addInput("c", "bool", []);
  const x = body.addInput("x", null, null);
  const y = body.addInput("y", null, null);
  body.setOutputs([
    inner.Identity(condition),
    inner.Relu(x),
    inner.Concat(y, y, { axis: 0 }),
    inner.ReduceSum(y, inner.ints([1])),
  ]);
  const loop = graph.add("Loop", [g.constant(3, { dtype: "int64" }), null, ...values], {
    attributes: { body: { type: "graph", value: body } },
    outputs: ["a", "b", "scan"],
  });
  graph.setOutputs(loop.outputs);
  inferModel(model);
  expect(loop.outputs.map(({ dtype, shape }) => [dtype, shape])).toEqual([
    ["float32", ["N", 4]],
    ["float32", [null, 4]],
    ["float32", [null, null, 1]],
  ]);
});

test("element types", () => {
  const { graph, g, values, model } = setup({ x: [2, 3] });
  const [x] = values;
  const [codes, scale, zero] = g.many("DynamicQuantizeLinear", [x], { outputs: 3 });
  const found = [
    g.Cast(x, { to: 10 }),
    g.Shape(x),
    g.Equal(x, x),
    g.QuantizeLinear(x, g.constant(1)),
    g.QuantizeLinear(x, g.constant(1), g.constant(0, { dtype: "int4" })),
    g.DequantizeLinear(codes, g.constant(1, { dtype: "float16" })),
    g.ConstantOfShape(g.ints([2])),
    g.Where(g.Equal(x, x), codes, codes),
    codes,
    scale,
    zero,
    ...g.many("TopK", [x, g.ints([2])], { outputs: 2 }),
  ];
  graph.setOutputs(found);
  inferModel(model);
  expect(found.map(({ dtype }) => dtype)).toEqual([
    "float16",
    "int64",
    "bool",
    "uint8",
    "int4",
    "float16",
    "float32",
    "uint8",
    "uint8",
    "float32",
    "uint8",
    "float32",
    "int64",
  ]);
});

test("what was declared fills the gaps, and is left alone where there is no rule", () => {
  const { graph, g, values, model } = setup({ x: ["N", 8], k: [null] });
  const [x, k] = values;
  const declared = g.Reshape(x, k);
  declared.shape = ["N", 4, 2];
  const opaque = graph.add("Mystery", [x], { domain: "example" }).output;
  [opaque.dtype, opaque.shape] = ["int8", [7]];
  graph.setOutputs([g.Relu(declared), opaque]);
  inferModel(model);
  expect(graph.outputs.map(({ dtype, shape }) => [dtype, shape])).toEqual([
    ["float32", ["N", 4, 2]],
    ["int8", [7]],
  ]);
});

test("bindDims works on a copy, by symbol, by axis, by shape, and for what is left", () => {
  const { graph, g, values, model } = setup({ x: ["N", 3, null, "W"], y: ["N", "W"] });
  graph.setOutputs([g.Relu(values[0]), g.Relu(values[1])]);
  inferModel(model);
  const bound = (...args: [Parameters<typeof bindDims>[1], (number | null)?]): unknown =>
    bindDims(model, ...args).graph.outputs.map(({ shape }) => shape);
  expect(bound({ N: 2 })).toEqual([
    [2, 3, null, "W"],
    [2, "W"],
  ]);
  expect(bound({ "x.3": 5 })).toEqual([
    ["N", 3, null, 5],
    ["N", 5],
  ]);
  expect(bound({ x: [2, 3, 4, 5] })).toEqual([
    [2, 3, 4, 5],
    [2, 5],
  ]);
  expect(bound({ N: 2 }, 1)).toEqual([
    [2, 3, 1, 1],
    [2, 1],
  ]);
  expect(graph.outputs.map(({ shape }) => shape)).toEqual([
    ["N", 3, null, "W"],
    ["N", "W"],
  ]);
});

test("inferNode types one node that was just added", () => {
  const { g, values } = setup({ x: ["N", 8] });
  const y = g.MatMul(values[0], g.constant(new Float32Array(24), { shape: [8, 3] }));
  expect(y.shape).toBe(null);
  inferNode(y.producer!);
  expect([y.dtype, y.shape]).toEqual(["float32", ["N", 3]]);
});

const dim = fc.oneof(fc.constantFrom<Dim>(null, "N", "M"), fc.integer({ min: 0, max: 7 }));
const names = nodeCases();

test.skipIf(names.length === 0)("never throws, whatever shapes come in", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...names),
      fc.array(fc.option(fc.array(dim, { maxLength: 5 })), { minLength: 8, maxLength: 8 }),
      (name, given) => {
        const found = readCase(name);
        if (typeof found === "string") return;
        const { inputs } = found.model.graph;
        for (const [i, input] of inputs.entries()) input.shape = given[i % given.length];
        inferModel(found.model);
      },
    ),
    { numRuns: 500, seed: 1 },
  );
});
