/** @file Weights of many stored levels, which are multiplied out only when they are asked for. */
import { expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { readWeight } from "../../src/weights/read.ts";

test("many stored levels are read as they were, though the node that reads them has changed", () => {
  const graph = new Graph("g");
  const size = 2 ** 11;
  const levels = Int8Array.from({ length: size * size }, (_, i) => (i % 251) - 125);
  const scales = Float32Array.from({ length: size }, (_, i) => 2 ** -(i % 7));
  const q = graph.addConstant("q", tensor("int8", [size, size], levels));
  const s = graph.addConstant("s", tensor("float32", [size], scales));
  const attributes = { axis: { type: "int", value: 0 } } as const;
  const node = graph.add("DequantizeLinear", [q, s], { attributes });
  node.output.dtype = "float32";
  node.output.shape = [size, size];
  const weight = readWeight(node.output);
  const ones = tensor("float32", [size], new Float32Array(size).fill(1));
  node.setInput(1, graph.addConstant("ones", ones));
  const values = weight?.values;
  for (const i of [0, 1, size + 5, 9 * size + 77, size * size - 1]) {
    expect(values?.[i]).toBe(levels[i] * scales[Math.floor(i / size)]);
  }
});
