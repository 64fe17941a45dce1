/**
 * @file A convolution as a product of spectra, in plain nodes.
 *
 * For tiles d of the inputs, U = F(K) the form of the weight (weights/forms/fourier.ts), F the transform
 * in two stages of weights/waves.ts (Mathieu, Henaff, LeCun 2013, arXiv 1312.5851, eq. 1):
 *   y[n] = F^-1( sum_c U[n, c] . F(d[c]) )
 * Both stages are products of matrices; at each frequency the sum is one as well, or a plain
 * multiplication where groups have one input.
 */
import type { Value } from "../ir/graph.ts";
import type { Channels, Convolved, Plan } from "../numeric/fourier.ts";
import { type Builder, build } from "../ops/builder.ts";
import { inferNode } from "../ops/infer.ts";
import { biasOf } from "../ops/weights.ts";
import { padding, windowOf } from "../ops/window.ts";
import { product } from "../util/product.ts";
import { expand } from "../weights/expand.ts";
import { backWaves, columnWaves, type Points, range, rowWaves } from "../weights/waves.ts";
import type { Weight } from "../weights/weight.ts";
import { inputOf, type Layer } from "./matrix.ts";
import { takePlace } from "./take-place.ts";

/** What decides how long a convolution takes, and what its transforms look like. */
export interface Shapes {
  readonly channels: Channels;
  readonly axes: readonly Convolved[];
}

/** The shapes of a layer that a product of spectra computes; a reason for any other. */
export function shapesOf(layer: Layer): Shapes | string {
  const { kind, node, kernel, inputs, outputs, groups } = layer;
  if (kind !== "conv" || kernel.length > 2) return "is no convolution along one or two axes";
  if (Math.max(...kernel) === 1) return "has filters of one tap";
  const window = windowOf(node, kernel);
  if (window.strides.some((step) => step !== 1))
    return "has a stride: most outputs would be thrown away";
  if (window.dilations.some((step) => step !== 1)) return "has dilated filters";
  const [, , ...spatial] = inputOf(layer).shape ?? [];
  if (spatial.length !== kernel.length || !spatial.every((dim) => typeof dim === "number")) {
    return "reads maps of unknown size: give the model fixed sizes";
  }
  const axes = (spatial as number[]).map((size, axis) => {
    const [begin, end] = padding(window, axis, size);
    const taps = kernel[axis];
    return { size, taps, begin, end, result: size + begin + end - taps + 1 };
  });
  return { channels: { inputs: inputs * groups, outputs, groups }, axes };
}

/** Multiplications of the convolution itself, for one record. */
export function directOf({ channels, axes }: Shapes): number {
  const { inputs, outputs, groups } = channels;
  return axes.reduce((sum, { taps, result }) => sum * taps * result, (inputs / groups) * outputs);
}

/** [T1 / 2, 3 T2, groups, c, n] of the transformed filters (weights/forms/fourier.ts). */
export function spectrumShape({ channels }: Shapes, { spans }: Plan): number[] {
  const { inputs, outputs, groups } = channels;
  return [spans[0].points / 2, 3 * spans[1].points, groups, inputs / groups, outputs / groups];
}

/** Replaces the layer by a product of spectra, U its weight. The bias is added behind it. */
export function replaceBySpectra(layer: Layer, shapes: Shapes, plan: Plan, u: Weight): void {
  const { node, value } = layer;
  const g = build(node.graph, node.name, inferNode);
  const by = convolved(g, inputOf(layer), expand(g, u), biasOf(node), shapes, plan);
  takePlace(node, by, value);
}

/** y [N, n, H', W'] or [N, n, L'] of x [N, c, H, W] or [N, c, L] and U [T1 / 2, 3 T2, groups, c, n]. */
function convolved(
  g: Builder,
  x: Value,
  u: Value,
  bias: Value | null,
  shapes: Shapes,
  plan: Plan,
): Value {
  const { spans, isLine } = plan;
  const [down, across] = spans;
  const { outputs } = shapes.channels;
  const points: Points = { rows: down.points, columns: across.points, isLine };
  const half = points.rows / 2;
  const to = (value: Value, ...shape: number[]) => g.Reshape(value, g.ints(shape, "shape"));
  const from = (first: number, count: number) => ({ first, count, step: 1 }) as const;

  const tiles = to(tilesOf(g, x, shapes, plan), down.inputs, -1);
  const rows = g.MatMul(rowWaves(g, points, from(0, down.inputs)), tiles);
  const columns = columnWaves(g, points, from(0, across.inputs));
  const spectra = g.MatMul(columns, to(rows, half, 2 * across.inputs, -1));
  const sums = multiplied(g, spectra, u, [half, 3 * points.columns], shapes.channels);
  const back = backWaves(g, points, from(-across.skipped, across.outputs));
  const lines = g.MatMul(back, to(sums, half, 3 * points.columns, -1));
  const waves = rowWaves(g, points, from(-down.skipped, down.outputs));
  const scale = g.constant(2 / (points.rows * points.columns));
  const final = g.Mul(g.Transpose(waves, { perm: [1, 0] }), scale);
  const y = g.MatMul(final, to(lines, points.rows, -1));
  return joined(g, y, bias, outputs, shapes, plan);
}

