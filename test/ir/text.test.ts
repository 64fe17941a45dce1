import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TersorError } from "../../src/errors.ts";
import { type DType, dtypes } from "../../src/ir/dtype.ts";
import { Graph } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { parseModel } from "../../src/ir/parse.ts";
import { printGraph, printModel } from "../../src/ir/print.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { fromFloat16, toFloat16 } from "../../src/numeric/float16.ts";
import { randomModel, seeds } from "./random-model.ts";

/** What onnx.printer 1.23 writes for this model, but for types of attributes and blank space. */
const text = `<
  ir_version: 10,
  opset_import: ["" : 21, "com.microsoft" : 1],
  producer_name: "a \\"b\\"",
  metadata_props: ["k": "v", "mean": "0.5"]
>
net (float[N,3,"batch size"] x, bool on, int64 scalar) => (float[] y, z)
  <float[2] w = {1, -0.1},
   int64[2] axes = {-1, 9223372036854775807},
   string[2] names = {"a", "b\\\\c\\"d"},
   float h16 = {3.1415927},
   float16[3] half = {1.5, inf, nan},
   double[1] d = {0.1},
   int4[3] packed = {-8, 7, 1},
   bool[2] flags = {1, 0},
   float[0] none = {}>
{
  [first] h = Conv <auto_pad = "NOTSET", group = 2, pads = [1, 1, 1, 1]> (x, w)
  ["second/node:0"] "h/out:0", "", rest = com.microsoft.Fused <alpha = 0.1, beta = 2.0, list = [0.5, 1.0], e: ints = [], t = float[2] {1, 2}, words = ["p", "q"]> (h, "", half)
  y = If (on) <then_branch = yes () => (float[N] a) {
    a = Abs (h)
  }, else_branch = no () => (b)
    <float[1] k = {5}>
  {
    b = Add (h, k)
  }>
  z = Mix (scalar, axes, names, h16, d, packed, flags, none, "h/out:0")
}
`;

test("a model is printed as it is read", () => {
  expect(printModel(parseModel(text))).toBe(text);
});

