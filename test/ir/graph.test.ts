import { expect, test } from "vitest";
import { Graph, type Node, type Value } from "../../src/ir/graph.ts";
import { parseModel } from "../../src/ir/parse.ts";
import { printGraph } from "../../src/ir/print.ts";
import { rawTensor, tensor } from "../../src/ir/tensor.ts";

const source = `g (float[2] x, bool c) => (float[2] y) <float[2] w = {1, 2}>
{
  [mul] h = Mul (x, w)
  [neg] n = Neg (h)
  [if] y = If (c) <then_branch = a () => (p) { [add] p = Add (h, n) }, else_branch = b () => (n) { }>
}`;

function read(): { graph: Graph; node: (name: string) => Node } {
  const { graph } = parseModel(source);
  const nodes = [...graph.walk()].flatMap((g) => [...g.nodes]);
  return { graph, node: (name) => nodes.find((n) => n.name === name) as Node };
}

/** Every use is a real one, and every real one is known. */
function expectConsistent(root: Graph): void {
  const found = new Map<Value, Set<string>>();
  const see = (value: Value, user: Node | Graph, index: number): void => {
    const uses = found.get(value) ?? new Set();
    found.set(value, uses.add(`${user.name}:${index}`));
  };
  for (const graph of root.walk()) {
    for (const [i, output] of graph.outputs.entries()) see(output, graph, i);
    for (const node of graph.nodes) {
      for (const [i, input] of node.inputs.entries()) if (input) see(input, node, i);
      for (const output of node.outputs) expect(output.producer).toBe(node);
    }
  }
  for (const [value, uses] of found) {
    expect(new Set([...value.uses].map(({ user, index }) => `${user.name}:${index}`))).toEqual(
      uses,
    );
  }
}

test("uses are kept through edits, inside bodies too", () => {
  const { graph, node } = read();
  expectConsistent(graph);
  const h = node("mul").output;
  expect(h.consumers).toEqual([node("neg"), node("add")]);
  node("add").setInputs([node("neg").output, null, h, null]);
  expect(node("add").inputs).toEqual([node("neg").output, null, h]);
  expectConsistent(graph);
  node("add").setInput(4, graph.inputs[0]);
  expect(node("add").inputs).toHaveLength(5);
  node("add").setInputs([]);
  expect(h.consumers).toEqual([node("neg")]);
  expectConsistent(graph);
});

test("a node that goes lets go of what its bodies read", () => {
  const { graph, node } = read();
  const n = node("neg").output;
  expect(n.uses.size).toBe(2);
  graph.setOutputs([n]);
  graph.remove(node("if"));
  expect([...n.uses].map(({ user }) => user)).toEqual([graph]);
  expect(node("mul").output.consumers).toEqual([node("neg")]);
  expectConsistent(graph);
});

test("what takes an output's place takes its name", () => {
  const { graph, node } = read();
  const y = node("if").output;
  const by = graph.add("Abs", [node("mul").output], { name: "abs" }).output;
  expect(graph.replaceable(y, by)).toBe(true);
  graph.replace(y, by);
  expect(graph.outputs).toEqual([by]);
  expect([by.name, by.dtype]).toEqual(["y", "float32"]);
  graph.remove(node("if"));
  expectConsistent(graph);
  expect(printGraph(graph)).toContain("[abs] y = Abs (h)");
});

test("an input, a constant or another output cannot take an output's name", () => {
  const { graph, node } = read();
  const y = node("if").output;
  const [x] = graph.inputs;
  expect(graph.replaceable(y, x)).toBe(false);
  expect(graph.replaceable(y, [...graph.constants][0])).toBe(false);
  expect(() => graph.replace(y, x)).toThrow("cannot take the name");
  const h = node("mul").output;
  // Anything may stand for an inner value, but not for what a body returns.
  expect(graph.replaceable(h, x)).toBe(true);
  expect(graph.replaceable(node("neg").output, x)).toBe(false);
  graph.setOutputs([y, h]);
  expect(graph.replaceable(y, h)).toBe(false);
});

test("order: producers first, bodies' captures counted, otherwise as added; a cycle has none", () => {
  const graph = new Graph("g");
  const x = graph.addInput("x", "float32", [1]);
  const late = graph.addValue("late");
  const body = new Graph("body");
  body.setOutputs([late]);
  const first = graph.add("If", [x], {
    name: "if",
    attributes: { then_branch: { type: "graph", value: body } },
  });
  const free = graph.add("Neg", [x], { name: "free" });
  const producer = graph.add("Abs", [x], { name: "abs", outputs: [late] });
  expect(graph.sorted()).toEqual([producer, first, free]);
  producer.setInput(0, first.output);
  expect(() => graph.sorted()).toThrow("depend on each other");
});

test("a chain of a hundred thousand nodes is sorted", () => {
  const graph = new Graph("g");
  const values = Array.from({ length: 100_000 }, (_, i) => graph.addValue(`v${i}`));
  for (let i = values.length - 1; i > 0; i--) {
    graph.add("Neg", [values[i - 1]], { outputs: [values[i]] });
  }
  const order = graph.sorted();
  expect(order[0].inputs[0]).toBe(values[0]);
  expect(order.at(-1)?.output).toBe(values.at(-1));
});

test("attributes are replaced, never changed in place", () => {
  const { node } = read();
  const mul = node("mul");
  const before = mul.attributes;
  mul.set("axis", { type: "int", value: 3 });
  expect([mul.int("axis"), mul.int("axis", 7), mul.float("axis"), mul.int("none", 7)]).toEqual([
    3,
    3,
    undefined,
    7,
  ]);
  mul.set("axis", null);
  expect(mul.attributes).toEqual({});
  expect(before).toEqual({});
});

test("tensors: values go in and come out in every type, from any place in memory", () => {
  const bytes = new Uint8Array(13);
  bytes.set(new Uint8Array(Float32Array.of(1, -2.5, 3).buffer), 1);
  const unaligned = rawTensor("float32", [3], bytes.subarray(1));
  expect(Array.from(unaligned.floats())).toEqual([1, -2.5, 3]);
  expect(Array.from(tensor("int4", [3], [-8, 7, -1]).bytes())).toEqual([0x78, 0x0f]);
  expect(Array.from(tensor("int4", [3], [-8, 7, -1]).numbers())).toEqual([-8, 7, -1]);
  expect(Array.from(tensor("uint2", [5], [0, 1, 2, 3, 1]).bytes())).toEqual([0b11100100, 1]);
  expect(Array.from(tensor("float16", [2], [1.5, -0.25]).numbers())).toEqual([1.5, -0.25]);
  expect(tensor("int64", [2], [2 ** 63, -(2 ** 63)]).data()).toEqual(
    BigInt64Array.of(2n ** 63n - 1n, -(2n ** 63n)),
  );
  const scalar = tensor("float32", [], 2);
  expect([scalar.size, scalar.byteLength, Array.from(scalar.floats())]).toEqual([1, 4, [2]]);
  // No copy where none is needed.
  const data = Float32Array.of(1, 2);
  expect(tensor("float32", [2], data).floats().buffer).toBe(data.buffer);
  expect(tensor("float32", [2], data).reshape([1, 2]).bytes().buffer).toBe(data.buffer);
});
