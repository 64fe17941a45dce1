/** @file Removing coupled channels gives what the dense model computes with zeros in their place. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { verify } from "../../src/ir/verify.ts";
import { createRandom } from "../../src/numeric/random.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { take } from "../../src/ops/coupling/remove.ts";
import { blocksOf } from "../../src/ops/coupling/reshape.ts";
import { type Coupling, couple, removeUnits } from "../../src/ops/coupling.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { relativeError } from "../support/error.ts";
import { layerModel } from "../support/layer.ts";
import {
  attentionNet,
  type BlockName,
  blocks,
  type Drawn,
  pictureNet,
  someUnits,
  zeroAtSinks,
} from "./coupling-nets.ts";

const names = Object.keys(blocks) as BlockName[];

/** Prunes one copy, zeroes the other, and compares. Gives the groups and how many units went. */
function check(
  make: () => Drawn,
  seed: number,
  share: number,
): { coupling: Coupling; count: number } {
  const [{ model, feeds }, dense] = [make(), make()];
  const [coupling, twin] = [couple(model), couple(dense.model)];
  const removals = someUnits(coupling, createRandom(seed), share);
  zeroAtSinks(dense.model, twin, someUnits(twin, createRandom(seed), share));
  removeUnits(model, removals);
  expect(verify(model)).toEqual([]);
  const [expected, actual] = [dense.model, model].map(({ graph }) => evaluateGraph(graph, feeds));
  expect(relativeError(expected, actual)).toBeLessThan(1e-4);
  const count = removals.reduce((sum, { units }) => sum + [...units].length, 0);
  return { coupling, count };
}

describe.each(names)("%s", (name) => {
  test("shrinks like zeroed channels", () => {
    const { coupling, count } = check(() => pictureNet(3, [name]), 5, 0.4);
    expect(count).toBeGreaterThan(5);
    expect(coupling.groups.filter(({ pinned }) => !pinned).length).toBeGreaterThan(1);
  });
});

test("random picture nets, random channels", () => {
  const block = fc.constantFrom(...names);
  const cases = fc.tuple(
    fc.array(block, { minLength: 2, maxLength: 4 }),
    fc.nat(1000),
    fc.double({ min: 0.1, max: 0.8, noNaN: true }),
  );
  fc.assert(
    fc.property(cases, ([chosen, seed, share]) => {
      check(() => pictureNet(seed, chosen), seed + 1, share);
    }),
    { numRuns: 25, seed: 4 },
  );
});

test("random attention, random heads, head sizes and neurons", () => {
  const cases = fc.tuple(
    fc.constantFrom([4, 4], [4, 2], [6, 2], [4, 1]),
    fc.boolean(),
    fc.nat(1000),
    fc.double({ min: 0.2, max: 0.8, noNaN: true }),
  );
  fc.assert(
    fc.property(cases, ([[heads, shared], isFused, seed, share]) => {
      check(() => attentionNet(seed, heads, shared, isFused), seed + 1, share);
    }),
    { numRuns: 40, seed: 4 },
  );
});

describe("what cannot shrink says why", () => {
  const reasons = ({ groups }: Coupling): string[] =>
    groups.flatMap(({ name, pinned }) =>
      pinned ? [`${name} <- ${pinned.node}: ${pinned.reason}`] : [],
    );

  test("ends of the model", () => {
    expect(reasons(couple(pictureNet(1, ["plain"]).model))).toEqual(
      expect.arrayContaining([
        "Conv0 <- x: is an input of the model",
        "MatMul7 <- Add8: is an output of the model",
      ]),
    );
  });

  test("what works along the channels", () => {
    const along = (op: (g: Builder, x: Value) => Value): string =>
      reasons(
        couple(
          layerModel(["N", 4, 6], (g, x) => {
            const weight = (): Value => g.constant(new Float32Array(36), { shape: [6, 6] });
            return g.MatMul(op(g, g.MatMul(x, weight())), weight());
          }),
        ),
      )[2];
    const axes = (g: Builder): Value => g.ints([-1]);
    const ones = (g: Builder): Value => g.constant(new Float32Array(6));
    expect(along((g, x) => g.LayerNormalization(x, ones(g)))).toMatch(
      /takes its mean over all channels$/,
    );
    expect(along((g, x) => g.Softmax(x))).toMatch(/normalizes over it$/);
    expect(along((g, x) => g.Sub(x, g.ReduceMean(x, axes(g))))).toMatch(
      /needs all of its channels$/,
    );
    expect(
      along((g, x) => g.Reshape(g.Reshape(x, g.ints([0, 24])), g.ints([0, 4, 6]))),
    ).toBeUndefined();
    expect(along((g, x) => g.Gather(x, g.constant(2, { dtype: "int64" }), { axis: 2 }))).toMatch(
      /picks/,
    );
  });

  test("operators without a rule", () => {
    const picture = pictureNet(1, ["plain"]);
    const [relu] = [...picture.model.graph.nodes].filter(({ op }) => op === "Relu");
    const odd = relu.graph.add("Mystery", [relu.inputs[0]], { domain: "acme", name: "odd" });
    odd.output.shape = relu.output.shape;
    relu.graph.replace(relu.output, odd.output);
    expect(reasons(couple(picture.model)).join()).toContain(
      "odd: has no coupling rule for Mystery",
    );
  });
});

