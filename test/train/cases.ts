/** @file Cases of every gradient rule; a rule without one does not compile. */
import type { Value } from "../../src/ir/graph.ts";
import type { Builder } from "../../src/ops/builder.ts";
import type { gradRules } from "../../src/ops/grad.ts";
import { type Case, num } from "./gradients.ts";

/** y = op(x), 3 x 4. */
const unary = (
  make: (g: Builder, x: Value) => Value,
  options: Partial<Case> = {},
): readonly Case[] => [{ shapes: [[3, 4]], make: (g, [x]) => make(g, x), ...options }];

/** Same shapes, broadcast in both directions, a scalar, an open batch. */
const binary = (
  make: (g: Builder, a: Value, b: Value) => Value,
  options: Partial<Case> = {},
): readonly Case[] => {
  const pairs = [
    [
      [3, 4],
      [3, 4],
    ],
    [
      [2, 3, 4],
      [3, 1],
    ],
    [[4], [3, 1]],
    [[2, 3], []],
  ];
  const closed = pairs.map((shapes) => ({
    shapes,
    make: (g: Builder, [a, b]: readonly Value[]) => make(g, a, b),
    ...options,
  }));
  return [...closed, { ...closed[0], isOpen: true }, { ...closed[1], isOpen: true }];
};

/** Once with axis 0 known, once without. */
const open = (case_: Case): readonly Case[] => [case_, { ...case_, isOpen: true }];

const matrix = (g: Builder, shape: readonly number[], values: readonly number[]): Value =>
  g.constant(values, { dtype: "int64", shape });

type Reduction = Extract<keyof typeof gradRules, `Reduce${string}`>;

/** Some axes, kept or not; all axes. */
const reduction = (op: Reduction): readonly Case[] => [
  ...open({ shapes: [[2, 3, 4]], make: (g, [x]) => g[op](x, g.ints([0, -1])) }),
  ...open({ shapes: [[2, 3, 4]], make: (g, [x]) => g[op](x, g.ints([1]), { keepdims: 0 }) }),
  ...open({ shapes: [[2, 3]], make: (g, [x]) => g[op](x, { keepdims: 0 }) }),
];

const positive = { range: [0.3, 2] } as const;

