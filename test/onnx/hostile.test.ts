/** @file Small files that ask for endless work, or whose names are those of plain objects. */
import { describe, expect, test } from "vitest";
import { TersorError } from "../../src/errors.ts";
import { Graph } from "../../src/ir/graph.ts";
import { cloneModel, createModel, type Model } from "../../src/ir/model.ts";
import { parseModel } from "../../src/ir/parse.ts";
import { printModel } from "../../src/ir/print.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { constantValue } from "../../src/ops/constant.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { rewrite } from "../../src/rewrite/index.ts";
import { attempt, fuzzSeeds, mutation } from "../long/fuzz.ts";

/** The file of a model in text form, read again. */
const file = (text: string): Uint8Array => concat(writeModel(parseModel(text)));

/** What each node asks for, as a model whose result is refused or left as it is. */
const endless: Readonly<Record<string, string>> = {
  "sizes of 2^31 beside a 0": `g (float[1,1,4,4] x) => (float y)
    <int64[4] s = {1, 0, 9, 2147483648}> { y = Resize (x, , , s) }`,
  "a kernel of 2^60": `g (float[1,1,4,4] x) => (float y) {
    y = MaxPool <kernel_shape = [1152921504606846976, 2], pads = [1, 0, 0, 0]> (x) }`,
  "an axis of 2^31": `g (float[N,2,6,6] x) => (float y)
    <int64[4] p = {0, 0, 1, 1}, int64[2] a = {2, 2147483648}> {
    t = Pad (x, p, , a)
    y = AveragePool <kernel_shape = [3, 3]> (t) }`,
  "2^40 elements from 8 bytes": `g (float[1] x) => (float y)
    <int64[1] n = {1099511627776}> { t = ConstantOfShape (n)  y = Add (x, t) }`,
  "a range without end": `g (float[1] x) => (float y)
    <float a = {0}, float b = {1e30}, float d = {1}> { t = Range (a, b, d)  y = Add (x, t) }`,
  "a window of 2^40": `g (float[1] x) => (float y)
    <int64 n = {1099511627776}> { t = HannWindow (n)  y = Add (x, t) }`,
  "a tile of a tile of a tile": `g (float[1] x) => (float y)
    <float[1] c = {1}, int64[1] n = {65536}> {
    a = Tile (c, n)  b = Tile (a, n)  t = Tile (b, n)  y = Add (x, t) }`,
  "more outputs than a kernel of no size": `g (float[1,1,0,4] x) => (float y) {
    y = LpPool <kernel_shape = [268435456, 1]> (x) }`,
  "sizes that are fractions": `g (float[1,3,4,4] x) => (float y) {
    y = DepthToSpace <blocksize = 7> (x) }`,
};

