/** @file Integers that inputs take: each range is by hand, from the table or the sizes in the text. */
import { describe, expect, test } from "vitest";
import { parseModel } from "../../src/ir/parse.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { integersOf } from "../../src/ops/integers.ts";

/** The integers of the first input of a model in ONNX's text form. */
function rangeOf(inputs: string, constants: string, nodes: string) {
  const model = parseModel(`<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>
    g (${inputs}) => (float[] y) ${constants && `<${constants}>`} { ${nodes} }`);
  inferModel(model);
  return integersOf(model.graph.inputs[0]);
}

const ids = "int64[1,3] ids";
const table = "float[5,4] v = random(1)";

describe("an index stays inside its table", () => {
  test.each([
    ["Gather", ids, table, "y = Gather (v, ids)", [0, 4]],
    ["Gather along another axis", ids, table, "y = Gather <axis = 1> (v, ids)", [0, 3]],
    [
      "Gather from what is computed",
      "int64[3] ids, float[7,2] x",
      "",
      "a = Relu (x) y = Gather (a, ids)",
      [0, 6],
    ],
    ["GatherElements", "int64[2,4] ids", table, "y = GatherElements (v, ids)", [0, 4]],
    ["GatherND", "int64[3,2] ids", table, "y = GatherND (v, ids)", [0, 3]],
    [
      "ScatterElements",
      "int64[2,4] ids, float[2,4] x",
      table,
      "y = ScatterElements (v, ids, x)",
      [0, 4],
    ],
    ["ScatterND", "int64[3,1] ids, float[3,4] x", table, "y = ScatterND (v, ids, x)", [0, 4]],
    [
      "OneHot",
      ids,
      "int64 depth = {6}, float[2] values = {0.0, 1.0}",
      "y = OneHot (ids, depth, values)",
      [0, 5],
    ],
    [
      "EmbedLayerNormalization, words",
      "int32[1,3] ids, int32[1,3] types",
      "float[9,4] w = random(1), float[8,4] p = random(1), float[2,4] s = random(1), float[4] g = random(1)",
      "y, m = com.microsoft.EmbedLayerNormalization (ids, types, w, p, s, g, g)",
      [0, 8],
    ],
    [
      "EmbedLayerNormalization, segments",
      "int32[1,3] types, int32[1,3] ids",
      "float[9,4] w = random(1), float[8,4] p = random(1), float[2,4] s = random(1), float[4] g = random(1)",
      "y, m = com.microsoft.EmbedLayerNormalization (ids, types, w, p, s, g, g)",
      [0, 1],
    ],
  ])("%s", (_, inputs, constants, nodes, [low, high]) => {
    expect(rangeOf(inputs, constants, nodes)).toEqual({ low, high });
  });
});

describe("on the way to the table", () => {
  test.each([
    ["Cast", "c = Cast <to = 6> (ids) y = Gather (v, c)", [0, 4]],
    ["Reshape", "c = Reshape (ids, flat) y = Gather (v, c)", [0, 4]],
    [
      "Unsqueeze, Transpose, Slice",
      "u = Unsqueeze (ids, one) t = Transpose (u) s = Slice (t, zeros, one) y = Gather (v, s)",
      [0, 4],
    ],
    ["Concat", "c = Concat <axis = 1> (ids, zeros2) y = Gather (v, c)", [0, 4]],
    ["Add of an offset", "a = Add (ids, two) y = Gather (v, a)", [-2, 2]],
    ["Add of one offset per column", "a = Add (offsets, ids) y = Gather (v, a)", [0, 1]],
    ["Sub", "a = Sub (ids, two) y = Gather (v, a)", [2, 6]],
    ["Sub from a number", "a = Sub (two, ids) y = Gather (v, a)", [-2, 2]],
    ["Mul", "a = Mul (ids, two) y = Gather (v, a)", [0, 2]],
    ["Mul and Add", "m = Mul (ids, two) a = Add (m, one) y = Gather (v, a)", [0, 1]],
    [
      "two tables: the smaller",
      "a = Gather (v, ids) b = Gather (short, ids) y = Add (a, b)",
      [0, 2],
    ],
    [
      "a branch",
      "y = If (on) <then_branch = t () => (float[] ty) { ty = Gather (short, ids) }, else_branch = e () => (float[] ey) { ey = Gather (v, ids) }>",
      [0, 2],
    ],
    [
      "also a mask of itself",
      "m = Equal (ids, zero) f = Cast <to = 1> (m) e = Gather (v, ids) u = ReduceSum (f) y = Mul (e, u)",
      [0, 4],
    ],
  ])("%s", (_, nodes, [low, high]) => {
    const constants = `${table}, float[3,4] short = random(2), int64[1] one = {1}, int64[1] flat = {-1},
      int64[1] zeros = {0}, int64[1,2] zeros2 = {0, 0}, int64 zero = {0}, int64 two = {2},
      int64[3] offsets = {0, 1, 3}, bool on = {1}`;
    expect(rangeOf(ids, constants, nodes)).toEqual({ low, high });
  });
});

