/**
 * @file Tables of a Fourier transform in two stages, computed by nodes: the engine folds them when it
 * loads the model, and the file stores none of their numbers.
 *
 * A grid d [n1, n2] is evaluated as a polynomial in z and w, at half of the T1 roots of z^T1 = -1 (the
 * others are their conjugates, whose values follow for real d) and at T2 roots w for each of them:
 *   D[f, e] = sum_(i, j) d[i, j] z_f^i w_(f, e)^j,   z_f = exp(-i pi (2 f + 1) / T1),   f < T1 / 2
 * No z_f is real, so that all D are alike: complex. With w_e = exp(-2 pi i e / T2) that is the transform
 * of a picture. With w_(f, e) = exp(-i pi (2 f + 1 + 2 T1 e) / T), T = T1 T2, it is the transform of a line of
 * T numbers written row by row into the grid (Cooley, Tukey 1965): z_f^i w^j is w^(i T2 + j) then.
 *
 * A complex product takes 3 real ones of (re, im, re + im), so D is written as these 3 numbers.
 */
import type { Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";

/** The points at which polynomials are evaluated. */
export interface Points {
  /** T1, even. */
  readonly rows: number;
  /** T2. */
  readonly columns: number;
  /** Whether the grid is a line of T1 T2 numbers, row by row. */
  readonly isLine: boolean;
}

/** Exponents `first`, `first + step` ...: `count` whole numbers. */
export interface Exponents {
  readonly first: number;
  readonly count: number;
  /** -1: filters are read backwards, because an ONNX convolution does not turn them around. */
  readonly step: 1 | -1;
}

/** (re, im) -> (re, im, re + im). */
const three = [1, 0, 0, 1, 1, 1];
/** (p, q, r) -> (p - q, r - p - q), the product of two complex numbers from those of their threes. */
const two = [1, -1, 0, -1, -1, 1];

/** [T1, n]: the real and the imaginary part of z_f^i, in turn. */
export function rowWaves(g: Builder, { rows }: Points, exponents: Exponents): Value {
  const f = g.Reshape(range(g, 2, 4, rows / 2), g.ints([-1, 1, 1], "points"));
  const quarters = whole(g, [0, 1], [2, 1]);
  return g.Reshape(waves(g, f, quarters, exponents, rows), g.ints([rows, -1], "shape"));
}

/** [q, 3 T2, 2 n]: D[f] as threes, from (real, imaginary) parts x n; q is T1 / 2 for a line and 1 else. */
export function columnWaves(g: Builder, points: Points, exponents: Exponents): Value {
  const { columns } = points;
  const pairs = pairsOf(g, points, exponents, [-1, columns, 2, 2 * exponents.count]);
  const threes = g.MatMul(g.constant(Float32Array.from(three), { shape: [3, 2] }), pairs);
  return g.Reshape(threes, g.ints([-1, 3 * columns, 2 * exponents.count], "shape"));
}

/** [q, 2 n, 3 T2]: (real, imaginary) parts x n from products of threes; the other way round. */
export function backWaves(g: Builder, points: Points, exponents: Exponents): Value {
  const { columns } = points;
  const pairs = pairsOf(g, points, exponents, [-1, 2 * columns, 2 * exponents.count]);
  const turned = g.Reshape(
    g.Transpose(pairs, { perm: [0, 2, 1] }),
    g.ints([-1, 2 * exponents.count, columns, 2], "pairs"),
  );
  const threes = g.MatMul(turned, g.constant(Float32Array.from(two), { shape: [2, 3] }));
  return g.Reshape(threes, g.ints([-1, 2 * exponents.count, 3 * columns], "shape"));
}

/** (re, im) of w^j times (real, imaginary) parts: [q, T2, (re, im), (real, imaginary), n], as `shape`. */
function pairsOf(
  g: Builder,
  { rows, columns, isLine }: Points,
  exponents: Exponents,
  shape: number[],
): Value {
  const unit = isLine ? rows * columns : columns;
  const step = isLine ? 4 * rows : 4;
  const e = g.Reshape(range(g, 0, step, columns), g.ints([-1, 1, 1, 1], "points"));
  const f = () => g.Reshape(range(g, 2, 4, rows / 2), g.ints([-1, 1, 1, 1, 1], "points"));
  // re: c a + s b, im: -s a + c b with c = cos, s = sin = cos a quarter of a turn before.
  const quarters = whole(g, [0, -1, 1, 0], [2, 2, 1]);
  const points = isLine ? g.Add(f(), e) : e;
  return g.Reshape(waves(g, points, quarters, exponents, unit), g.ints(shape, "pairs"));
}

/**
 * cos(pi / 2 (points exponents / unit + quarters)). The product is reduced modulo a whole turn before
 * it becomes a float.
 */
function waves(
  g: Builder,
  points: Value,
  quarters: Value,
  { first, count, step }: Exponents,
  unit: number,
): Value {
  const angle = g.Mul(points, range(g, first, step, count));
  const turned = g.Add(angle, g.Mul(quarters, whole(g, [unit], [])));
  const turn = g.Cast(g.Mod(turned, whole(g, [4 * unit], [])), { to: 1 });
  return g.Cos(g.Mul(turn, g.constant(Math.PI / (2 * unit))));
}

const whole = (g: Builder, values: number[], shape: number[]): Value =>
  g.constant(values, { dtype: "int64", shape });

/** first, first + step ...: `count` whole numbers. */
export function range(g: Builder, first: number, step: number, count: number): Value {
  const [start, limit, delta] = [first, first + step * count, step].map((x) => whole(g, [x], []));
  return g.Range(start, limit, delta);
}