/** The sums over the inputs of a group at each of the `points`, [.., tiles N, n] of v [.., tiles N c]. */
function multiplied(g: Builder, v: Value, u: Value, points: number[], channels: Channels): Value {
  const { inputs, outputs, groups } = channels;
  const [c, n] = [inputs / groups, outputs / groups];
  const to = (value: Value, ...shape: number[]) =>
    g.Reshape(value, g.ints([...points, ...shape], "shape"));
  if (groups === 1) return g.MatMul(to(v, -1, c), to(u, c, n));
  if (c === 1 && n === 1) return g.Mul(to(v, -1, groups), to(u, 1, groups));
  if (c === 1) return g.Mul(to(v, -1, groups, 1), to(u, 1, groups, n));
  const perm = [0, 1, 3, 2, 4];
  const sums = g.MatMul(g.Transpose(to(v, -1, groups, c), { perm }), u);
  return g.Transpose(sums, { perm });
}

/** Tiles [n1, n2, t1, t2, N c] of a picture, or [n, t, N c] of a line, zeros around the map. */
function tilesOf(
  g: Builder,
  x: Value,
  { axes }: Shapes,
  { isLine, spans, tiles, steps }: Plan,
): Value {
  const sizes = axes.map(({ size }) => size);
  const last = g.Reshape(turned(g, x, [-1, product(sizes)]), g.ints([...sizes, -1], "last"));
  const lengths = isLine ? [spans[0].inputs * spans[1].inputs] : spans.map(({ inputs }) => inputs);
  const isCut = axes.map((_, axis) => isLine || tiles[axis] > 1);
  const begins = axes.map(({ begin }, axis) => (isCut[axis] ? begin : 0));
  const ends = axes.map(({ size }, axis) => {
    const read = (tiles[axis] - 1) * steps[axis] + lengths[axis];
    return isCut[axis] ? read - size - begins[axis] : 0;
  });
  const pads = [...begins, 0, ...ends, 0];
  const padded = pads.every((pad) => pad === 0) ? last : g.Pad(last, g.ints(pads, "pads"));
  const cut = axes.reduceRight((y, _, axis) => {
    if (tiles[axis] === 1) return y;
    return g.Gather(y, placesOf(g, lengths[axis], tiles[axis], steps[axis]), { axis });
  }, padded);
  // [n1, t1, n2, (t2), N c]
  if (isLine || tiles[0] === 1) return cut;
  return g.Transpose(cut, { perm: tiles[1] === 1 ? [0, 2, 1, 3] : [0, 2, 1, 3, 4] });
}

/** The transpose of `value` as the matrix of this shape. The engine is slow to exchange more than two axes. */
const turned = (g: Builder, value: Value, shape: number[]): Value =>
  g.Transpose(g.Reshape(value, g.ints(shape, "matrix")), { perm: [1, 0] });

/** [n, t]: where the inputs of each tile are. */
function placesOf(g: Builder, length: number, tiles: number, step: number): Value {
  const column = g.Reshape(range(g, 0, 1, length), g.ints([-1, 1], "column"));
  return g.Add(column, range(g, 0, step, tiles));
}

/** The map [N, n, ...] of tiles y [m1, m2 tiles N n], without what stands over it. */
function joined(
  g: Builder,
  y: Value,
  bias: Value | null,
  outputs: number,
  { axes }: Shapes,
  plan: Plan,
): Value {
  const { isLine, spans, tiles, steps } = plan;
  const [m1, m2] = spans.map((span) => span.outputs);
  const whole = axes.map((_, axis) => tiles[axis] * steps[axis]);
  let all = y;
  if (tiles.some((count) => count > 1)) {
    const shape = isLine ? [m1 * m2, ...tiles, -1] : [m1, m2, ...tiles, -1];
    const perm = isLine ? [1, 0, 2] : [2, 0, 3, 1, 4];
    all = g.Transpose(g.Reshape(y, g.ints(shape, "tiles")), { perm });
  }
  const rows = turned(g, all, [product(whole), -1]);
  const first = g.Reshape(rows, g.ints([-1, outputs, product(whole)], "first"));
  const biased = bias ? g.Add(first, g.Reshape(bias, g.ints([-1, 1], "column"))) : first;
  const map = g.Reshape(biased, g.ints([-1, outputs, ...whole], "map"));
  const ends = axes.map(({ result }) => result);
  if (ends.every((end, axis) => end === whole[axis])) return map;
  const [starts, places] = [axes.map(() => 0), axes.map((_, axis) => axis + 2)];
  return g.Slice(map, g.ints(starts, "starts"), g.ints(ends, "ends"), g.ints(places, "axes"));
}
