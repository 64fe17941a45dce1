/** @file Axes of inputs that must agree: every case is a model that runs with no other sizes. */
import { describe, expect, test } from "vitest";
import { parseModel } from "../../src/ir/parse.ts";
import { agreeingAxes } from "../../src/ops/agree.ts";
import { inferModel } from "../../src/ops/infer.ts";

/** The axes of a model in ONNX's text form: its inputs, constants and nodes. */
function axesOf(inputs: string, constants: string, nodes: string): Record<string, unknown> {
  const model = parseModel(`<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>
    g (${inputs}) => (float[] y) ${constants && `<${constants}>`} { ${nodes} }`);
  inferModel(model);
  return Object.fromEntries(agreeingAxes(model));
}

const w = "float[8,5] w = random(1)";

describe("a size that the graph forces", () => {
  test.each([
    ["MatMul", "float[N,F] x", w, "y = MatMul (x, w)", { "x.1": 8 }],
    ["MatMul from the right", "float[F,N] x", w, "y = MatMul (w, x)", { "x.0": 5 }],
    ["MatMul of a sequence", "float[N,T,F] x", w, "y = MatMul (x, w)", { "x.2": 8 }],
    ["Gemm", "float[N,F] x", w, "y = Gemm (x, w)", { "x.1": 8 }],
    ["Gemm, transposed", "float[N,F] x", w, "y = Gemm <transB = 1> (x, w)", { "x.1": 5 }],
    [
      "Gemm, both transposed",
      "float[F,N] x",
      w,
      "y = Gemm <transA = 1, transB = 1> (x, w)",
      { "x.0": 5 },
    ],
    ["Conv", "float[N,C,H,W] x", "float[4,3,1,1] k = random(1)", "y = Conv (x, k)", { "x.1": 3 }],
    [
      "Conv in groups",
      "float[N,C,L] x",
      "float[4,3,1] k = random(1)",
      "y = Conv <group = 2> (x, k)",
      { "x.1": 6 },
    ],
    [
      "ConvTranspose",
      "float[N,C,L] x",
      "float[4,3,1] k = random(1)",
      "y = ConvTranspose (x, k)",
      { "x.1": 4 },
    ],
    [
      "a table of positions",
      "float[N,T,8] x",
      "float[1,12,8] p = random(1)",
      "y = Add (x, p)",
      { "x.1": 12 },
    ],
    [
      "the same through Relu and a transposition",
      "float[N,8,T] x",
      "float[12,8] p = random(1)",
      "r = Relu (x) t = Transpose <perm = [0, 2, 1]> (r) y = Add (t, p)",
      { "x.2": 12 },
    ],
    [
      "LSTM",
      "float[T,N,F] x",
      "float[1,16,3] k = random(1), float[1,16,4] r = random(2)",
      "y = LSTM <hidden_size = 4> (x, k, r)",
      { "x.2": 3 },
    ],
    ["Einsum", "float[N,T,F] x", w, 'y = Einsum <equation = "ntf,fo->nto"> (x, w)', { "x.2": 8 }],
    [
      "LayerNormalization",
      "float[N,F] x",
      "float[7] s = random(1)",
      "y = LayerNormalization (x, s)",
      { "x.1": 7 },
    ],
    [
      "BatchNormalization",
      "float[N,C,L] x",
      "float[6] s = random(1)",
      "y = BatchNormalization (x, s, s, s, s)",
      { "x.1": 6 },
    ],
    [
      "Concat",
      "float[N,F] x",
      "float[2,3] c = random(1)",
      "y = Concat <axis = 1> (x, c)",
      { "x.0": 2 },
    ],
  ])("%s", (_, inputs, constants, nodes, forced) => {
    expect(axesOf(inputs, constants, nodes)).toMatchObject(forced);
  });
});

