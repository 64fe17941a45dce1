/** @file Cases of every gradient rule; a rule without one does not compile. */
import { type DType, dtypes } from "../../src/ir/dtype.ts";
import type { Value } from "../../src/ir/graph.ts";
import type { Builder } from "../../src/ops/builder.ts";
import type { gradRules } from "../../src/ops/grad.ts";
import { matrix, open, reduction, unary } from "./case-forms.ts";
import { type Case, num } from "./gradients.ts";
import { moreCases } from "./more-cases.ts";

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

/** With a bias, the batch known and open. */
function conv(x: number[], w: number[], attributes: ConvAttributes): readonly Case[] {
  const shapes = [x, w, [w[0]]];
  return open({ shapes, make: (g, [a, b, c]) => g.Conv(a, b, c, attributes) });
}

function convTranspose(x: number[], w: number[], attributes: TransposeAttributes) {
  const shapes = [x, w, [w[1] * (attributes.group ?? 1)]];
  return open({ shapes, make: (g, [a, b, c]) => g.ConvTranspose(a, b, c, attributes) });
}

interface ConvAttributes {
  readonly pads?: readonly number[];
  readonly strides?: readonly number[];
  readonly dilations?: readonly number[];
  readonly group?: number;
  readonly auto_pad?: string;
}

interface TransposeAttributes extends ConvAttributes {
  readonly output_padding?: readonly number[];
}

/** Running statistics in buffers of their own: the kernel writes into them. */
function trainingNorm(g: Builder, [x, scale, bias]: readonly Value[]): Value {
  const mean = g.Sub(bias, bias);
  const variance = g.Mul(scale, num(g, scale, 0));
  const attributes = { training_mode: 1 };
  const inputs = [x, scale, bias, mean, variance];
  return g.many("BatchNormalization", inputs, { outputs: 3, attributes })[0];
}

/** A plain background: equal values that move together. */
const tied = (make: (g: Builder, x: Value) => Value): readonly Case[] => [
  { shapes: [[1, 2, 1, 1]], make: (g, [x]) => make(g, g.Expand(x, g.ints([1, 2, 4, 4]))) },
];

const positive = { range: [0.3, 2] } as const;