describe("other integers", () => {
  test.each([
    [
      "a mask, cast and subtracted",
      "int64[1,3] m",
      "float one = {1.0}",
      "f = Cast <to = 1> (m) y = Sub (one, f)",
      [0, 1],
    ],
    [
      "a mask, cast to a choice",
      "int64[1,3] m, float[1,3] x",
      "float zero = {0.0}",
      "c = Cast <to = 9> (m) y = Where (c, x, zero)",
      [0, 1],
    ],
    [
      "a mask, compared with 0",
      "int64[1,3] m, float[1,3] x",
      "int64 none = {0}, float zero = {0.0}",
      "c = Equal (m, none) y = Where (c, zero, x)",
      [0, 1],
    ],
    [
      "a number that is asked for",
      "int64 rate",
      "int64 is = {16000}",
      "c = Equal (rate, is) y = Cast <to = 1> (c)",
      [16000, 16000],
    ],
    [
      "the same the other way round",
      "int64 rate",
      "int64 is = {8000}, int64[1] one = {1}",
      "r = Reshape (rate, one) c = Equal (is, r) y = Cast <to = 1> (c)",
      [8000, 8000],
    ],
    [
      "lengths of sequences",
      "int32[2] n, float[7,2,3] x",
      "float[1,16,3] k = random(1), float[1,16,4] r = random(2)",
      "y = LSTM <hidden_size = 4> (x, k, r, , n)",
      [7, 7],
    ],
    ["the k of TopK", "int64[1] k, float[2,6] x", "", "y, i = TopK (x, k)", [1, 6]],
    [
      "lengths of cached sequences",
      "int32[2] n, int32[1] total, float[2,3,32] q, float[2,3,16] kv, float[2,2,5,8] past",
      "",
      "y, k, v = com.microsoft.GroupQueryAttention <num_heads = 4, kv_num_heads = 2> (q, kv, kv, past, past, n, total)",
      [7, 7],
    ],
    [
      "their total",
      "int32[1] total, int32[2] n, float[2,3,32] q, float[2,3,16] kv, float[2,2,5,8] past",
      "",
      "y, k, v = com.microsoft.GroupQueryAttention <num_heads = 4, kv_num_heads = 2> (q, kv, kv, past, past, n, total)",
      [8, 8],
    ],
  ])("%s", (_, inputs, constants, nodes, [low, high]) => {
    expect(rangeOf(inputs, constants, nodes)).toEqual({ low, high });
  });

  test.each([
    ["what is only added", "int64[3] n, int64[3] m", "", "a = Add (n, m) y = Relu (a)"],
    ["what a table of unknown size reads", "int64[3] n, float[?,2] x", "", "y = Gather (x, n)"],
    [
      "what is folded into the table",
      "int64[3] n",
      "float[5,4] v = random(1), int64 five = {5}",
      "m = Mod (n, five) y = Gather (v, m)",
    ],
    [
      "what no number can satisfy",
      "int64[3] n",
      "float[5,4] v = random(1), int64[2,1] far = {0, 9}",
      "a = Add (n, far) y = Gather (v, a)",
    ],
  ])("nothing is said of %s", (_, inputs, constants, nodes) => {
    expect(rangeOf(inputs, constants, nodes)).toBe(null);
  });
});