describe("axes of different names", () => {
  test.each([
    [
      "Add",
      "float[A,B] x, float[C,D] z",
      "",
      "y = Add (x, z)",
      [
        ["x.0", "z.0"],
        ["x.1", "z.1"],
      ],
    ],
    ["Add of another rank", "float[A,B] x, float[D] z", "", "y = Add (x, z)", [["x.1", "z.0"]]],
    [
      "Where",
      "bool[A,B] m, float[C,D] z",
      "float zero = {0.0}",
      "y = Where (m, z, zero)",
      [
        ["m.0", "z.0"],
        ["m.1", "z.1"],
      ],
    ],
    [
      "Concat, the other axes",
      "float[A,B] x, float[C,D] z",
      "",
      "y = Concat <axis = 1> (x, z)",
      [["x.0", "z.0"]],
    ],
    [
      "MatMul of two inputs",
      "float[A,B,C] x, float[D,E,F] z",
      "",
      "y = MatMul (x, z)",
      [
        ["x.0", "z.0"],
        ["x.2", "z.1"],
      ],
    ],
    [
      "a state",
      "float[T,A,3] x, float[1,B,4] h",
      "float[1,16,3] k = random(1), float[1,16,4] r = random(2)",
      "y = LSTM <hidden_size = 4> (x, k, r, , , h)",
      [["x.1", "h.1"]],
    ],
    [
      "two tables, added",
      "int64[A,B] ids, int64[C,D] types",
      "float[9,4] v = random(1), float[2,4] t = random(2)",
      "e = Gather (v, ids) f = Gather (t, types) y = Add (e, f)",
      [
        ["ids.0", "types.0"],
        ["ids.1", "types.1"],
      ],
    ],
    [
      "a mask, two steps away",
      "int64[A,B] ids, int64[C,D] mask",
      "float[9,4] v = random(1), int64[1] axes = {2}",
      "e = Gather (v, ids) c = Cast <to = 1> (mask) u = Unsqueeze (c, axes) y = Mul (e, u)",
      [
        ["ids.0", "mask.0"],
        ["ids.1", "mask.1"],
      ],
    ],
    [
      "one after another",
      "float[A] x, float[B] z, float[C] v",
      "",
      "s = Add (x, z) y = Mul (s, v)",
      [
        ["x.0", "z.0"],
        ["x.0", "v.0"],
      ],
    ],
    [
      "no names at all",
      "float[?,?] x, float[?,?] z",
      "",
      "y = Add (x, z)",
      [
        ["x.0", "z.0"],
        ["x.1", "z.1"],
      ],
    ],
  ] as const)("agree: %s", (_, inputs, constants, nodes, pairs) => {
    const axes = axesOf(inputs, constants, nodes);
    for (const [a, b] of pairs) expect(axes[a]).toBe(axes[b]);
    const alike = new Set(pairs.flat());
    const values = Object.values(axes);
    expect(new Set(values).size).toBe(values.length - (alike.size - groupsOf(pairs)));
  });

  test("stay apart where nothing joins them; a shared name joins them", () => {
    const axes = axesOf("float[N,A] x, float[2,N,B] z", "", "a = Relu (x) y = Neg (z)");
    expect(axes["x.0"]).toBe(axes["z.1"]);
    expect(axes["x.1"]).not.toBe(axes["z.2"]);
    expect(Object.keys(axes)).toEqual(["x.0", "x.1", "z.1", "z.2"]);
  });

  test("a forced size reaches all that agree with it", () => {
    const axes = axesOf("float[N,A] x, float[M,B] z", w, "s = Add (x, z) y = MatMul (s, w)");
    expect(axes).toMatchObject({ "x.1": 8, "z.1": 8 });
  });

  test("sizes that contradict each other leave the first", () => {
    const axes = axesOf(
      "float[N,A] x",
      "float[8,5] w = random(1), float[7] c = random(2)",
      "s = Add (x, c) y = MatMul (s, w)",
    );
    expect(axes).toMatchObject({ "x.1": 7 });
  });
});

/** How many groups the pairs form, each counted from pairs that share an axis. */
function groupsOf(pairs: readonly (readonly [string, string])[]): number {
  const group = new Map<string, number>();
  let next = 0;
  for (const [a, b] of pairs) {
    const found = group.get(a) ?? group.get(b) ?? next++;
    group.set(a, found).set(b, found);
  }
  return next;
}
