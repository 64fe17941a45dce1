/** @file Straight-through gradients of quantization, with gradients of step sizes (LSQ). */
import { dtypes } from "../../ir/dtype.ts";
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../builder.ts";
import {
  axisOf,
  castTo,
  type GradNode,
  type GradRules,
  mask,
  rankOf,
  scalar,
  shapeValue,
  sizesOf,
  unsupported,
} from "./rule.ts";

/** How scales apply to x: one for all, one per channel of `axis`, or one per block. */
interface Scales {
  readonly axis: number;
  readonly isPerAxis: boolean;
  readonly block: number;
}

function scalesOf(x: Value, scale: Value, node: GradNode): Scales {
  const axis = axisOf(node.int("axis", 1), rankOf(x, node));
  const isPerAxis = rankOf(scale, node) === 1 && scale.shape?.[0] !== 1;
  return { axis, isPerAxis, block: node.int("block_size", 0) };
}

/** [C] -> [C, 1, ...], to be broadcast against x. */
function spread(g: Builder, value: Value, { axis, isPerAxis }: Scales, rank: number): Value {
  if (!isPerAxis) return value;
  return g.Reshape(value, g.ints([-1, ...new Array<number>(rank - axis - 1).fill(1)], "shape"));
}

/** Sums over the elements that share a scale, in the shape of the scale. */
function gather(g: Builder, part: Value, scale: Value, scales: Scales, node: GradNode): Value {
  const rank = rankOf(part, node);
  const { axis, isPerAxis, block } = scales;
  if (block > 0) {
    const sizes = sizesOf(part, node);
    const split = [...sizes.slice(0, axis), sizes[axis] / block, block, ...sizes.slice(axis + 1)];
    if (!Number.isInteger(split[axis])) throw unsupported(node, "a block cut short");
    const blocks = g.Reshape(part, g.ints(split, "shape"));
    return g.ReduceSum(blocks, g.ints([axis + 1], "axes"), { keepdims: 0 });
  }
  const axes = Array.from({ length: rank }, (_, i) => i).filter((i) => !isPerAxis || i !== axis);
  const sum = axes.length > 0 ? g.ReduceSum(part, g.ints(axes, "axes"), { keepdims: 0 }) : part;
  return rankOf(scale, node) === 1 && !isPerAxis ? g.Reshape(sum, g.ints([1], "shape")) : sum;
}

/** The smallest and the largest level. */
function boundsOf(levels: Value, node: GradNode): readonly [number, number] {
  const dtype = levels.dtype ?? "uint8";
  const { bits, kind } = dtypes[dtype];
  if (kind !== "int") throw unsupported(node, `levels of type ${dtype}`);
  return dtype.startsWith("u") ? [0, 2 ** bits - 1] : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
}

/**
 * ds / sqrt(N Qp) with N elements per scale and the largest level Qp, which keeps updates of a
 * learned step size in proportion to those of the weights (Esser et al. 2020, arXiv
 * 1902.08153, section 2.2).
 */
function damped(
  g: Builder,
  ds: Value,
  x: Value,
  scale: Value,
  levels: Value,
  node: GradNode,
): Value {
  const [, top] = boundsOf(levels, node);
  const count = castTo(g, g.Div(g.Size(x), g.Size(scale)), ds.dtype ?? "float32");
  return g.Div(ds, g.Sqrt(g.Mul(count, scalar(g, ds, top))));
}

/*
 * y = s (q - z), q = clip(round(x / s) + z): with v = x / s, dy/ds is round(v) - v inside the range
 * and q - z outside (arXiv 1902.08153, eq. 3): q - z from DequantizeLinear, -v from QuantizeLinear.
 * A gradient on levels counts in real units: inside the range the pair acts as y = x.
 */
export const quantization = {
  DequantizeLinear: (g, dy, node) => {
    const [levels, scale, zero] = node.inputs;
    const scales = scalesOf(levels, scale, node);
    const ones = g.Expand(scalar(g, scale, 1), shapeValue(g, scale));
    const attributes = { axis: node.int("axis", 1), block_size: scales.block };
    const centred = g.DequantizeLinear(levels, ones, zero, attributes);
    const ds = gather(g, g.Mul(dy, centred), scale, scales, node);
    const isLearned = levels.producer?.op === "QuantizeLinear";
    return [dy, isLearned ? damped(g, ds, dy, scale, levels, node) : ds, null];
  },
  QuantizeLinear: (g, dy, node) => {
    const [x, scale, zero] = node.inputs;
    const scales = scalesOf(x, scale, node);
    if (scales.block > 0) throw unsupported(node, "blocks");
    const rank = rankOf(x, node);
    const v = g.Div(x, spread(g, scale, scales, rank));
    const from = zero && castTo(g, zero, x.dtype ?? "float32");
    const level = from ? g.Add(v, spread(g, from, scales, rank)) : v;
    const [low, high] = boundsOf(node.output, node).map((bound) => scalar(g, x, bound));
    const isInside = g.And(g.GreaterOrEqual(level, low), g.LessOrEqual(level, high));
    const dx = g.Mul(dy, mask(g, isInside, dy));
    const ds = g.Neg(gather(g, g.Mul(dx, v), scale, scales, node));
    return [dx, damped(g, ds, x, scale, node.output, node), null];
  },
  // q = round(x / s) + z over the whole range of x, so nothing is clipped and s (q - z) acts as x
  DynamicQuantizeLinear: (g, dy, { outputs: [, scale] }) => [g.Div(dy, scale)],
  // Y = (A - a) (B - b) in levels: dA = dY (B - b)^T; B is stored in integers and does not learn
  MatMulInteger: (g, dy, node) => {
    const [a, b, , zero] = node.inputs;
    if (
      a.producer?.op !== "DynamicQuantizeLinear" ||
      rankOf(a, node) < 2 ||
      rankOf(b, node) !== 2
    ) {
      throw unsupported(node, "any form but rows from DynamicQuantizeLinear times a matrix");
    }
    const dtype = dy.dtype ?? "float32";
    const levels = castTo(g, b, dtype);
    const centred = zero ? g.Sub(levels, castTo(g, zero, dtype)) : levels;
    return [g.MatMul(dy, g.Transpose(centred, { perm: [1, 0] })), null, null, null];
  },
} satisfies GradRules;
