/** @file Fastfood: blocks S H G P H B of three diagonals, a permutation and Walsh-Hadamard matrices. */
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../../ops/builder.ts";
import { fromBlocks } from "../blocks.ts";
import { defineForm, integers, learns, type Shape } from "../form.ts";
import { PRIME } from "./hashed.ts";

/**
 * W [m, n] of blocks [b, b], b a power of two, s, g and b [p q, b] with p = ceil(m / b), q = ceil(n / b):
 *   block = S H G P H B,   H[i, j] = (-1)^(bits that i and j share) / sqrt(b)
 * P moves row o(i) to row i, where o orders hashes of the places: no permutation is stored, two seeds
 * are. What stands over m or n is cut off.
 */
export const fastfood = defineForm({
  kind: "fastfood",
  cite: "Yang et al. 2015, Deep Fried Convnets, arXiv 1412.7149; Le, Sarlos, Smola 2013",
  doc: "W = S H G P H B in blocks, H of Walsh and Hadamard, P from two seeds",
  theta: {
    s: learns({ channels: 0 }),
    g: learns({ channels: 0 }),
    b: learns({ channels: 0 }),
    first: integers("int64", 1, PRIME - 1),
    second: integers("int64", 0, PRIME - 1),
  },
  build(g, { s, g: scales, b, first, second }, shape) {
    const [count, size] = s.shape as Shape;
    const int = (x: number) => g.constant(x, { dtype: "int64" });
    const [zero, one, prime] = [int(0), int(1), int(PRIME)];
    const place = g.Range(zero, int(count * size), one);
    const mixed = g.Mod(g.Add(g.Mul(place, first), second), prime);
    const hash = g.Mod(g.Add(g.Mul(mixed, mixed), place), prime);
    const keys = g.Reshape(hash, g.ints([count, size], "blocks"));
    const [, order] = g.many("TopK", [keys, g.ints([size], "all")], { outputs: 2 });
    const h = hadamard(g, zero, one, size);
    const [column, row] = [g.ints([-1], "column"), g.ints([-2], "row")];
    const inner = g.Mul(g.Gather(h, order, { axis: 0 }), g.Unsqueeze(b, row));
    const outer = g.MatMul(h, g.Mul(inner, g.Unsqueeze(scales, column)));
    return fromBlocks(g, g.Mul(outer, g.Unsqueeze(s, column)), size, shape);
  },
  examples: [
    {
      shape: [6, 5],
      theta: { s: [4, 4], g: [4, 4], b: [4, 4], first: [], second: [] },
    },
  ],
});

/** H [size, size] / sqrt(size): cos(pi c), with c the number of bits that row and column share. */
function hadamard(g: Builder, zero: Value, one: Value, size: number): Value {
  const int64 = { dtype: "int64" } as const;
  const powers: number[] = [];
  for (let power = 1; power < size; power *= 2) powers.push(power);
  const i = g.Reshape(g.Range(zero, g.constant(size, int64), one), g.ints([-1, 1], "rows"));
  const bit = g.Mod(g.Div(i, g.constant(powers, int64)), g.constant(2, int64));
  const bits = g.Cast(bit, { to: 1 });
  const shared = g.MatMul(bits, g.Transpose(bits, { perm: [1, 0] }));
  return g.Mul(g.Cos(g.Mul(shared, g.constant(Math.PI))), g.constant(1 / Math.sqrt(size)));
}

/** The order o [blocks, size] of the form's permutations, in plain arithmetic. */
export function permutations(
  first: number,
  second: number,
  blocks: number,
  size: number,
): Int32Array[] {
  const hash = (i: number): number => {
    const x = (i * first + second) % PRIME;
    return (x * x + i) % PRIME;
  };
  return Array.from({ length: blocks }, (_, block) => {
    const keys = Float64Array.from({ length: size }, (_, t) => hash(block * size + t));
    return Int32Array.from(keys.keys()).sort((i, j) => keys[j] - keys[i] || i - j);
  });
}
