/** @file Lines of kernels that do nothing go, those that do something stay; outputs stay where they were. */
import { expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { relativeError } from "../support/error.ts";
import { layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(7);
const numbers = (size: number): Float32Array => Float32Array.from({ length: size }, random.normal);
const x = tensor("float32", [16, 2, 9, 8], numbers(16 * 2 * 9 * 8));
const env = environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x } });

interface Attributes {
  readonly pads?: number[];
  readonly strides?: number[];
  readonly dilations?: number[];
  readonly group?: number;
  readonly auto_pad?: string;
}
type Where = (row: number, column: number) => boolean;

/** One convolution of 2 channels to 4, zero where `isZero` says so. */
function convolution(kernel: [number, number], attributes: Attributes, isZero: Where) {
  const [height, width] = kernel;
  const depth = 2 / (attributes.group ?? 1);
  const weight = numbers(4 * depth * height * width);
  for (let i = 0; i < weight.length; i++) {
    if (isZero(Math.floor(i / width) % height, i % width)) weight[i] = 0;
  }
  const shape = [4, depth, height, width];
  return layerModel(["N", 2, 9, 8], (g, input) =>
    g.Relu(
      g.Conv(input, g.constant(weight, { shape }), g.constant(numbers(4)), {
        kernel_shape: kernel,
        ...attributes,
      }),
    ),
  );
}
const kernelOf = ({ graph }: ReturnType<typeof convolution>) => {
  const layer = graph.sorted().find(({ op }) => op === "Conv");
  return layer?.inputs[1]?.shape?.slice(2);
};

const pads = [1, 1, 1, 1];
const cases: [[number, number], Attributes, Where, number[]][] = [
  [[3, 3], { pads }, (row) => row === 0, [2, 3]],
  [[3, 3], { pads }, (_, column) => column === 2, [3, 2]],
  [[3, 3], { pads }, (row, column) => row !== 1 || column !== 1, [1, 1]],
  [[3, 3], { pads: [0, 0, 1, 1], strides: [2, 2] }, (row) => row === 2, [2, 3]],
  [[3, 3], { pads: [2, 2, 2, 2], dilations: [2, 2] }, (row) => row === 2, [2, 3]],
  [[5, 1], { pads: [2, 0, 2, 0], strides: [2, 1] }, (row) => row === 0 || row === 4, [3, 1]],
  [[3, 3], { pads, group: 2 }, (_, column) => column === 0, [3, 2]],
  [[2, 3], { pads }, (row) => row === 1, [1, 3]],
  // Rows of 9 are padded on both sides, columns of 8 on the right alone.
  [[3, 3], { auto_pad: "SAME_UPPER", strides: [2, 2] }, (_, column) => column === 2, [3, 2]],
];
test.each(cases)("%j %j loses lines of zeros, outputs stay", async (kernel, given, where, left) => {
  const model = convolution(kernel, given, where);
  const { model: done, bytes } = await apply(model, "prune-taps", { tolerance: 1e-6 }, env);
  expect(kernelOf(done)).toEqual(left);
  const before = concat(writeModel(model));
  const [expected, actual] = [await outputsOf(before, { x }), await outputsOf(bytes, { x })];
  expect(relativeError(expected, actual)).toBeLessThan(1e-6);
});

test("without padding there, a line cannot go: what is given would move", async () => {
  const model = convolution([3, 3], { pads: [0, 0, 0, 0] }, (row) => row === 0);
  const { model: done, skipped } = await apply(model, "prune-taps", { tolerance: 1 }, env);
  expect(kernelOf(done)).toEqual([3, 3]);
  const reasons = skipped.map(({ node, reason }) => `${node}: ${reason}`);
  expect(reasons).toEqual(["layer1: keeps its kernel: no padding makes room for a shorter one"]);
});

test("what goes is made up for by what stays, and both are told", async () => {
  // Rows are nearly alike: one can speak for the others.
  const alike = x.floats().map((v, i, all) => all[72 * Math.floor(i / 72) + (i % 8)] + 0.05 * v);
  const smooth = tensor("float32", [16, 2, 9, 8], alike);
  const own = environmentOf(nets[0], {
    calibration: tensorDataset({ x: smooth }),
    feeds: { x: smooth },
  });
  const model = convolution([3, 3], { pads: [1, 1, 1, 1] }, (_, column) => column !== 1);
  const {
    model: done,
    bytes,
    warnings,
  } = await apply(model, "prune-taps", { tolerance: 0.05 }, own);
  const [rows, columns] = kernelOf(done) ?? [];
  expect(columns).toBe(1);
  expect(rows).toBeLessThan(3);
  const told = Number(warnings[0].split(" ").at(-1));
  expect(warnings[0]).toContain(`layer1 3x3 -> ${rows}x1; the outputs move by`);
  expect(told).toBeLessThanOrEqual(0.05);
  const [y, z] = await Promise.all(
    [concat(writeModel(model)), bytes].map(async (each) =>
      Object.values(await outputsOf(each, { x: smooth }))[0].floats(),
    ),
  );
  const square = (values: Float32Array): number => values.reduce((sum, v) => sum + v * v, 0);
  expect(square(y.map((v, i) => v - z[i])) / square(y)).toBeCloseTo(told, 3);
  const strict = await apply(model, "prune-taps", { tolerance: 1e-5 }, own);
  expect(kernelOf(strict.model)).toEqual([3, 1]);
  expect(strict.skipped.map(({ node }) => node)).toEqual(["layer1"]);
  const reason =
    /^keeps a kernel of 3x1: without its (first|last) row alone the outputs move by 0\.0/;
  expect(strict.skipped[0].reason).toMatch(reason);
});

test("a sparse kernel loses its line, but no fit fills the zeros that are left", async () => {
  const model = convolution([3, 3], { pads: [1, 0, 0, 0] }, (row, column) => row !== column);
  const [{ weight: before }] = weightsIn(model);
  const { model: done, skipped } = await apply(model, "prune-taps", { tolerance: 1 }, env);
  const [{ weight: after }] = weightsIn(done);
  expect(after.shape).toEqual([4, 2, 2, 3]);
  expect(after.values).toEqual(before.values.filter((_, i) => i % 9 >= 3));
  const reason = "is not fitted: it is sparse, and a fit would fill its zeros";
  expect(skipped.map(({ node, reason }) => [node, reason])).toEqual([["layer1", reason]]);
});