describe("work that no computer finishes", () => {
  test.each(Object.entries(endless))("%s: within its limits, or an error", async (_, text) => {
    expect(["read", "refused"]).toContain(await attempt(file(text)));
  });

  test("elements are counted before they are made", () => {
    const model = parseModel(endless["2^40 elements from 8 bytes"]);
    const [node] = model.graph.nodes;
    expect(() => constantValue(node.output)).toThrow(/bad-operands.*ConstantOfShape/);
    const tiled = [...parseModel(endless["a tile of a tile of a tile"]).graph.nodes];
    expect(constantValue(tiled[0].output)?.size).toBe(65536);
    expect(() => constantValue(tiled[2].output)).toThrow("bad-operands");
  });

  test("a weight that is stored in little is still decoded", () => {
    // One of 4096 numbers is kept: 2^22 elements from 1024 values and their positions.
    const size = 2 ** 22;
    const graph = new Graph("g");
    const zeros = graph.add("ConstantOfShape", [
      graph.addConstant("n", tensor("int64", [1], [size])),
    ]);
    const at = Array.from({ length: 1024 }, (_, i) => i * 4096);
    const kept = graph.add("ScatterElements", [
      zeros.output,
      graph.addConstant("at", tensor("int64", [1024], at)),
      graph.addConstant("w", tensor("float32", [1024], new Float32Array(1024).fill(3))),
    ]);
    const floats = constantValue(kept.output)?.floats();
    expect(floats?.length).toBe(size);
    expect([floats?.[4095], floats?.[4096], floats?.[4097]]).toEqual([0, 3, 0]);
  });

  test("loops in loops are inferred in bounded time, and what lies outside them as before", () => {
    const nested = (depth: number): string =>
      depth === 0
        ? "z = Identity (u)"
        : `z${depth} = Loop <body = b (int64 i${depth}, bool c${depth}, float[N] u${depth}) => (bool c${depth}, float q${depth}) {
             ${nested(depth - 1)}
             q${depth} = Relu (u${depth}) }> (, , u)`;
    const model = parseModel(`g (float[3] u) => (float y) { ${nested(40)}  y = Relu (u) }`);
    inferModel(model);
    expect(model.graph.outputs[0].shape).toEqual([3]);
  });

  test("axes of a scalar's default are let through", () => {
    const model = parseModel(`g (float x) => (uint8 y)
      <float s = {0.5}, uint8 z = {3}> { y = QuantizeLinear (x, s, z) }`);
    const { y } = evaluateGraph(model.graph, { x: tensor("float32", [], 2) });
    expect(Array.from(y.numbers())).toEqual([7]);
  });
});

describe("names of plain objects", () => {
  const names = ["__proto__", "constructor", "toString", "hasOwnProperty"];

  /** y = op(x) with that name everywhere: of the operator, a tensor, an attribute, metadata. */
  function named(name: string): Model {
    const graph = new Graph(name);
    const x = graph.addInput(name, "float32", [2]);
    const w = graph.addConstant(`${name}w`, tensor("float32", [2], [1, 2]));
    const attributes = Object.fromEntries([[name, { type: "int", value: 7 }]] as const);
    const a = graph.add(name, [x, w], { name, attributes, domain: name });
    const b = graph.add("Add", [a.output, w], { name: "y" });
    graph.setOutputs([b.output]);
    const model = createModel(graph, 21);
    model.domains.set(name, 1);
    model.metadata.set(name, name);
    return model;
  }

  test.each(names)("%s is kept by reading, copying and rewriting", (name) => {
    const read = readModel(concat(writeModel(named(name))));
    const copy = cloneModel(read);
    inferModel(copy);
    rewrite(copy);
    inferModel(read);
    expect(printModel(copy)).toBe(printModel(read));
    const again = readModel(concat(writeModel(copy)));
    const [node] = again.graph.nodes;
    expect([node.op, node.domain, Object.keys(node.attributes)]).toEqual([name, name, [name]]);
    expect(again.metadata.get(name)).toBe(name);
  });
});

test("a rule whose node does not fit ends in an error of the catalogue", () => {
  const model = parseModel(`g (float[N,2,6,6] x) => (float y) <int64[8] p = {0,0,1,1,0,0,1,1}> {
    t = Pad (x, p)
    y = AveragePool <kernel_shape = [3, 3], pads = [1]> (t) }`);
  expect(() => rewrite(model)).not.toThrow(RangeError);
  const [node] = model.graph.nodes;
  expect(() => node.set("pads", { type: "ints", value: [1, Number.NaN] })).toThrow(RangeError);
});

test("a hundred damaged files", async () => {
  const files = fuzzSeeds();
  for (let i = 0; i < 100; i++) {
    await expect(attempt(mutation(files, 7, i)), `file ${i}`).resolves.toBeTypeOf("string");
  }
});

test("errors of the evaluator name the node", () => {
  const graph = parseModel(endless["a range without end"]).graph;
  expect(() => evaluateGraph(graph, { x: tensor("float32", [1], [0]) })).toThrow(TersorError);
});
