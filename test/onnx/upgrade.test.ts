import { describe, expect, test } from "vitest";
import type { DType } from "../../src/ir/dtype.ts";
import { parseModel } from "../../src/ir/parse.ts";
import { printModel } from "../../src/ir/print.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { readModel } from "../../src/onnx/read.ts";
import { OPSET, raiseOpset } from "../../src/onnx/upgrade.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Feeds } from "../../src/runtime/runtime.ts";
import { catchError, noise, runBytes, textBytes } from "./support.ts";

/** The model's text with its operator set, e.g. `at(9, "g (float[2] x) => ...")`. */
const at = (opset: number, graph: string, domains = ""): string =>
  `<ir_version: 8, opset_import: ["" : ${opset}${domains}]> ${graph}`;

/** The engine runs the old model itself: the upgraded one must give the same bits. */
const engineCases: Record<string, { text: string; feeds: Feeds }> = {
  "Slice 9": {
    text: at(
      9,
      "g (float[4,5] x) => (float[] y) { y = Slice<starts = [1,-3], ends = [3,100], axes = [0,1]> (x) }",
    ),
    feeds: { x: noise([4, 5]) },
  },
  "Slice 9 without axes": {
    text: at(9, "g (float[4,5] x) => (float[] y) { y = Slice<starts = [1,1], ends = [3,4]> (x) }"),
    feeds: { x: noise([4, 5]) },
  },
  "Pad 10": {
    text: at(10, "g (float[2,3] x) => (float[] y) { y = Pad<pads = [0,1,2,3], value = 1.5> (x) }"),
    feeds: { x: noise([2, 3]) },
  },
  "Pad 2 reflect": {
    text: at(
      7,
      `g (float[4,5] x) => (float[] y) { y = Pad<mode = "reflect", pads = [1,1,2,2]> (x) }`,
    ),
    feeds: { x: noise([4, 5]) },
  },
  "Clip 6": {
    text: at(8, "g (float[40] x) => (float[] y) { y = Clip<min = -0.5, max = 0.25> (x) }"),
    feeds: { x: noise([40]) },
  },
  "Clip 6 with one limit": {
    text: at(10, "g (float[40] x) => (float[] y) { y = Clip<min = 0.0> (x) }"),
    feeds: { x: noise([40]) },
  },
  "TopK 1": {
    text: at(9, "g (float[3,6] x) => (float[] v, int64[] i) { v, i = TopK<k = 2> (x) }"),
    feeds: { x: noise([3, 6]) },
  },
  "TopK 10": {
    text: at(
      10,
      "g (float[3,6] x) => (float[] v, int64[] i) <int64[1] k = {2}> { v, i = TopK<axis = 0> (x, k) }",
    ),
    feeds: { x: noise([3, 6]) },
  },
  "Squeeze, Unsqueeze 11": {
    text: at(
      12,
      "g (float[3,1,2] x) => (float[] y) { s = Squeeze<axes = [1]> (x) u = Unsqueeze<axes = [0,-1]> (s) y = Squeeze (u) }",
    ),
    feeds: { x: noise([3, 1, 2]) },
  },
  "Split 2": {
    text: at(
      12,
      "g (float[6,4] x) => (float[] a, float[] b, float[] c, float[] d) { a, b = Split<axis = 0, split = [2,4]> (x) c, d = Split<axis = 1> (x) }",
    ),
    feeds: { x: noise([6, 4]) },
  },
  "Split 13 without sizes": {
    text: at(17, "g (float[6,4] x) => (float[] a, float[] b) { a, b = Split<axis = 1> (x) }"),
    feeds: { x: noise([6, 4]) },
  },
  "Softmax 1 over several axes": {
    text: at(11, "g (float[2,3,4] x) => (float[] y) { r = Relu (x) y = Softmax (r) }"),
    feeds: { x: noise([2, 3, 4]) },
  },
  "Softmax 11 over the last axis": {
    text: at(12, "g (float[2,3,4] x) => (float[] y) { y = Softmax<axis = 2> (x) }"),
    feeds: { x: noise([2, 3, 4]) },
  },
  "Softmax 11 before axes of size one": {
    text: at(12, "g (float[2,7,1,1] x) => (float[] y) { y = Softmax<axis = 1> (x) }"),
    feeds: { x: noise([2, 7, 1, 1]) },
  },
  "LogSoftmax 11, negative axis": {
    text: at(11, "g (float[2,3,4] x) => (float[] y) { y = LogSoftmax<axis = -2> (x) }"),
    feeds: { x: noise([2, 3, 4]) },
  },
  "Hardmax 1 of unknown rank": {
    text: at(8, "g (float[] x) => (float[] y) { y = Hardmax<axis = 1> (x) }"),
    feeds: { x: noise([2, 3, 4]) },
  },
  "Reduce 11": {
    text: at(
      12,
      "g (float[2,3,4] x) => (float[] a, float[] b, float[] c) { a = ReduceMean<axes = [-1]> (x) b = ReduceSum<axes = [0,2], keepdims = 0> (x) c = ReduceMax (x) }",
    ),
    feeds: { x: noise([2, 3, 4]) },
  },
  "Reduce 13": {
    text: at(
      17,
      "g (float[2,3,4] x) => (float[] a, float[] b) { a = ReduceL2<axes = [1], keepdims = 0> (x) b = ReduceLogSumExp<axes = [1,2]> (x) }",
    ),
    feeds: { x: noise([2, 3, 4]) },
  },
  "Upsample 7 nearest": {
    text: at(
      8,
      `g (float[1,2,3,3] x) => (float[] y) { y = Upsample<mode = "nearest", scales = [1.0,1.0,2.0,3.0]> (x) }`,
    ),
    feeds: { x: noise([1, 2, 3, 3]) },
  },
  "Upsample 9 linear": {
    text: at(
      9,
      `g (float[1,2,3,3] x) => (float[] y) <float[4] s = {1,1,2.5,2}> { y = Upsample<mode = "linear"> (x, s) }`,
    ),
    feeds: { x: noise([1, 2, 3, 3]) },
  },
  "Resize 10 up": {
    text: at(
      10,
      "g (float[1,2,3,3] x) => (float[] y) <float[4] s = {1,1,1.7,2}> { y = Resize (x, s) }",
    ),
    feeds: { x: noise([1, 2, 3, 3]) },
  },
  "Resize 10 down": {
    text: at(
      10,
      "g (float[1,2,7,9] x) => (float[] y) <float[4] s = {1,1,0.6,0.4}> { y = Resize (x, s) }",
    ),
    feeds: { x: noise([1, 2, 7, 9]) },
  },
  "Resize 10 linear, given scales": {
    text: at(
      10,
      `g (float[1,2,3,3] x, float[4] s) => (float[] y) { y = Resize<mode = "linear"> (x, s) }`,
    ),
    feeds: { x: noise([1, 2, 3, 3]), s: tensor("float32", [4], [1, 1, 2, 1.5]) },
  },
  "Resize 11 by sizes": {
    text: at(
      11,
      "g (float[1,2,3,3] x) => (float[] y) <float[0] none = {}, int64[4] size = {1,2,5,7}> { y = Resize (x, none, none, size) }",
    ),
    feeds: { x: noise([1, 2, 3, 3]) },
  },
  "Resize 11 tf_half_pixel_for_nn": {
    text: at(
      11,
      `g (float[1,2,3,5] x) => (float[] y) <float[0] none = {}, float[4] s = {1,1,2,1.6}> { y = Resize<coordinate_transformation_mode = "tf_half_pixel_for_nn", nearest_mode = "floor"> (x, none, s) }`,
    ),
    feeds: { x: noise([1, 2, 3, 5]) },
  },
  "Dropout 7": {
    text: at(9, "g (float[9] x) => (float[] y) { y = Dropout<ratio = 0.3> (x) }"),
    feeds: { x: noise([9]) },
  },
  "BatchNormalization 7": {
    text: at(
      8,
      "g (float[2,3,4] x) => (float[] y) <float[3] s = {1,2,3}, float[3] b = {0,1,2}, float[3] m = {0.1,0.2,0.3}, float[3] v = {1,2,0.5}> { y = BatchNormalization<epsilon = 0.01> (x, s, b, m, v) }",
    ),
    feeds: { x: noise([2, 3, 4]) },
  },
  "Scatter 9": {
    text: at(
      10,
      "g (float[3,3] x, int64[1,2] i, float[1,2] u) => (float[] y) { y = Scatter<axis = 1> (x, i, u) }",
    ),
    feeds: { x: noise([3, 3]), i: tensor("int64", [1, 2], [2, 0]), u: noise([1, 2], 2) },
  },
  "RoiAlign 10": {
    text: at(
      10,
      "g (float[1,2,8,8] x, float[2,4] r, int64[2] b) => (float[] y) { y = RoiAlign<output_height = 2, output_width = 3, sampling_ratio = 2, spatial_scale = 0.5> (x, r, b) }",
    ),
    feeds: {
      x: noise([1, 2, 8, 8]),
      r: tensor("float32", [2, 4], [0, 0, 9, 9, 3, 2, 15, 12]),
      b: tensor("int64", [2], [0, 0]),
    },
  },
  "GridSample 16": {
    text: at(
      16,
      `g (float[1,2,5,5] x, float[1,3,4,2] p) => (float[] y, float[] z) { y = GridSample (x, p) z = GridSample<mode = "bicubic", padding_mode = "border"> (x, p) }`,
    ),
    feeds: { x: noise([1, 2, 5, 5]), p: noise([1, 3, 4, 2], 3) },
  },
  "DFT 17": {
    text: at(
      17,
      "g (float[2,8,4,1] x) => (float[] y, float[] z) { y = DFT (x) z = DFT<axis = 2> (x) }",
    ),
    feeds: { x: noise([2, 8, 4, 1]) },
  },
  "GroupNormalization 18": {
    text: at(
      18,
      "g (float[2,6,5] x) => (float[] y) <float[3] s = {1,2,3}, float[3] b = {0,-1,1}> { y = GroupNormalization<num_groups = 3> (x, s, b) }",
    ),
    feeds: { x: noise([2, 6, 5]) },
  },
  "GroupNormalization 18, unknown channels": {
    text: at(
      20,
      "g (float[N,C,L] x, float[3] s) => (float[] y) <float[3] b = {0,-1,1}> { y = GroupNormalization<num_groups = 3> (x, s, b) }",
    ),
    feeds: { x: noise([2, 6, 5]), s: noise([3], 4) },
  },
  "Scan 8": {
    text: at(
      8,
      `g (float[2,3] start, float[2,4,3] x) => (float[] last, float[] all) {
      last, all = Scan<num_scan_inputs = 1, body = step (float[3] sum, float[3] next) => (float[3] out, float[3] copy)
        { out = Add (sum, next) copy = Identity (out) }> ( , start, x) }`,
    ),
    feeds: { start: noise([2, 3]), x: noise([2, 4, 3], 2) },
  },
  "Scan 8 backwards": {
    text: at(
      8,
      `g (float[2,3] start, float[2,4,3] x) => (float[] last, float[] all) {
      last, all = Scan<num_scan_inputs = 1, directions = [1], body = step (float[3] sum, float[3] next) => (float[3] out, float[3] copy)
        { h = Mul (sum, sum) out = Add (h, next) copy = Identity (out) }> ( , start, x) }`,
    ),
    feeds: { start: noise([2, 3]), x: noise([2, 4, 3], 2) },
  },
  "operators inside a body": {
    text: at(
      9,
      `g (bool c, float[4,6] x) => (float[] y) {
      y = If (c) <then_branch = yes () => (float[] a) { a = Slice<starts = [-9], ends = [9]> (x) },
                  else_branch = no () => (float[] b) { b = Clip<max = 0.1> (x) }> }`,
    ),
    feeds: { c: tensor("bool", [], [1]), x: noise([4, 6]) },
  },
  "LSTM 7": {
    text: at(
      8,
      `g (float[3,1,2] x) => (float[] y, float[] h) <float[1,8,2] w = random(1), float[1,8,2] r = random(2)>
      { y, h = LSTM<hidden_size = 2> (x, w, r) }`,
    ),
    feeds: { x: noise([3, 1, 2]) },
  },
};