describe("attention", () => {
  const sizes = (heads: number, shared: number): number[][] =>
    couple(attentionNet(1, heads, shared, false).model)
      .groups.filter(({ pinned }) => !pinned)
      .map(({ units: [unit, ...others] }) => [
        1 + others.length,
        Math.max(...unit.members.map(({ indices }) => indices.length)),
      ])
      .sort((a, b) => a[0] - b[0]);

  test("heads, head sizes of scores and of values, neurons", () => {
    expect(sizes(4, 4)).toEqual([
      [4, 6],
      [6, 4],
      [6, 4],
      [14, 1],
    ]);
  });

  test("grouped queries: keys and values go with all their queries, or one query of each goes", () => {
    expect(sizes(6, 3)).toEqual([
      [2, 18],
      [3, 12],
      [6, 6],
      [6, 6],
      [14, 1],
    ]);
  });
});

test("what is removed is gone everywhere, and nothing can lose everything", () => {
  const { model } = pictureNet(1, ["residual"]);
  const { groups } = couple(model);
  const [stream] = groups.filter(
    ({ pinned, units }) => !pinned && units.length === 8 && units[0].members.length > 5,
  );
  expect(() => removeUnits(model, [{ group: stream, units: stream.units.keys() }])).toThrow(
    /nothing would be left/,
  );
  const kept = removeUnits(model, [{ group: stream, units: [0, 7] }]);
  for (const { value, axis } of stream.units[0].members) {
    if (value.shape?.length === 4) expect(kept.indices(value, axis)).toEqual([1, 2, 3, 4, 5, 6]);
  }
});

test("elements of every type are cut alike, packed ones too", () => {
  const values = [0, 1, -2, 3, 4, -5, 6, 7, -8, 1, 2, 3];
  for (const dtype of ["float32", "float16", "int64", "int8", "int4"] as const) {
    const part = take(tensor(dtype, [2, 3, 2], values), 1, [0, 2]);
    expect(part.shape).toEqual([2, 2, 2]);
    expect(Array.from(part.numbers())).toEqual([0, 1, 4, -5, 6, 7, 2, 3]);
  }
});

describe("two ways to cut one axis", () => {
  test.each([
    [[2, 12, 5], [2, 3, 4, 5], "1=1,2 | 2=3"],
    [["N", 8, null, 6], ["N", 4, 2, null, 6], "1=1,2 | 2=3"],
    [[null, 12], [null, 3, 4], "0=0 | 1=1,2"],
    [["N", 4, "T"], ["N", "M"], ""],
    [[6, 4], [4, 6], "0,1=0,1"],
  ])("%j and %j", (from, to, expected) => {
    const blocks = blocksOf(from, to).map(({ ins, outs }) => `${ins}=${outs}`);
    for (const block of expected.split("|")) {
      if (block.trim()) expect(blocks).toContain(block.trim());
    }
    if (!expected) expect(blocks).toEqual(["0=0"]);
  });

  test("8 x 8 over 4 x 16 keeps what divides both; 4 x 6 over 6 x 4 keeps nothing", () => {
    const free = (first: number[], second: number[]): number[] =>
      couple(
        layerModel(["N", 5], (g, x) => {
          const size = first.reduce((a, b) => a * b);
          const weight = (...shape: number[]): Value =>
            g.constant(new Float32Array(shape.reduce((a, b) => a * b)), { shape });
          const wide = g.Reshape(g.MatMul(x, weight(5, size)), g.ints([0, ...first]));
          const again = g.Reshape(wide, g.ints([0, ...second]));
          return g.MatMul(g.Reshape(again, g.ints([0, size])), weight(size, 3));
        }),
      )
        .groups.filter(({ pinned }) => !pinned)
        .map(({ units }) => units.length)
        .sort((a, b) => a - b);
    expect(free([8, 8], [4, 16])).toEqual([2, 4, 8]);
    expect(free([4, 6], [6, 4])).toEqual([]);
  });
});
