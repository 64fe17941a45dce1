/** @file Shapes that many cases share. */
import type { Value } from "../../src/ir/graph.ts";
import type { Builder } from "../../src/ops/builder.ts";
import type { gradRules } from "../../src/ops/grad.ts";
import type { Case } from "./gradients.ts";

/** y = op(x), 3 x 4. */
export const unary = (
  make: (g: Builder, x: Value) => Value,
  options: Partial<Case> = {},
): readonly Case[] => [{ shapes: [[3, 4]], make: (g, [x]) => make(g, x), ...options }];

/** Once with axis 0 known, once without. */
export const open = (case_: Case): readonly Case[] => [case_, { ...case_, isOpen: true }];

export const matrix = (g: Builder, shape: readonly number[], values: readonly number[]): Value =>
  g.constant(values, { dtype: "int64", shape });

type Reduction = Extract<keyof typeof gradRules, `Reduce${string}`>;

/** Some axes, kept or not; all axes. */
export const reduction = (op: Reduction): readonly Case[] => [
  ...open({ shapes: [[2, 3, 4]], make: (g, [x]) => g[op](x, g.ints([0, -1])) }),
  ...open({ shapes: [[2, 3, 4]], make: (g, [x]) => g[op](x, g.ints([1]), { keepdims: 0 }) }),
  ...open({ shapes: [[2, 3]], make: (g, [x]) => g[op](x, { keepdims: 0 }) }),
];