describe("an operator set from 7 to 20, against the engine on the untouched model", () => {
  test.each(Object.entries(engineCases))("%s", async (_, { text, feeds }) => {
    const bytes = textBytes(text);
    const upgraded = readModel(bytes);
    expect(upgraded.opset).toBe(OPSET);
    expect(upgraded.irVersion).toBeGreaterThanOrEqual(10);
    expect(values(await runBytes(concat(writeModel(upgraded)), feeds))).toEqual(
      values(await runBytes(bytes, feeds)),
    );
  });
});

/** The engine is too new for these: expected values by the operators' old documentation. */
const handCases: Record<string, { text: string; feeds: Feeds; y: number[]; shape: number[] }> = {
  "Add 1 along an axis": {
    text: at(
      1,
      "g (float[1,2,2] x, float[2] b) => (float[1,2,2] y) { y = Add<axis = 1, broadcast = 1, consumed_inputs = [0,0]> (x, b) }",
    ),
    feeds: { x: ramp([1, 2, 2]), b: tensor("float32", [2], [10, 20]) },
    shape: [1, 2, 2],
    y: [10, 11, 22, 23],
  },
  "Mul 6, last axes, of an inner value": {
    text: at(
      6,
      "g (float[2,2] x, float[2] b) => (float[2,2] y) { r = Relu (x) y = Mul<broadcast = 1> (r, b) }",
    ),
    feeds: { x: ramp([2, 2]), b: tensor("float32", [2], [10, 100]) },
    shape: [2, 2],
    y: [0, 100, 20, 300],
  },
  "Concat 1 joins axis 1": {
    text: at(3, "g (float[2,1] x) => (float[2,2] y) { y = Concat (x, x) }"),
    feeds: { x: ramp([2, 1]) },
    shape: [2, 2],
    y: [0, 0, 1, 1],
  },
  "Reshape 1": {
    text: at(4, "g (float[2,3] x) => (float[3,2] y) { y = Reshape<shape = [3,-1]> (x) }"),
    feeds: { x: ramp([2, 3]) },
    shape: [3, 2],
    y: [0, 1, 2, 3, 4, 5],
  },
  "Cast 1 by name": {
    text: at(
      5,
      `g (float[2] x) => (float[2] y) { i = Cast<to = "INT32"> (x) y = Cast<to = "FLOAT"> (i) }`,
    ),
    feeds: { x: tensor("float32", [2], [1.75, -2.5]) },
    shape: [2],
    y: [1, -2],
  },
  "Tile 1": {
    text: at(
      5,
      "g (float[1,2] x) => (float[] y) <int64 n = {2}, int64 axis = {1}> { y = Tile (x, n, axis) }",
    ),
    feeds: { x: ramp([1, 2]) },
    shape: [1, 4],
    y: [0, 1, 0, 1],
  },
  "Pad 1": {
    text: at(
      1,
      "g (float[1,2] x) => (float[] y) { y = Pad<paddings = [0,1,0,0], value = 9.0> (x) }",
    ),
    feeds: { x: ramp([1, 2]) },
    shape: [1, 3],
    y: [9, 0, 1],
  },
  "Upsample 1": {
    text: at(
      6,
      "g (float[1,1,1,2] x) => (float[] y) { y = Upsample<height_scale = 2.0, width_scale = 1.0> (x) }",
    ),
    feeds: { x: ramp([1, 1, 1, 2]) },
    shape: [1, 1, 2, 2],
    y: [0, 1, 0, 1],
  },
  "PRelu 6 per channel": {
    text: at(6, "g (float[1,2,2] x) => (float[] y) <float[2] s = {0.5,0.25}> { y = PRelu (x, s) }"),
    feeds: { x: tensor("float32", [1, 2, 2], [-4, 1, -4, 1]) },
    shape: [1, 2, 2],
    y: [-2, 1, -1, 1],
  },
  "Selu 1 has its own constants": {
    text: at(5, "g (float[2] x) => (float[2] y) { y = Selu<consumed_inputs = [0]> (x) }"),
    feeds: { x: tensor("float32", [2], [1, -1]) },
    shape: [2],
    y: [1.0507, 1.0507 * 1.6732 * (Math.exp(-1) - 1)],
  },
  "Dropout 6 and BatchNormalization 6 in testing": {
    text: at(
      6,
      "g (float[1,2] x) => (float[] y) <float[2] one = {1,1}, float[2] none = {0,0}> { d = Dropout<is_test = 1, ratio = 0.9> (x) y = BatchNormalization<is_test = 1, epsilon = 0.0> (d, one, one, none, one) }",
    ),
    feeds: { x: ramp([1, 2]) },
    shape: [1, 2],
    y: [1, 2],
  },
  // The engine's Clip 6 takes float32 only.
  "Clip 6 of float64": {
    text: at(
      10,
      "g (float[3] x) => (float[] y) { c = Cast<to = 11> (x) n = Neg (c) d = Clip<min = -1.0, max = 0.5> (n) y = Cast<to = 1> (d) }",
    ),
    feeds: { x: tensor("float32", [3], [-2, 0.25, 3]) },
    shape: [3],
    y: [0.5, -0.25, -1],
  },
  // The engine's BatchNormalization 7 refuses statistics per feature.
  "BatchNormalization 7 per feature": {
    text: at(
      7,
      "g (float[2,1,2] x) => (float[] y) <float[1,2] s = {2,3}, float[1,2] b = {0,1}, float[1,2] m = {1,1}, float[1,2] v = {4,1}> { y = BatchNormalization<spatial = 0, epsilon = 0.0> (x, s, b, m, v) }",
    ),
    feeds: { x: ramp([2, 1, 2]) },
    shape: [2, 1, 2],
    y: [-1, 1, 1, 7],
  },
};

