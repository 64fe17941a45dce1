/** @file Pieces of training graphs whose gradient is not the derivative of what they compute. */
import { dtypes } from "../ir/dtype.ts";
import type { Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";

/** Far above any weight, so that u / FAR rounds to 0. */
const FAR = 2 ** 20;

/**
 * A value that is 0, and through which u gets the gradient dy as it is: FAR round(u / FAR), since
 * rounding passes gradients straight through. W + passing(u) h is W, with dW/du = h.
 */
export function passing(g: Builder, u: Value): Value {
  const far = g.constant(FAR);
  return g.Mul(g.Round(g.Div(u, far)), far);
}

/** Added before the sign is taken, so that sign(0) = 1: the smallest normal float32. */
const TINY = 2 ** -126;

/** -1 where x < 0, else 1. Gradients pass straight through. */
export const signOf = (g: Builder, x: Value): Value => g.Sign(g.Add(x, g.constant(TINY)));

/** -1 where u < 0, else 1, without a gradient. */
export function signLevels(g: Builder, u: Value): Value {
  const isUp = indicator(g, g.GreaterOrEqual(u, g.constant(0)));
  return g.Sub(g.Mul(isUp, g.constant(2)), g.constant(1));
}

/** 1 where the condition holds and 0 elsewhere; no gradient reaches what was compared. */
export const indicator = (g: Builder, condition: Value): Value =>
  g.Cast(condition, { to: dtypes.float32.code });

/**
 * u, from which no gradient comes back. For scalars: what is computed from it is differentiated all
 * the same, and only then cancels out exactly.
 */
export const detached = (g: Builder, u: Value): Value => g.Sub(u, passing(g, u));

/** The smallest magnitude that is told from 0: below it log2 would end in infinity. */
const LEAST = 2 ** -100;

/**
 * x with its magnitude rounded to the nearest power of two in the exponent, sign(x) 2^round(log2 |x|)
 * (Lin et al. 2016, arXiv 1510.03009, section 4); 0 stays 0.
 */
export function powersOfTwo(g: Builder, x: Value): Value {
  const log2 = g.Div(g.Log(g.Max(g.Abs(x), g.constant(LEAST))), g.constant(Math.LN2));
  return g.Mul(g.Sign(x), g.Pow(g.constant(2), g.Round(log2)));
}
