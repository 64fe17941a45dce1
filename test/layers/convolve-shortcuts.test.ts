/** @file Shortcuts without parameters that become convolutions: the same sums, and what is left alone. */
import { describe, expect, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { exitEarly } from "../../src/layers/branch.ts";
import { convolveShortcuts } from "../../src/layers/convolve-shortcuts.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { inferModel, inferNode } from "../../src/ops/infer.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(5);
const numbers = (size: number) => Float32Array.from({ length: size }, () => random.normal());

/** relu(shortcut(x) + conv(x)) with x [N, 3, 6, 6] behind a first layer. */
const net = (shortcut: (g: Builder, x: Value) => Value, channels: number, stride: number) =>
  layerModel(["N", 3, 6, 6], (g, input) => {
    const conv = (x: Value, from: number, to: number, step: number) =>
      g.Conv(x, g.constant(numbers(from * to * 9), { shape: [to, from, 3, 3] }), null, {
        strides: [step, step],
        pads: [1, 1, 1, 1],
      });
    const x = conv(input, 3, 3, 1);
    return g.Relu(g.Add(shortcut(g, x), conv(x, 3, channels, stride)));
  });

/** Every second position, and two empty channels before and one behind. */
const optionA = (g: Builder, x: Value): Value => {
  const [starts, ends, axes, steps] = [
    [0, 0],
    [6, 6],
    [2, 3],
    [2, 2],
  ].map((own) => g.ints(own));
  return g.Pad(g.Slice(x, starts, ends, axes, steps), g.ints([0, 2, 0, 0, 0, 1, 0, 0]));
};

test("positions and channels that are picked are convolved, with nearly the same sums", async () => {
  const model = net(optionA, 6, 2);
  const x = tensor("float32", [2, 3, 6, 6], numbers(216));
  const before = (await outputsOf(concat(writeModel(model)), { x })).y.floats();
  const nodes = convolveShortcuts(model.graph.sorted(), () => 1e-3 * random.normal());
  expect(new Set(nodes)).toEqual(new Set(model.graph.nodes));
  expect(model.graph.sorted().map(({ op }) => op)).not.toContain("Pad");
  const [conv] = nodes.filter(({ inputs: [, w] }) => w?.shape?.join() === "6,3,1,1");
  expect(conv.ints("strides")).toEqual([2, 2]);
  const weight = [...conv.inputs[1]!.tensor!.floats()];
  // Output channels 2, 3 and 4 hold those of x; the others are next to nothing, and free to learn.
  for (const [i, w] of weight.entries()) {
    const [to, from] = [Math.floor(i / 3), i % 3];
    expect(Math.abs(w - Number(to === from + 2))).toBeLessThan(0.01);
    expect(w).not.toBe(0);
  }
  const after = (await outputsOf(concat(writeModel(model)), { x })).y.floats();
  for (const [i, y] of after.entries()) expect(Math.abs(y - before[i])).toBeLessThan(0.1);
});

test("project-shortcuts: the same outputs, in the bodies of an If as well", async () => {
  const model = net(optionA, 6, 2);
  const { graph } = model;
  const g = build(graph, "choice", inferNode);
  const other = g.Mul(graph.sorted()[0].output, g.constant(2));
  const few = g.Pad(other, g.ints([0, 0, 0, 0, 0, 3, -3, -3]));
  const isTaken = g.Greater(g.ReduceMax(few, null, { keepdims: 0 }), g.constant(99));
  expect(exitEarly(graph, isTaken, few)).toBeNull();
  inferModel(model);
  const x = tensor("float32", [2, 3, 6, 6], numbers(216));
  const before = (await outputsOf(concat(writeModel(model)), { x })).y.floats();
  const {
    model: after,
    bytes,
    skipped,
  } = await apply(model, "project-shortcuts", {}, environmentOf(nets[0]));
  expect(skipped).toEqual([]);
  const ops = [...after.graph.walk()].flatMap(({ nodes }) => [...nodes].map(({ op }) => op));
  expect(ops).not.toContain("Slice");
  const found = (await outputsOf(bytes, { x })).y.floats();
  for (const [i, value] of found.entries()) expect(value).toBeCloseTo(before[i], 5);
});

describe("left alone", () => {
  test.each([
    [
      "a mean",
      (g: Builder, x: Value) => g.AveragePool(x, { kernel_shape: [2, 2], strides: [2, 2] }),
      2,
    ],
    ["a function of x", (g: Builder, x: Value) => g.Relu(x), 1],
    [
      "positions from the second on",
      (g: Builder, x: Value) =>
        g.Slice(
          x,
          ...[
            [1, 1],
            [6, 6],
            [2, 3],
            [2, 2],
          ].map((own) => g.ints(own)),
        ),
      2,
    ],
    ["all that there is", (g: Builder, x: Value) => g.Identity(x), 1],
    ["x itself", (_: Builder, x: Value) => x, 1],
  ] as const)("%s", (_, shortcut, stride) => {
    const { graph } = net(shortcut, 3, stride);
    const before = graph.sorted();
    expect(convolveShortcuts(before)).toEqual(before);
    expect(graph.sorted()).toEqual(before);
  });
});