describe("an operator set the engine no longer runs, against the documentation", () => {
  test.each(Object.entries(handCases))("%s", async (_, { text, feeds, y, shape }) => {
    const { y: actual } = await runBytes(concat(writeModel(readModel(textBytes(text)))), feeds);
    expect(actual.shape).toEqual(shape);
    const numbers = Array.from(actual.numbers());
    expect(numbers).toHaveLength(y.length);
    for (const [i, value] of y.entries()) expect(numbers[i]).toBeCloseTo(value, 5);
  });
});

test("a Dropout mask of old keeps its type for those who read it", async () => {
  const text = at(9, "g (float[4] x) => (float[4] y, float[4] m) { y, m = Dropout (x) }");
  const { m } = await runBytes(concat(writeModel(readModel(textBytes(text)))), { x: noise([4]) });
  expect(m.dtype).toBe("float32");
});

test("training statistics keep the training mode; those saved for backward cannot be had", () => {
  const graph = (output: string) =>
    at(
      12,
      `g (float[2,3] x, float[3] s) => (float[] y, float[] ${output}) { y, m, v, sm, sv = BatchNormalization (x, s, s, s, s) }`,
    );
  const [node] = readModel(textBytes(graph("m"))).graph.nodes;
  expect(node.int("training_mode")).toBe(1);
  expect(node.outputs).toHaveLength(3);
  expect(catchError(() => readModel(textBytes(graph("sm")))).message).toBe(
    'unsupported-opset: model: node "BatchNormalization": BatchNormalization of operator set 12 cannot be brought to 21: its saved statistics are read, which no newer operator returns. Export the model for another ai.onnx operator set: 1 to 25 are read.',
  );
});

