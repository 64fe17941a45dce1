/** @file Gradients of matrix products. */
import type { Node, Value } from "../../ir/graph.ts";
import type { Builder } from "../builder.ts";
import { parseEinsum } from "../einsum.ts";
import { type GradRules, type OneRule, rankOf, reshapeLike, scalar, unsupported } from "./rule.ts";

/** x with its last two axes swapped. */
function transposed(g: Builder, x: Value, rank: number): Value {
  const perm = Array.from({ length: rank }, (_, i) => i);
  [perm[rank - 2], perm[rank - 1]] = [rank - 1, rank - 2];
  return g.Transpose(x, { perm });
}

/** [..., n] -> [rows, n]. */
function rows(g: Builder, x: Value, rank: number, node: Node): Value {
  if (rank === 2) return x;
  const last = x.shape?.[rankOf(x, node) - 1];
  if (typeof last === "number") return g.Reshape(x, g.ints([-1, last], "shape"));
  return g.Flatten(x, { axis: rank - 1 });
}

/**
 * A^T B of two tall matrices, with the narrower one transposed by a node of its own. The engine's
 * Gemm transposes blocks repeatedly (2048 x 384 and 1536: 27.3 instead of 29.7 ms, 1536 and 384:
 * 27.1 instead of 31.4).
 */
function inner(g: Builder, a: Value, b: Value): Value {
  const [m, n] = [a, b].map(({ shape }) => shape?.[1]);
  const turn = (x: Value): Value => g.Transpose(x, { perm: [1, 0] });
  const isWide = typeof m === "number" && typeof n === "number" && m > n;
  return isWide ? turn(g.MatMul(turn(b), a)) : g.MatMul(turn(a), b);
}

/**
 * The gradient of each operand is the Einsum in which it and the result change places. Ellipses
 * become letters. Throws TersorError "no-gradient" for diagonals and for sums over an axis of
 * one operand alone.
 */
const einsum: OneRule = (g, dy, node) => {
  const equation = node.text("equation", "");
  const parsed = parseEinsum(
    equation,
    node.inputs.map((x) => rankOf(x, node)),
  );
  const axes = [...new Set(parsed.inputs.flat())];
  const name = (term: readonly string[]): string =>
    term.map((axis) => String.fromCharCode(97 + axes.indexOf(axis))).join("");
  const terms = parsed.inputs.map(name);
  const output = name(parsed.output);
  return node.inputs.map((_, i) => {
    const [own, rest] = [terms[i], terms.toSpliced(i, 1)];
    const others = [output, ...rest].join("");
    // Otherwise it is a diagonal, or a sum over an axis that no other operand has.
    const isPlain = new Set(own).size === own.length && [...own].every((a) => others.includes(a));
    if (!isPlain) throw unsupported(node, `the equation "${equation}"`);
    const values = [dy, ...node.inputs.toSpliced(i, 1)];
    return g.Einsum(...values, { equation: `${[output, ...rest].join(",")}->${own}` });
  });
};

export const products = {
  Einsum: einsum,
  // Y = A B: dA = dY B^T, dB = A^T dY; batches that were broadcast are summed by the driver.
  MatMul: (g, dy, node) => {
    const [a, b] = node.inputs;
    const [p, q] = [rankOf(a, node), rankOf(b, node)];
    // A vector is a row on the left and a column on the right.
    const left = p === 1 ? g.Unsqueeze(a, g.ints([0], "axes")) : a;
    const right = q === 1 ? g.Unsqueeze(b, g.ints([1], "axes")) : b;
    const column = q === 1 ? g.Unsqueeze(dy, g.ints([-1], "axes")) : dy;
    const outer = p === 1 ? g.Unsqueeze(column, g.ints([-2], "axes")) : column;
    if (p > 2 && q <= 2) {
      // One weight for all batches: a single product each, without a batch of weight gradients to
      // sum.
      const flat = rows(g, outer, p, node);
      const da = reshapeLike(g, g.Gemm(flat, right, { transB: 1 }), a);
      const db = inner(g, rows(g, left, p, node), flat);
      return [da, q === 1 ? g.Squeeze(db, g.ints([1], "axes")) : db];
    }
    const da = g.MatMul(outer, transposed(g, right, Math.max(q, 2)));
    const db = g.MatMul(transposed(g, left, Math.max(p, 2)), outer);
    return [da, q === 1 ? g.Squeeze(db, g.ints([-1], "axes")) : db];
  },
  // Y = alpha A' B' + beta C, where A' and B' may be transposed
  Gemm: (g, dy, node) => {
    const [a, b, c] = node.inputs;
    const [transA, transB] = [node.int("transA", 0), node.int("transB", 0)];
    const [alpha, beta] = [node.float("alpha", 1), node.float("beta", 1)];
    const da = transA
      ? g.Gemm(b, dy, { alpha, transA: transB, transB: 1 })
      : g.Gemm(dy, b, { alpha, transB: 1 - transB });
    const db = transB
      ? g.Gemm(dy, a, { alpha, transA: 1, transB: transA })
      : g.Gemm(a, dy, { alpha, transA: 1 - transA });
    const dc = beta === 1 ? dy : g.Mul(dy, scalar(g, dy, beta));
    return [da, db, c ? dc : null];
  },
} satisfies GradRules;

/**
 * A and D of a node that computes A^T D, the gradient of a matrix; null for other nodes. If
 * a weight is used several times (steps of an unrolled LSTM), sum A_i^T D_i is one product
 * of longer matrices.
 */
export function outerProductOf(node: Node | null): readonly [Value, Value] | null {
  const [left, right] = node?.inputs ?? [];
  const source = left?.producer;
  if (node?.op !== "MatMul" || source?.op !== "Transpose" || !right) return null;
  const [a] = source.inputs;
  if (source.ints("perm")?.[0] === 0) return null;
  return a?.shape?.length === 2 && right.shape?.length === 2 ? [a, right] : null;
}
