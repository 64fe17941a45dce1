/** @file Gradients of reductions: dy is spread over the elements that were reduced. */
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../builder.ts";
import { constantValue } from "../constant.ts";
import {
  castTo,
  type GradNode,
  type GradRules,
  mask,
  type OneRule,
  product,
  rankOf,
  scalar,
  shapeValue,
  unsupported,
} from "./rule.ts";

/** y with reduced axes of size 1, whatever keepdims says, so that it broadcasts against x. */
function kept(g: Builder, y: Value, node: GradNode): Value {
  const [x, axes] = node.inputs;
  const given = axes ? constantValue(axes) : null;
  const isAll = !axes || given?.size === 0;
  // Engines disagree on what the operator does in this case.
  if (isAll && node.int("noop_with_empty_axes", 0) === 1) throw unsupported(node, "no axes");
  if (node.int("keepdims", 1) === 1) return y;
  if (!isAll) return g.Unsqueeze(y, axes);
  return g.Reshape(y, g.ints(new Array<number>(rankOf(x, node)).fill(1), "shape"));
}

const spread = (g: Builder, dy: Value, x: Value): Value => g.Expand(dy, shapeValue(g, x));

/** How many elements each result is computed from. */
function countOf(g: Builder, node: GradNode): Value {
  const [x, y] = [node.inputs[0], node.output];
  const sizes = [x, y].map(({ shape }) =>
    shape?.every((dim) => typeof dim === "number") ? product(shape as number[]) : null,
  );
  if (sizes[0] !== null && sizes[1]) return scalar(g, x, sizes[0] / sizes[1]);
  return castTo(g, g.Div(g.Size(x), g.Size(y)), x.dtype ?? "float32");
}

/** Elements that are equal to the extreme share dy equally. */
const extreme: OneRule = (g, dy, node) => {
  const [x, axes] = node.inputs;
  const isBest = mask(g, g.Equal(x, kept(g, node.output, node)), x);
  const ties = g.ReduceSum(isBest, axes);
  return [g.Mul(isBest, g.Div(kept(g, dy, node), ties)), null];
};

const globalMax: OneRule = (g, dy, node) => {
  const [x] = node.inputs;
  const is = mask(g, g.Equal(x, node.output), x);
  const axes = Array.from({ length: rankOf(x, node) - 2 }, (_, i) => i + 2);
  return [g.Mul(is, g.Div(dy, g.ReduceSum(is, g.ints(axes, "axes"))))];
};

export const reductions = {
  ReduceSum: (g, dy, node) => [spread(g, kept(g, dy, node), node.inputs[0]), null],
  ReduceMean: (g, dy, node) => {
    const part = g.Div(kept(g, dy, node), countOf(g, node));
    return [spread(g, part, node.inputs[0]), null];
  },
  ReduceMax: extreme,
  ReduceMin: extreme,
  // d sum x^2 = 2 x dx
  ReduceSumSquare: (g, dy, node) => {
    const [x] = node.inputs;
    return [g.Mul(g.Mul(x, scalar(g, x, 2)), kept(g, dy, node)), null];
  },
  ReduceL1: (g, dy, node) => [g.Mul(g.Sign(node.inputs[0]), kept(g, dy, node)), null],
  // d ln sum x = e^-y dx
  ReduceLogSum: (g, dy, node) => {
    const part = g.Mul(dy, g.Exp(g.Neg(node.output)));
    return [spread(g, kept(g, part, node), node.inputs[0]), null];
  },
  // d prod x = (product of the others) dx, also where some are zero
  ReduceProd: (g, dy, node) => {
    const [x, axes] = node.inputs;
    const isZero = g.Equal(x, scalar(g, x, 0));
    const others = g.Where(isZero, scalar(g, x, 1), x);
    const zeros = mask(g, isZero, x);
    const otherZeros = g.Sub(g.ReduceSum(zeros, axes), zeros);
    const isAlone = mask(g, g.Less(otherZeros, scalar(g, x, 0.5)), x);
    const part = g.Div(g.ReduceProd(others, axes), others);
    return [g.Mul(g.Mul(part, isAlone), kept(g, dy, node)), null];
  },
  // d |x| = x / |x| dx
  ReduceL2: (g, dy, node) => {
    const quotient = g.Div(kept(g, dy, node), kept(g, node.output, node));
    return [g.Mul(node.inputs[0], quotient), null];
  },
  // d ln sum e^x = e^(x - y) dx
  ReduceLogSumExp: (g, dy, node) => {
    const share = g.Exp(g.Sub(node.inputs[0], kept(g, node.output, node)));
    return [g.Mul(share, kept(g, dy, node)), null];
  },
  GlobalAveragePool: (g, dy, node) => {
    const [x] = node.inputs;
    return [spread(g, g.Div(dy, countOf(g, node)), x)];
  },
  GlobalMaxPool: globalMax,
} satisfies GradRules;