export const cases: Record<keyof typeof gradRules, readonly Case[]> = {
  ...moreCases,
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
  Max: [...binary((g, a, b) => g.Max(a, b)), ...tied((g, x) => g.Max(x, g.Identity(x)))],
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
  Einsum: [
    {
      shapes: [
        [2, 3],
        [3, 4],
      ],
      make: (g, [a, b]) => g.Einsum(a, b, { equation: "ij,jk" }),
    },
    {
      shapes: [[2, 3, 4], [2, 5, 4], [5]],
      make: (g, xs) => g.Einsum(...xs, { equation: "bik,bjk,j->bij" }),
    },
    {
      shapes: [
        [5, 3, 4],
        [5, 4, 3],
      ],
      make: (g, [a, b]) => g.Einsum(a, b, { equation: "...ij,...ji->...i" }),
    },
    {
      shapes: [[2, 3], [3]],
      make: (g, [a, b]) => g.Einsum(a, b, { equation: "ij,j->i" }),
      isOpen: true,
    },
  ],
  Gemm: [0, 1].flatMap((transA) =>
    [0, 1].map((transB) => ({
      shapes: [transA ? [4, 3] : [3, 4], transB ? [2, 4] : [4, 2], transA ? [2] : [3, 1]],
      make: (g: Builder, [a, b, c]: readonly Value[]) =>
        g.Gemm(a, b, c, { transA, transB, alpha: transB ? 1 : 0.5, beta: transA ? 1 : 2 }),
    })),
  ),
  ReduceSum: reduction("ReduceSum"),
  ReduceMean: reduction("ReduceMean"),
  ReduceMax: [...reduction("ReduceMax"), ...tied((g, x) => g.ReduceMax(x))],
  ReduceMin: reduction("ReduceMin"),
  ReduceSumSquare: reduction("ReduceSumSquare"),
  ReduceL2: reduction("ReduceL2"),
  ReduceLogSumExp: reduction("ReduceLogSumExp"),
  GlobalAveragePool: open({ shapes: [[2, 3, 4, 5]], make: (g, [x]) => g.GlobalAveragePool(x) }),
  GlobalMaxPool: [
    ...open({ shapes: [[2, 3, 4, 5]], make: (g, [x]) => g.GlobalMaxPool(x) }),
    ...tied((g, x) => g.GlobalMaxPool(x)),
  ],

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
  Pad: [
    ...open({ shapes: [[3, 4]], make: (g, [x]) => g.Pad(x, g.ints([0, 1, 2, 3])) }),
    { shapes: [[3, 4]], make: (g, [x]) => g.Pad(x, g.ints([2, -1]), null, g.ints([1])) },
    { shapes: [[3, 4]], make: (g, [x]) => g.Pad(x, g.ints([0, 2, 0, 3]), { mode: "reflect" }) },
    { shapes: [[3, 4]], make: (g, [x]) => g.Pad(x, g.ints([1, 2, 0, 3]), { mode: "edge" }) },
  ],
  Trilu: [{ shapes: [[2, 4, 4]], make: (g, [x]) => g.Trilu(x, { upper: 0 }) }],
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
  Conv: [
    ...conv([2, 3, 7, 6], [4, 3, 3, 3], { pads: [1, 1, 1, 1] }),
    ...conv([2, 3, 8, 7], [4, 3, 3, 2], { strides: [2, 3], pads: [1, 0, 2, 1] }),
    ...conv([2, 3, 9, 8], [4, 3, 3, 3], { dilations: [2, 1], pads: [0, 2, 1, 0] }),
    ...conv([2, 16, 5, 5], [4, 16, 3, 3], { pads: [1, 0, 2, 1], dilations: [1, 2] }),
    ...conv([2, 16, 5, 5], [4, 16, 3, 3], { pads: [1, 1, 2, 3], dilations: [1, 2] }),
    ...conv([2, 16, 5, 5], [2, 16, 1, 1], { strides: [2, 2] }),
    ...conv([2, 6, 7, 7], [4, 3, 3, 3], { group: 2, pads: [1, 1, 1, 1] }),
    ...conv([2, 6, 7, 8], [4, 3, 3, 3], { group: 2, strides: [2, 2] }),
    ...conv([2, 4, 7, 7], [4, 1, 3, 3], { group: 4, pads: [1, 1, 1, 1] }),
    ...conv([2, 4, 8, 7], [8, 1, 3, 3], { group: 4, pads: [1, 1, 1, 1], strides: [2, 2] }),
    ...conv([2, 2, 9, 9], [3, 2, 5, 5], { auto_pad: "SAME_UPPER", strides: [2, 2] }),
    ...conv([2, 3, 11], [4, 3, 4], { pads: [3, 1], strides: [2] }),
    ...conv([2, 20, 9], [4, 20, 3], { pads: [3, 1] }),
    ...conv([1, 2, 4, 5, 4], [3, 2, 2, 3, 2], { pads: [0, 1, 1, 0, 1, 0], strides: [1, 2, 1] }),
  ],
  ConvTranspose: [
    ...convTranspose([2, 3, 4, 5], [3, 2, 3, 3], {}),
    ...convTranspose([2, 3, 4, 3], [3, 2, 3, 2], {
      strides: [2, 3],
      pads: [1, 0, 0, 1],
      output_padding: [1, 2],
    }),
    ...convTranspose([2, 4, 4, 3], [4, 3, 3, 3], {
      group: 2,
      dilations: [2, 1],
      pads: [1, 1, 1, 1],
    }),
    ...convTranspose([2, 3, 4], [3, 2, 4], { strides: [2], auto_pad: "SAME_LOWER" }),
  ],
  MaxPool: [
    ...[
      { kernel_shape: [2, 2], strides: [2, 2] },
      { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] },
      { kernel_shape: [2, 3], strides: [1, 2], ceil_mode: 1 },
      { kernel_shape: [2, 2], dilations: [2, 3] },
      { kernel_shape: [3, 3], strides: [2, 2], auto_pad: "SAME_UPPER" },
    ].flatMap((attributes) =>
      open({ shapes: [[2, 3, 6, 8]], make: (g, [x]) => g.MaxPool(x, attributes) }),
    ),
    ...tied((g, x) => g.MaxPool(x, { kernel_shape: [2, 2], strides: [2, 2] })),
    ...tied((g, x) => g.MaxPool(x, { kernel_shape: [2, 2] })),
  ],
  AveragePool: [
    { kernel_shape: [2, 2], strides: [2, 2] },
    { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] },
    { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 0, 1], count_include_pad: 1 },
    { kernel_shape: [2, 3], strides: [2, 2], ceil_mode: 1 },
    { kernel_shape: [2, 2], strides: [3, 3], auto_pad: "SAME_UPPER" },
  ].flatMap((attributes) =>
    open({ shapes: [[2, 3, 7, 8]], make: (g, [x]) => g.AveragePool(x, attributes) }),
  ),
  Resize: [
    ...open({
      shapes: [[2, 2, 3, 4]],
      make: (g, [x]) => g.Resize(x, null, g.constant([1, 1, 2, 3])),
    }),
    ...open({
      shapes: [[2, 2, 3, 4]],
      make: (g, [x]) => {
        const attributes = { mode: "linear", coordinate_transformation_mode: "align_corners" };
        return g.Resize(x, null, g.constant([1, 1, 2.5, 0.6]), attributes);
      },
    }),
    {
      shapes: [[2, 2, 5, 4]],
      make: (g, [x]) => g.Resize(x, null, null, g.ints([2, 2, 7, 4]), { mode: "linear" }),
    },
    {
      shapes: [[1, 2, 4, 5]],
      make: (g, [x]) => g.Resize(x, null, g.constant([1, 1, 2, 1.5]), { mode: "cubic" }),
    },
    {
      shapes: [[3, 4, 2]],
      make: (g, [x]) => g.Resize(x, null, g.constant([2, 1.3, 1]), { mode: "nearest" }),
    },
  ],
  BatchNormalization: [
    ...open({
      shapes: [[3, 4, 2, 3], [4], [4], [4], [4]],
      range: [0.5, 2],
      make: (g, [x, s, b, m, v]) => g.BatchNormalization(x, s, b, m, v),
    }),
    ...open({
      shapes: [[3, 4, 2, 3], [4], [4]],
      make: trainingNorm,
    }),
    ...open({ shapes: [[5, 4], [4], [4]], make: trainingNorm }),
  ],
  LayerNormalization: [
    ...open({
      shapes: [[2, 3, 4], [4], [4]],
      make: (g, [x, s, b]) => g.LayerNormalization(x, s, b),
    }),
    ...open({
      shapes: [
        [2, 3, 4],
        [3, 4],
      ],
      make: (g, [x, s]) => g.LayerNormalization(x, s, { axis: 1, epsilon: 0.1 }),
    }),
  ],
  InstanceNormalization: open({
    shapes: [[2, 3, 4, 5], [3], [3]],
    make: (g, [x, s, b]) => g.InstanceNormalization(x, s, b),
  }),
  GroupNormalization: open({
    shapes: [[2, 4, 2, 3], [4], [4]],
    make: (g, [x, s, b]) => g.GroupNormalization(x, s, b, { num_groups: 2 }),
  }),
  RMSNormalization: [
    {
      shapes: [[2, 3, 4], [4]],
      make: (g, [x, s]) => g.RMSNormalization(x, s, { epsilon: 0.1 }),
      opset: 23,
    },
    {
      shapes: [
        [2, 3, 4],
        [3, 4],
      ],
      make: (g, [x, s]) => g.RMSNormalization(x, s, { axis: 1 }),
      opset: 23,
    },
  ],
  QuantizeLinear: quantized(),
  DequantizeLinear: quantized(),
  DynamicQuantizeLinear: dynamic(),
  MatMulInteger: dynamic(),
};

