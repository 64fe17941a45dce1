/** @file Arbitrary models for properties: any wiring, names, types and attributes, bodies included. */
import fc from "fast-check";
import type { Attribute } from "../../src/ir/attribute.ts";
import { byteLengthOf, type DType, dtypes } from "../../src/ir/dtype.ts";
import { type Dim, Graph, type Value } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { rawTensor, Tensor } from "../../src/ir/tensor.ts";
import { createRandom, type Random } from "../../src/numeric/random.ts";

/** Types whose every bit pattern has a text form (NaN payloads and wide integers excepted below). */
const types = (Object.keys(dtypes) as DType[]).filter(
  (dtype) => dtypes[dtype].kind === "int" || dtypes[dtype].kind === "string" || dtype === "float32",
);

/** A failure names only the seed and the number of nodes, which shrinks. */
export const seeds = fc.record({ seed: fc.nat(2 ** 31), size: fc.integer({ min: 1, max: 14 }) });

export function randomModel({ seed, size }: { seed: number; size: number }): Model {
  const random = createRandom(seed);
  const graph = new Graph(pick(random, ["g", "main graph", "1"]));
  const model = createModel(graph, 21);
  model.domains.set("com.acme", 1);
  if (random.int(2)) model.metadata.set('k"', "line\nbreak");
  fill(random, graph, size, [], 0);
  return model;
}

const names = ["a", "b", "x/y:0", "float", "", 'é \\ "', "a", "constructor"];

function fill(random: Random, graph: Graph, size: number, outer: readonly Value[], depth: number) {
  const values = [...outer];
  for (let i = random.int(3); i >= 0; i--) {
    // The interface's names are kept, so they must differ.
    const name = `in${depth}_${graph.inputs.length}`;
    values.push(graph.addInput(name, pick(random, types), shape(random)));
  }
  for (let i = random.int(4); i > 0; i--) {
    values.push(graph.addConstant(pick(random, names) || "w", elements(random)));
  }
  for (let i = 0; i < size; i++) {
    const inputs = Array.from({ length: random.int(4) }, () =>
      random.int(6) === 0 ? null : pick(random, values),
    );
    const attributes: Record<string, Attribute> = {};
    for (let k = random.int(4); k > 0; k--) attributes[`p${k}`] = attribute(random);
    if (depth < 2 && random.int(6) === 0) {
      const body = new Graph("body");
      fill(random, body, 1 + random.int(4), values, depth + 1);
      attributes.body = { type: "graph", value: body };
    }
    const node = graph.add(pick(random, ["Add", "Neg", "Relu"]), inputs, {
      name: pick(random, names) || "n",
      domain: pick(random, ["", "", "com.acme"]),
      attributes,
      outputs: Array.from({ length: 1 + random.int(2) }, () => pick(random, names) || "v"),
    });
    for (const output of node.outputs) {
      if (random.int(3) > 0) output.dtype = pick(random, types);
      if (output.dtype) output.shape = shape(random);
      values.push(output);
    }
  }
  const made = values.slice(outer.length).filter(({ producer }) => producer);
  const outputs = new Set(Array.from({ length: 1 + random.int(2) }, () => pick(random, made)));
  for (const [i, output] of [...outputs].entries())
    output.name = `out${depth}_${i}_${random.int(1e9)}`;
  graph.setOutputs([...outputs]);
}

function attribute(random: Random): Attribute {
  const list = <T>(item: () => T): T[] => Array.from({ length: random.int(3) }, item);
  const float = () => Math.fround((random.float() - 0.5) * 10 ** (random.int(20) - 10));
  const int = () => random.int(2 ** 32) - 2 ** 31;
  const text = () => pick(random, names);
  return pick<() => Attribute>(random, [
    () => ({ type: "float", value: float() }),
    () => ({ type: "int", value: int() }),
    () => ({ type: "string", value: text() }),
    () => ({ type: "floats", value: list(float) }),
    () => ({ type: "ints", value: list(int) }),
    () => ({ type: "strings", value: list(text) }),
    () => ({ type: "tensor", value: elements(random) }),
  ])();
}

function elements(random: Random): Tensor {
  const dtype = pick(random, types);
  const dims = Array.from({ length: random.int(3) }, () => random.int(4));
  const size = dims.reduce((product, dim) => product * dim, 1);
  if (dtype === "string") {
    const strings = Array.from({ length: size }, () => pick(random, names));
    return new Tensor(dtype, dims, () => new Uint8Array(0), strings);
  }
  const bytes = Uint8Array.from({ length: byteLengthOf(dtype, size) }, () => random.int(256));
  // One NaN has many bit patterns: keep exponents below all ones.
  if (dtype === "float32") for (let i = 3; i < bytes.length; i += 4) bytes[i] &= 0xbf;
  // The unused bits of the last byte are 0, as whoever packs leaves them.
  const used = (size * dtypes[dtype].bits) % 8;
  if (used > 0) bytes[bytes.length - 1] &= (1 << used) - 1;
  return rawTensor(dtype, dims, bytes);
}

function shape(random: Random): readonly Dim[] | null {
  if (random.int(5) === 0) return null;
  return Array.from({ length: random.int(4) }, () =>
    pick<Dim>(random, [1, 0, 7, 2 ** 40, null, "N", "batch size"]),
  );
}

function pick<T>(random: Random, from: readonly T[]): T {
  return from[random.int(from.length)];
}
