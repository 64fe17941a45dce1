/** @file Cases of gradient rules: what picks elements, and the less common functions. */
import type { Value } from "../../src/ir/graph.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { matrix, open, reduction, unary } from "./case-forms.ts";
import type { Case } from "./gradients.ts";

const positive = { range: [0.3, 2] } as const;
const inside = { range: [-0.9, 0.9] } as const;

/** Starts, ends, axes and steps of slices of [3, 6, 5]. */
const cuts: readonly (readonly (readonly number[])[])[] = [
  [
    [1, -3],
    [5, 9],
    [1, -1],
    [1, 1],
  ],
  [
    [-1, 4],
    [-9, 0],
    [2, 1],
    [-1, -2],
  ],
  [
    [-1, -2],
    [-99, 1],
    [1, 2],
    [-1, -1],
  ],
  [[4], [5], [1], [1]],
  [
    [0, 1],
    [3, 6],
    [0, 1],
    [1, 3],
  ],
];
const slices = cuts.map(
  (cut): Case => ({
    shapes: [[3, 6, 5]],
    make: (g, [x]) => g.Slice(x, ...cut.map((values) => g.ints(values))),
  }),
);

const index = (g: Builder): Value => matrix(g, [2, 3], [0, 2, 2, -1, 1, 2]);
const one = (g: Builder, at: number): Value => g.constant(at, { dtype: "int64" });

const zeros = (g: Builder, x: Value): Value =>
  g.constant([1, 1, 1, 1, 1, 0, 1, 1, 0, 1, 1, 0], {
    dtype: x.dtype ?? "float32",
    shape: [3, 4],
  });

export const moreCases = {
  Celu: [...unary((g, x) => g.Celu(x)), ...unary((g, x) => g.Celu(x, { alpha: 0.5 }))],
  Selu: [...unary((g, x) => g.Selu(x)), ...unary((g, x) => g.Selu(x, { alpha: 0.5, gamma: 2 }))],
  Mish: unary((g, x) => g.Mish(x)),
  Swish: [
    ...unary((g, x) => g.Swish(x), { opset: 24 }),
    ...unary((g, x) => g.Swish(x, { alpha: 1.5 }), { opset: 24 }),
  ],
  Softsign: unary((g, x) => g.Softsign(x)),
  ThresholdedRelu: unary((g, x) => g.ThresholdedRelu(x, { alpha: 0.4 })),
  Shrink: unary((g, x) => g.Shrink(x, { lambd: 0.4, bias: 0.1 })),
  Tan: unary((g, x) => g.Tan(x), inside),
  Sinh: unary((g, x) => g.Sinh(x)),
  Cosh: unary((g, x) => g.Cosh(x)),
  Asin: unary((g, x) => g.Asin(x), inside),
  Acos: unary((g, x) => g.Acos(x), inside),
  Atan: unary((g, x) => g.Atan(x)),
  Asinh: unary((g, x) => g.Asinh(x)),
  Acosh: unary((g, x) => g.Acosh(x), { range: [1.2, 3] }),
  Atanh: unary((g, x) => g.Atanh(x), inside),
  Mod: [
    {
      shapes: [
        [3, 4],
        [3, 4],
      ],
      range: [0.6, 3],
      make: (g, [a, b]) => g.Mod(g.Mul(a, a), b, { fmod: 1 }),
    },
  ],
  ReduceProd: [
    ...reduction("ReduceProd"),
    // Rows without, with one and with two zeros
    ...unary((g, x) => g.ReduceProd(g.Mul(x, zeros(g, x)), g.ints([1]))),
    ...unary((g, x) => g.ReduceProd(g.Add(x, g.Neg(x)), g.ints([1]))),
  ],
  ReduceL1: reduction("ReduceL1"),
  ReduceLogSum: reduction("ReduceLogSum").map((case_) => ({ ...case_, ...positive })),

  LRN: [1, 3, 5].flatMap((size) =>
    open({
      shapes: [[2, 6, 2, 3]],
      make: (g, [x]) => g.LRN(x, { size, alpha: 0.8, beta: 0.6, bias: 0.7 }),
    }),
  ),
  LpNormalization: [
    ...unary((g, x) => g.LpNormalization(x)),
    ...unary((g, x) => g.LpNormalization(x, { axis: 0, p: 1 })),
  ],
  MeanVarianceNormalization: [
    { shapes: [[2, 3, 4, 5]], make: (g, [x]) => g.MeanVarianceNormalization(x) },
    { shapes: [[3, 4]], make: (g, [x]) => g.MeanVarianceNormalization(x, { axes: [1] }) },
  ],

  Slice: [...slices, ...slices.map((case_) => ({ ...case_, isOpen: true as const }))],
  Tile: [
    { shapes: [[2, 3]], make: (g, [x]) => g.Tile(x, g.ints([2, 3])) },
    { shapes: [[2, 3, 2]], make: (g, [x]) => g.Tile(x, g.ints([3, 1, 2])), isOpen: true },
    {
      shapes: [[2, 3]],
      make: (g, [x]) => g.Tile(x, g.Add(g.Mul(g.Shape(x), g.ints([0])), g.ints([2, 2]))),
      isOpen: true,
    },
  ],
  Gather: [
    ...[0, 1].flatMap((axis) =>
      open({ shapes: [[4, 5]], make: (g, [x]) => g.Gather(x, index(g), { axis }) }),
    ),
    ...[1, 2, -3].flatMap((axis) =>
      open({ shapes: [[3, 4, 5]], make: (g, [x]) => g.Gather(x, index(g), { axis }) }),
    ),
    ...[0, 1].flatMap((axis) =>
      open({ shapes: [[4, 5]], make: (g, [x]) => g.Gather(x, one(g, -2), { axis }) }),
    ),
    // A codebook
    {
      shapes: [[5]],
      make: (g, [x]) => g.Gather(x, g.constant([4, 0, 0, 2], { dtype: "int32", shape: [2, 2] })),
    },
  ],
  CumSum: [0, 1].flatMap((exclusive) =>
    [0, 1].flatMap((reverse) => unary((g, x) => g.CumSum(x, one(g, 1), { exclusive, reverse }))),
  ),
  TopK: [0, 1].flatMap((largest) =>
    open({
      shapes: [[3, 6]],
      make: (g, [x]) => {
        const attributes = { axis: 1, largest };
        return g.many("TopK", [x, g.ints([2])], { outputs: 2, attributes })[0];
      },
    }),
  ),
  ReverseSequence: [
    {
      shapes: [[4, 3, 2]],
      make: (g, [x]) => g.ReverseSequence(x, g.ints([2, 4, 1])),
    },
  ],
  Compress: [
    {
      shapes: [[3, 4]],
      make: (g, [x]) => g.Compress(x, g.constant([1, 0, 1, 1], { dtype: "bool" }), { axis: 1 }),
    },
    {
      shapes: [[2, 3]],
      make: (g, [x]) => g.Compress(x, g.constant([0, 1, 0, 1, 1], { dtype: "bool" })),
    },
  ],
} satisfies Record<string, readonly Case[]>;