test("what is read is what the text says", () => {
  const { graph, opset, domains, producer, metadata } = parseModel(text);
  expect([opset, [...domains], producer]).toEqual([21, [["com.microsoft", 1]], 'a "b"']);
  expect(metadata.get("mean")).toBe("0.5");
  expect(graph.inputs.map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual([
    ["x", "float32", ["N", 3, "batch size"]],
    ["on", "bool", []],
    ["scalar", "int64", []],
  ]);
  expect(graph.outputs.map(({ dtype, shape }) => [dtype, shape])).toEqual([
    ["float32", null],
    [null, null],
  ]);
  const values = new Map([...graph.constants].map(({ name, tensor }) => [name, tensor!]));
  expect(Array.from(values.get("w")!.floats())).toEqual([1, Math.fround(-0.1)]);
  expect(values.get("axes")!.data()).toEqual(BigInt64Array.of(-1n, 2n ** 63n - 1n));
  expect(values.get("names")!.strings).toEqual(["a", 'b\\c"d']);
  expect(Array.from(values.get("half")!.numbers())).toEqual([1.5, Infinity, NaN]);
  expect(Array.from(values.get("packed")!.bytes())).toEqual([0x78, 0x01]);
  const [conv, fused, branch] = graph.nodes;
  expect(conv.ints("pads")).toEqual([1, 1, 1, 1]);
  expect([fused.domain, fused.op, fused.name]).toEqual(["com.microsoft", "Fused", "second/node:0"]);
  expect(fused.attributes.alpha).toEqual({ type: "float", value: Math.fround(0.1) });
  expect(fused.inputs[1]).toBeNull();
  expect(fused.outputs.map(({ name }) => name)).toEqual(["h/out:0", "", "rest"]);
  // Both bodies read the value outside them.
  expect(conv.output.consumers.map(({ op }) => op)).toEqual(["Fused", "Abs", "Add"]);
  expect(branch.subgraphs.map(({ owner }) => owner)).toEqual([branch, branch]);
});

test("what onnx.printer writes is read: types of attributes, spaces, comments", () => {
  const { graph } = parseModel(`
<
   ir_version: 8,
   opset_import: ["" : 17]
>
g (float[N,?] x) => ( y)
   <float[2] w =  {0.1,1e-20}, float[N] h>
{
   # a comment
   h = A <a: float = 1, b: int = -3, s: strings = [], t: tensor = float[1] named {2}> (x, w)
   y = B (h, "") <body: graph = inner () => (float r) {
      r = C (h)
   }>
}`);
  const [a, b] = graph.nodes;
  expect(a.attributes).toMatchObject({
    a: { type: "float", value: 1 },
    b: { type: "int", value: -3 },
    s: { type: "strings", value: [] },
  });
  expect([a.output.shape, b.subgraphs[0].outputs[0].shape]).toEqual([["N"], []]);
});

test("large tensors are left out, and such text is not read back", () => {
  const graph = new Graph("g");
  const w = graph.addConstant("w", tensor("float32", [2, 3], new Float32Array(6)));
  graph.setOutputs([graph.add("Neg", [w], { outputs: ["y"] }).output]);
  expect(printGraph(graph, { elements: 6 })).toContain("float[2,3] w = {0, 0, 0, 0, 0, 0}");
  const short = printModel(createModel(graph, 21), { elements: 5 });
  expect(short).toContain("float[2,3] w = {...}");
  expect(() => parseModel(short)).toThrow("left out");
});

test("random weights are the same each time, and of unit scale per row", () => {
  const read = (seed: number) =>
    [
      ...parseModel(`g () => (y) <float[4,1000] w = random(${seed})> { y = Neg (w) }`).graph
        .constants,
    ][0].tensor!.floats();
  expect(read(3)).toEqual(read(3));
  expect(read(3)).not.toEqual(read(4));
  const power = read(3).reduce((sum, x) => sum + x * x, 0);
  expect(power / 4).toBeGreaterThan(0.9);
  expect(power / 4).toBeLessThan(1.1);
});

test.each([
  ["", "text:1:1: a name is expected here"],
  ["g (float[2] x) => (y) { y = Neg (q) }", 'text:1:35: nothing produces "q"'],
  ["g (float[2] x) => (y) { x = Neg (x) }", 'text:1:37: "x" is produced twice'],
  ["g (float[2] x) => (y) { y = Neg (x) } more", "text:1:39: the model ends before this"],
  [
    "g (float[2] x) => (y) {\n y = Neg <a = []> (x) }",
    "text:2:17: an empty list needs its type, as in `axes: ints = []`",
  ],
  [
    "g () => (y) <float[2] w = {1}> { y = Neg (w) }",
    "text:1:30: 1 values are given for 2 elements",
  ],
  ["g () => (y) <int64[1] w = {1.5}> { y = Neg (w) }", "text:1:32: 1.5 is not a whole number"],
  [
    "g () => (y) <float16[1] w = {1}> { y = Neg (w) }",
    "text:1:32: float16 values have a point, as in 1.0",
  ],
  [
    "g () => (y) <float[N] w = {1}> { y = Neg (w) }",
    "text:1:27: a tensor's dimensions are numbers",
  ],
  ["g () => (y) <w = {1}> { y = Neg (w) }", 'text:1:18: "w" has values but no type'],
  [
    "g () => (y) <int8[1] w = random(1)> { y = Neg (w) }",
    "text:1:35: only floats are drawn at random",
  ],
  [
    "g () => (y) <float[99999,99999] w = random(1)> { y = Neg (w) }",
    "text:1:46: that many values are not drawn for a text",
  ],
  ["g (seq(float[2]) x) => (y) { y = Neg (x) }", "text:1:7: seq types have no text form here"],
  ["g (float[-2] x) => (y) { y = Neg (x) }", "text:1:10: a size is expected here"],
  ["g (float[2] x) => (y) { y = Neg (x", 'text:1:35: ")" is expected here'],
  [
    'g (float[2] x) => (y) { y = Neg <s = "open> (x) }',
    "text:1:38: an attribute's value is expected here",
  ],
])("bad text says where: %s", (source, message) => {
  try {
    parseModel(source);
  } catch (error) {
    expect(error).toBeInstanceOf(TersorError);
    expect((error as Error).message).toBe(`bad-text: ${message}. Correct the model's text there.`);
    return;
  }
  throw new Error("it was read");
});

test("cut anywhere, text is refused with a place", () => {
  for (let length = 0; length < text.length - 1; length++) {
    expect(() => parseModel(text.slice(0, length))).toThrow(/^bad-text: text:\d+:\d+: /);
  }
});

describe("numbers", () => {
  const back = (dtype: DType, value: number): number =>
    [
      ...parseModel(
        printModel(
          (() => {
            const graph = new Graph("g");
            const w = graph.addConstant("w", tensor(dtype, [1], [value]));
            graph.setOutputs([graph.add("Neg", [w], { outputs: ["y"] }).output]);
            return createModel(graph, 21);
          })(),
        ),
      ).graph.constants,
    ][0].tensor!.numbers()[0];

  test("every float comes back bit for bit", () => {
    fc.assert(fc.property(fc.float(), (x) => Object.is(back("float32", x), x)));
    fc.assert(fc.property(fc.double(), (x) => Object.is(back("float64", x), x)));
    fc.assert(
      fc.property(fc.float(), (x) => {
        const half = fromFloat16(toFloat16(x));
        return Object.is(back("float16", half), half);
      }),
    );
    for (const x of [-0, 1e-45, 3.4028234663852886e38, 0.1, 16777216]) {
      const single = Math.fround(x);
      expect(Object.is(back("float32", single), single)).toBe(true);
    }
  });

  test("the least and greatest integers of every type come back", () => {
    for (const [dtype, { kind, bits }] of Object.entries(dtypes) as [
      DType,
      { kind: string; bits: number },
    ][]) {
      if (kind !== "int" || dtype === "bool" || bits === 64) continue;
      const signed = dtype.startsWith("int");
      const least = signed ? -(2 ** (bits - 1)) : 0;
      const greatest = 2 ** (signed ? bits - 1 : bits) - 1;
      expect([back(dtype, least), back(dtype, greatest)]).toEqual([least, greatest]);
    }
  });
});

test("any graph comes back from its text", () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const model = randomModel(seed);
      const printed = printModel(model, { elements: 1e6 });
      return printModel(parseModel(printed), { elements: 1e6 }) === printed;
    }),
    { numRuns: 150 },
  );
});