/** Cast((q - z) (B - b)) s, in single precision as the operator asks: acts as x (B - b). */
function dynamic(): readonly Case[] {
  const levels = Array.from({ length: 12 }, (_, i) => ((i * 37) % 100) - 50);
  const zeros = [3, 0, -20];
  const make: Case["make"] = (g, [x]) => {
    const single = g.Cast(x, { to: dtypes.float32.code });
    const [q, s, z] = g.many("DynamicQuantizeLinear", [single], { outputs: 3 });
    const weight = g.constant(levels, { dtype: "int8", shape: [4, 3] });
    const product = g.MatMulInteger(q, weight, z, g.constant(zeros, { dtype: "int8" }));
    const { code } = dtypes[x.dtype as DType];
    return g.Mul(g.Cast(product, { to: code }), g.Cast(s, { to: code }));
  };
  const surrogate: Case["make"] = (g, [x]) => {
    const weight = levels.map((level, i) => level - zeros[i % 3]);
    return g.MatMul(x, g.constant(weight, { dtype: x.dtype as DType, shape: [4, 3] }));
  };
  return [
    [5, 4],
    [2, 3, 4],
  ].map((shape) => ({ shapes: [shape], make, surrogate }));
}

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
    {
      shapes: [[2, 3, 4]],
      make: (g, [x]) => {
        const dtype = x.dtype as DType;
        const scales = g.constant([0.01, 0.02, 0.005], { dtype });
        return pair(g, x, scales, g.constant([0, 10, 20], { dtype: "uint8" }), 1);
      },
      surrogate: (g, [x]) => {
        const bound = (values: number[]): Value =>
          g.constant(values, { dtype: x.dtype as DType, shape: [3, 1] });
        return g.Min(g.Max(x, bound([0, -0.2, -0.1])), bound([2.55, 4.9, 1.175]));
      },
    },
  ];
}
