/** @file Gradients of elementwise arithmetic; the driver sums over broadcast axes. */

import { dtypes } from "../../ir/dtype.ts";
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../builder.ts";
import { castTo, type GradRules, mask, type OneRule, scalar } from "./rule.ts";

const multiplyIf = (g: Builder, dy: Value, condition: Value): Value =>
  g.Mul(dy, mask(g, condition, dy));

/** Operands that are equal to the extreme share dy equally. */
const extreme: OneRule = (g, dy, { inputs, output }) => {
  const chosen = inputs.map((x) => mask(g, g.Equal(x, output), dy));
  const part = g.Div(dy, g.Sum(...chosen));
  return chosen.map((is) => g.Mul(part, is));
};

/** start + sign x^2. */
function square(g: Builder, start: number, sign: 1 | -1, x: Value): Value {
  const [from, power] = [scalar(g, x, start), g.Mul(x, x)];
  return sign > 0 ? g.Add(from, power) : g.Sub(from, power);
}

export const elementwise = {
  // y = a + b
  Add: (_, dy) => [dy, dy],
  Sub: (g, dy) => [dy, g.Neg(dy)],
  Sum: (_, dy, { inputs }) => inputs.map(() => dy),
  Mean: (g, dy, { inputs }) => {
    const part = g.Mul(dy, scalar(g, dy, 1 / inputs.length));
    return inputs.map(() => part);
  },
  Neg: (g, dy) => [g.Neg(dy)],
  Identity: (_, dy) => [dy],
  // An integer on the way stands for a real number, and so does its gradient.
  Cast: (g, dy, { inputs: [{ dtype }] }) => [
    dtype && dtypes[dtype].kind !== "float" ? dy : castTo(g, dy, dtype ?? "float32"),
  ],
  CastLike: (g, dy, { inputs: [x] }) => [castTo(g, dy, x.dtype ?? "float32"), null],

  // d(ab) = b da + a db
  Mul: (g, dy, { inputs: [a, b] }) => [g.Mul(dy, b), g.Mul(dy, a)],
  // d(a/b) = da/b - (y/b) db
  Div: (g, dy, { inputs: [, b], output: y }) => {
    const da = g.Div(dy, b);
    return [da, g.Neg(g.Mul(da, y))];
  },
  // a = k b + y with k whole: dy = da - k db
  Mod: (g, dy, { inputs: [a, b], output: y }) => [
    dy,
    g.Neg(g.Mul(dy, g.Round(g.Div(g.Sub(a, y), b)))),
  ],
  // d(1/x) = -y^2 dx
  Reciprocal: (g, dy, { output: y }) => [g.Neg(g.Mul(dy, g.Mul(y, y)))],
  // d(a^b) = b a^(b-1) da + y ln(a) db, the second where a > 0
  Pow: (g, dy, { inputs: [a, b], output: y }) => {
    const exponent = b.dtype === a.dtype ? b : castTo(g, b, a.dtype ?? "float32");
    const zero = scalar(g, a, 0);
    const one = scalar(g, a, 1);
    const isPositive = g.Greater(a, zero);
    const logarithm = g.Log(g.Where(isPositive, a, one));
    return [
      g.Mul(dy, g.Mul(exponent, g.Pow(a, g.Sub(exponent, one)))),
      g.Mul(dy, g.Mul(y, logarithm)),
    ];
  },

  // f'(y) or f'(x)
  Sqrt: (g, dy, { output: y }) => [g.Div(g.Mul(dy, scalar(g, y, 0.5)), y)],
  Exp: (g, dy, { output: y }) => [g.Mul(dy, y)],
  Log: (g, dy, { inputs: [x] }) => [g.Div(dy, x)],
  Abs: (g, dy, { inputs: [x] }) => [g.Mul(dy, g.Sign(x))],
  Sin: (g, dy, { inputs: [x] }) => [g.Mul(dy, g.Cos(x))],
  Cos: (g, dy, { inputs: [x] }) => [g.Neg(g.Mul(dy, g.Sin(x)))],
  Tan: (g, dy, { output: y }) => [g.Mul(dy, g.Add(g.Mul(y, y), scalar(g, y, 1)))],
  Sinh: (g, dy, { inputs: [x] }) => [g.Mul(dy, g.Cosh(x))],
  Cosh: (g, dy, { inputs: [x] }) => [g.Mul(dy, g.Sinh(x))],
  Asin: (g, dy, { inputs: [x] }) => [g.Div(dy, g.Sqrt(square(g, 1, -1, x)))],
  Acos: (g, dy, { inputs: [x] }) => [g.Neg(g.Div(dy, g.Sqrt(square(g, 1, -1, x))))],
  Atan: (g, dy, { inputs: [x] }) => [g.Div(dy, square(g, 1, 1, x))],
  Asinh: (g, dy, { inputs: [x] }) => [g.Div(dy, g.Sqrt(square(g, 1, 1, x)))],
  Acosh: (g, dy, { inputs: [x] }) => [g.Div(dy, g.Sqrt(square(g, -1, 1, x)))],
  Atanh: (g, dy, { inputs: [x] }) => [g.Div(dy, square(g, 1, -1, x))],

  Min: extreme,
  Max: extreme,
  // Inside the bounds x gets dy; outside, the bound that holds does.
  Clip: (g, dy, { inputs: [x, low, high], output: y }) => [
    multiplyIf(g, dy, g.Equal(x, y)),
    low ? multiplyIf(g, dy, g.Less(x, low)) : null,
    high ? multiplyIf(g, dy, g.Greater(x, high)) : null,
  ],
  Where: (g, dy, { inputs: [condition] }) => {
    const zero = scalar(g, dy, 0);
    return [null, g.Where(condition, dy, zero), g.Where(condition, zero, dy)];
  },

  // Straight through (Bengio et al. 2013, arXiv 1308.3432): as if y = x.
  Round: (_, dy) => [dy],
  Ceil: (_, dy) => [dy],
  Floor: (_, dy) => [dy],
  Sign: (_, dy) => [dy],
} satisfies GradRules;