export const cases: Record<keyof typeof gradRules, readonly Case[]> = {
  Add: binary((g, a, b) => g.Add(a, b)),
  Sub: binary((g, a, b) => g.Sub(a, b)),
  Mul: [
    ...binary((g, a, b) => g.Mul(a, b)),
    ...unary((g, x) => g.Mul(x, x)),
    // Both open: which one is broadcast shows at run time only.
    {
      shapes: [
        [1, 4],
        [3, 4],
      ],
      make: (g, [a, b]) => g.Mul(g.Relu(a), b),
      isOpen: true,
    },
  ],
  Div: binary((g, a, b) => g.Div(a, b), positive),
  Pow: [
    ...binary((g, a, b) => g.Pow(a, b), positive),
    ...unary((g, x) => g.Pow(x, num(g, x, 2))),
    ...unary((g, x) => g.Pow(x, g.ints([3]))),
  ],
  Sum: [{ shapes: [[2, 3], [3], [2, 1]], make: (g, xs) => g.Sum(...xs) }],
  Mean: [{ shapes: [[2, 3], [3], [2, 1]], make: (g, xs) => g.Mean(...xs) }],
  Neg: unary((g, x) => g.Neg(x)),
  Identity: unary((g, x) => g.Identity(x)),
  Cast: unary((g, x) => g.Cast(g.Cast(x, { to: 11 }), { to: x.dtype === "float32" ? 1 : 11 })),
  CastLike: unary((g, x) => g.CastLike(g.Cast(x, { to: 11 }), num(g, x, 0))),
  Reciprocal: unary((g, x) => g.Reciprocal(x), positive),
  Sqrt: unary((g, x) => g.Sqrt(x), positive),
  Exp: unary((g, x) => g.Exp(x)),
  Log: unary((g, x) => g.Log(x), positive),
  Abs: unary((g, x) => g.Abs(x)),
  Sin: unary((g, x) => g.Sin(x)),
  Cos: unary((g, x) => g.Cos(x)),
  Min: binary((g, a, b) => g.Min(a, b)),
  Max: binary((g, a, b) => g.Max(a, b)),
  Clip: [
    ...unary((g, x) => g.Clip(x, num(g, x, -0.5), num(g, x, 0.7))),
    ...unary((g, x) => g.Clip(x, null, num(g, x, 0.7))),
    { shapes: [[3, 4], [], []], make: (g, [x, a, b]) => g.Clip(x, g.Neg(g.Abs(a)), g.Abs(b)) },
  ],
  Where: binary((g, a, b) => g.Where(g.Greater(a, b), g.Mul(a, b), a)),
  Round: unary((g, x) => g.Round(x), { surrogate: (_, [x]) => x }),
  Ceil: unary((g, x) => g.Ceil(x), { surrogate: (_, [x]) => x }),
  Floor: unary((g, x) => g.Floor(x), { surrogate: (_, [x]) => x }),
  Sign: unary((g, x) => g.Sign(x), { surrogate: (_, [x]) => x }),

  Relu: unary((g, x) => g.Relu(x)),
  LeakyRelu: [
    ...unary((g, x) => g.LeakyRelu(x)),
    ...unary((g, x) => g.LeakyRelu(x, { alpha: 0.25 })),
  ],
  Sigmoid: unary((g, x) => g.Sigmoid(x)),
  Tanh: unary((g, x) => g.Tanh(x)),
  Elu: [...unary((g, x) => g.Elu(x)), ...unary((g, x) => g.Elu(x, { alpha: 0.5 }))],
  PRelu: [
    {
      shapes: [
        [2, 3, 4],
        [3, 1],
      ],
      make: (g, [x, slope]) => g.PRelu(x, slope),
    },
  ],
  Softplus: unary((g, x) => g.Softplus(x)),
  Erf: unary((g, x) => g.Erf(x)),
  Gelu: [...unary((g, x) => g.Gelu(x)), ...unary((g, x) => g.Gelu(x, { approximate: "tanh" }))],
  HardSigmoid: unary((g, x) => g.HardSigmoid(x, { alpha: 0.4, beta: 0.5 })),
  HardSwish: unary((g, x) => g.HardSwish(x), { range: [-5, 5] }),
  Softmax: [...unary((g, x) => g.Softmax(x)), ...unary((g, x) => g.Softmax(x, { axis: 0 }))],
  LogSoftmax: [
    ...unary((g, x) => g.LogSoftmax(x)),
    ...unary((g, x) => g.LogSoftmax(x, { axis: 0 })),
  ],
  Dropout: unary((g, x) => g.Dropout(x)),

  MatMul: [
    [
      [3, 4],
      [4, 2],
    ],
    [
      [2, 3, 4],
      [4, 5],
    ],
    [
      [2, 3, 4],
      [2, 4, 5],
    ],
    [
      [2, 1, 3, 4],
      [5, 4, 2],
    ],
    [[4], [4, 2]],
    [[3, 4], [4]],
    [[2, 3, 4], [4]],
    [[4], [2, 4, 3]],
    [[4], [4]],
  ].flatMap((shapes): Case[] => {
    const closed: Case = { shapes, make: (g, [a, b]) => g.MatMul(a, b) };
    return shapes[0].length > 1 ? [closed, { ...closed, isOpen: true }] : [closed];
  }),
  Gemm: [0, 1].flatMap((transA) =>
    [0, 1].map((transB) => ({
      shapes: [transA ? [4, 3] : [3, 4], transB ? [2, 4] : [4, 2], transA ? [2] : [3, 1]],
      make: (g: Builder, [a, b, c]: readonly Value[]) =>
        g.Gemm(a, b, c, { transA, transB, alpha: transB ? 1 : 0.5, beta: transA ? 1 : 2 }),
    })),
  ),
  ReduceSum: reduction("ReduceSum"),
  ReduceMean: reduction("ReduceMean"),
  ReduceMax: reduction("ReduceMax"),
  ReduceMin: reduction("ReduceMin"),
  ReduceSumSquare: reduction("ReduceSumSquare"),
  ReduceL2: reduction("ReduceL2"),
  ReduceLogSumExp: reduction("ReduceLogSumExp"),
  GlobalAveragePool: open({ shapes: [[2, 3, 4, 5]], make: (g, [x]) => g.GlobalAveragePool(x) }),
  GlobalMaxPool: open({ shapes: [[2, 3, 4, 5]], make: (g, [x]) => g.GlobalMaxPool(x) }),

  Reshape: open({ shapes: [[2, 3, 4]], make: (g, [x]) => g.Reshape(x, g.ints([-1, 6])) }),
  Flatten: open({ shapes: [[2, 3, 4]], make: (g, [x]) => g.Flatten(x) }),
  Squeeze: open({ shapes: [[2, 1, 4]], make: (g, [x]) => g.Squeeze(x, g.ints([1])) }),
  Unsqueeze: open({ shapes: [[2, 4]], make: (g, [x]) => g.Unsqueeze(x, g.ints([0, 2])) }),
  Expand: [
    { shapes: [[3, 1]], make: (g, [x]) => g.Expand(x, g.ints([2, 1, 4])) },
    { shapes: [[1, 4]], make: (g, [x]) => g.Expand(x, g.ints([3, 4])), isOpen: true },
  ],
  Transpose: [
    { shapes: [[2, 3, 4]], make: (g, [x]) => g.Transpose(x) },
    { shapes: [[2, 3, 4, 5]], make: (g, [x]) => g.Transpose(x, { perm: [2, 0, 3, 1] }) },
  ],
  Concat: [
    ...open({
      shapes: [
        [2, 3],
        [2, 1],
        [2, 2],
      ],
      make: (g, xs) => g.Concat(...xs, { axis: 1 }),
    }),
    ...open({
      shapes: [
        [2, 3],
        [1, 3],
      ],
      make: (g, xs) => g.Concat(...xs, { axis: 0 }),
    }),
  ],
  Split: [
    {
      shapes: [[2, 6]],
      make: (g, [x]) => {
        const attributes = { axis: -1 };
        const [a, , c] = g.many("Split", [x, g.ints([2, 2, 2])], { outputs: 3, attributes });
        return g.Mul(a, c);
      },
    },
  ],
  Slice: [
    ...open({
      shapes: [[3, 6, 5]],
      make: (g, [x]) => g.Slice(x, g.ints([1, -3]), g.ints([5, 9]), g.ints([1, -1])),
    }),
    ...open({
      shapes: [[3, 6, 5]],
      make: (g, [x]) =>
        g.Slice(x, g.ints([-1, 4]), g.ints([-9, 0]), g.ints([2, 1]), g.ints([-1, -2])),
    }),
  ],
  Pad: [
    ...open({ shapes: [[3, 4]], make: (g, [x]) => g.Pad(x, g.ints([0, 1, 2, 3])) }),
    { shapes: [[3, 4]], make: (g, [x]) => g.Pad(x, g.ints([2, -1]), null, g.ints([1])) },
    { shapes: [[3, 4]], make: (g, [x]) => g.Pad(x, g.ints([0, 2, 0, 3]), { mode: "reflect" }) },
    { shapes: [[3, 4]], make: (g, [x]) => g.Pad(x, g.ints([1, 2, 0, 3]), { mode: "edge" }) },
  ],
  Tile: [{ shapes: [[2, 3]], make: (g, [x]) => g.Tile(x, g.ints([2, 3])) }],
  Trilu: [{ shapes: [[2, 4, 4]], make: (g, [x]) => g.Trilu(x, { upper: 0 }) }],
  Gather: [0, 1].flatMap((axis) =>
    open({
      shapes: [[4, 5]],
      make: (g, [x]) => g.Gather(x, matrix(g, [2, 3], [0, 2, 2, -1, 1, 2]), { axis }),
    }),
  ),
  GatherElements: open({
    shapes: [[4, 5]],
    make: (g, [x]) =>
      g.GatherElements(x, matrix(g, [4, 2], [0, 2, 2, 2, 1, -1, 3, 4]), { axis: 1 }),
  }),
  GatherND: open({
    shapes: [[4, 5]],
    make: (g, [x]) => g.GatherND(x, matrix(g, [3, 2], [0, 2, 3, 1, 0, 2])),
  }),
  ScatterElements: ["none", "add"].map((reduction) => ({
    shapes: [
      [3, 4],
      [2, 4],
    ],
    make: (g, [x, updates]) =>
      g.ScatterElements(x, matrix(g, [2, 4], [0, 1, 2, 0, 1, 2, 0, 2]), updates, { reduction }),
  })),
  ScatterND: ["none", "add"].map((reduction) => ({
    shapes: [
      [5, 4],
      [2, 4],
    ],
    make: (g, [x, updates]) => g.ScatterND(x, matrix(g, [2, 1], [3, 1]), updates, { reduction }),
  })),
  DepthToSpace: ["DCR", "CRD"].flatMap((mode) =>
    open({
      shapes: [[2, 8, 2, 3]],
      make: (g, [x]) => g.DepthToSpace(x, { blocksize: 2, mode }),
    }),
  ),
  SpaceToDepth: [{ shapes: [[2, 2, 4, 6]], make: (g, [x]) => g.SpaceToDepth(x, { blocksize: 2 }) }],
  QuantizeLinear: quantized(),
  DequantizeLinear: quantized(),
};

/** x -> int8 -> x, per tensor and per channel: the slope is 1 inside the range, 0 outside. */
function quantized(): readonly Case[] {
  const pair = (g: Builder, x: Value, scale: Value, zero: Value, axis?: number): Value => {
    const at = axis === undefined ? {} : { axis };
    return g.DequantizeLinear(g.QuantizeLinear(x, scale, zero, at), scale, zero, at);
  };
  return [
    {
      shapes: [[3, 4]],
      make: (g, [x]) => pair(g, x, num(g, x, 0.01), g.constant(0, { dtype: "int8" })),
      surrogate: (g, [x]) => g.Clip(x, num(g, x, -1.28), num(g, x, 1.27)),
    },
  ];
}