test.each([
  [26, "uses the ai.onnx operator set 26"],
  [0, "uses the ai.onnx operator set 0"],
])("operator set %i is refused", (opset, why) => {
  const error = catchError(() => readModel(textBytes(at(opset, "g (x) => (y) { y = Relu (x) }"))));
  expect(error.code).toBe("unsupported-opset");
  expect(error.message).toContain(why);
});

test("an operator that vanished is refused by name", () => {
  const error = catchError(() =>
    readModel(textBytes(at(5, "g (float[2] x) => (y) { [crop] y = ImageScaler (x) }"))),
  );
  expect(error.message).toBe(
    'unsupported-opset: model: node "crop": ImageScaler of operator set 5 is not known. Export the model for another ai.onnx operator set: 1 to 25 are read.',
  );
});

test("what is at 21 or newer stays exactly as it is", () => {
  for (const opset of [21, 22, 25]) {
    const text = at(
      opset,
      "g (float[2,4] x) => (float[] y) <int64[1] axes = {1}> { y = ReduceSum (x, axes) }",
    );
    const model = readModel(textBytes(text));
    expect(model.opset).toBe(opset);
    const before = parseModel(text);
    raiseOpset(before, opset);
    // Nodes without a name get one when they are written.
    for (const node of before.graph.nodes) node.name = node.op;
    expect(printModel(model)).toBe(printModel(before));
  }
});

test("raising the operator set raises the IR version with it", () => {
  const model = readModel(textBytes(at(17, "g (float[2] x) => (float[2] y) { y = Relu (x) }")));
  expect([model.opset, model.irVersion]).toEqual([21, 10]);
  raiseOpset(model, 25);
  expect([model.opset, model.irVersion]).toEqual([25, 13]);
  raiseOpset(model, 21);
  expect(model.opset).toBe(25);
});

test("other domains do not count as operator sets", () => {
  const text = at(
    8,
    "g (float[2] x) => (y) { y = com.acme.Slice<starts = [1]> (x) }",
    `, "com.acme" : 99`,
  );
  const [node] = readModel(textBytes(text)).graph.nodes;
  expect(node.ints("starts")).toEqual([1]);
});

function ramp(shape: number[]): Tensor {
  const size = shape.reduce((product, dim) => product * dim, 1);
  return tensor(
    "float32",
    shape,
    Float32Array.from({ length: size }, (_, i) => i),
  );
}

/** Shapes, types and bits. */
function values(
  outputs: Record<string, Tensor>,
): Record<string, [DType, readonly number[], string]> {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, y]) => [
      name,
      [y.dtype, y.shape, Buffer.from(y.bytes()).toString("hex")],
    ]),
  );
}
