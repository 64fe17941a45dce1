/** @file Each trait, held against what the operators that have it compute. */
import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { schemaTable } from "../../src/ops/schema-table.ts";
import { hasTrait, type Trait, traits } from "../../src/ops/traits.ts";

const shape = [2, 3, 4, 4];
const size = shape.reduce((a, b) => a * b, 1);
const random = createRandom(3);
const drawn = (): Float64Array => Float64Array.from({ length: size }, () => random.normal() * 2);

const vector = (g: Builder, ...values: readonly number[]): Value =>
  g.constant(values, { dtype: "float64", shape: [values.length] });
const channel = (g: Builder): Value =>
  g.constant([0.5, -2, 3], { dtype: "float64", shape: [3, 1, 1] });

/** Where an operator takes more than x, or needs attributes. */
const special: Readonly<Record<string, (g: Builder, x: Value) => Value>> = {
  Add: (g, x) => g.Add(x, channel(g)),
  AveragePool: (g, x) => g.AveragePool(x, { kernel_shape: [2, 2] }),
  BatchNormalization: (g, x) =>
    g.BatchNormalization(
      x,
      vector(g, 1, -2, 3),
      vector(g, 3, 2, 1),
      vector(g, -1, 0, 1),
      vector(g, 1, 2, 3),
    ),
  Clip: (g, x) =>
    g.Clip(x, g.constant(-1, { dtype: "float64" }), g.constant(1, { dtype: "float64" })),
  Div: (g, x) => g.Div(x, channel(g)),
  MaxPool: (g, x) => g.MaxPool(x, { kernel_shape: [2, 2] }),
  Mul: (g, x) => g.Mul(x, channel(g)),
  PRelu: (g, x) => g.PRelu(x, channel(g)),
  Reshape: (g, x) => g.Reshape(x, g.ints([2, 3, 16])),
  Squeeze: (g, x) => g.Squeeze(g.Reshape(x, g.ints([2, 3, 16, 1])), g.ints([3])),
  Sub: (g, x) => g.Sub(x, channel(g)),
  Transpose: (g, x) => g.Transpose(x, { perm: [2, 0, 3, 1] }),
  Unsqueeze: (g, x) => g.Unsqueeze(x, g.ints([1])),
};

/** y = op(x), by the reference evaluator. */
function run(op: string, x: Float64Array): number[] {
  const graph = new Graph("trait");
  const g = build(graph);
  const input = graph.addInput("x", "float64", shape);
  const y = special[op] ? special[op](g, input) : g.many(op, [input], { outputs: 1 })[0];
  y.name = "y";
  graph.setOutputs([y]);
  inferModel(createModel(graph, 21));
  return Array.from(evaluateGraph(graph, { x: tensor("float64", shape, x) }).y.numbers());
}

const having = (trait: Trait): string[] =>
  Object.entries(traits).flatMap(([op, own]) =>
    own?.includes(trait) && !op.includes(":") ? [op] : [],
  );
const close = (a: readonly number[], b: readonly number[]): void => {
  expect(a.length).toBe(b.length);
  for (const [i, x] of a.entries()) expect(Math.abs(x - b[i])).toBeLessThan(1e-9);
};

test.each(having("separate"))("%s keeps channels apart", (op) => {
  const x = drawn();
  const before = run(op, x);
  const reached = [0, 1, 2].map((c) => {
    const moved = run(
      op,
      x.map((v, i) => (Math.floor(i / 16) % 3 === c ? -1.5 * v + 0.25 : v)),
    );
    return moved.flatMap((y, i) => (y === before[i] ? [] : [i]));
  });
  for (const places of reached) expect(places.length).toBeGreaterThan(0);
  const all = reached.flat();
  expect(new Set(all).size).toBe(all.length);
});

test.each(having("homogeneous"))("%s: f(a x) = a f(x)", (op) => {
  const x = drawn();
  for (const a of [0.3, 7]) {
    const scaled = run(
      op,
      x.map((v) => a * v),
    );
    close(
      scaled,
      run(op, x).map((y) => a * y),
    );
  }
});

test.each(having("affine"))("%s: f(x) + f(z) = f(x + z) + f(0)", (op) => {
  const [x, z] = [drawn(), drawn()];
  const sum = run(
    op,
    x.map((v, i) => v + z[i]),
  );
  const [fx, fz, f0] = [x, z, new Float64Array(size)].map((v) => run(op, v));
  close(
    sum,
    fx.map((y, i) => y + fz[i] - f0[i]),
  );
});

test.each(having("probabilities"))("%s gives probabilities, or their logarithms", (op) => {
  const y = run(op, drawn());
  const p = Math.min(...y) < 0 ? y.map(Math.exp) : y;
  expect(p.every((share) => share > 0 && share < 1)).toBe(true);
});

describe("the table", () => {
  test("knows bodies: those that repeat or branch are all that have one", () => {
    const withBodies = Object.entries(schemaTable).flatMap(([op, { attributes }]) =>
      Object.values(attributes).some(({ type }) => type === "graph") ? [op] : [],
    );
    // A SequenceMap's body is run for each tensor of a list: no network was seen with one.
    const known = [...having("repeats"), ...having("branches"), "SequenceMap"];
    expect(known.sort()).toEqual(withBodies.sort());
  });

  test("is about the standard's operators: another domain's Relu is another Relu", () => {
    expect(hasTrait({ op: "Relu", domain: "" }, "homogeneous")).toBe(true);
    expect(hasTrait({ op: "Relu", domain: "ai.example" }, "homogeneous")).toBe(false);
    expect(hasTrait({ op: "toString", domain: "" }, "homogeneous")).toBe(false);
    expect(hasTrait(null, "homogeneous")).toBe(false);
  });
});
