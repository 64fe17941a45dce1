/**
 * @file A 3x3 convolution by Winograd's minimal filtering F(m x m, 3x3), in plain nodes.
 *
 * Outputs are computed in tiles of m x m, each from (m + 2) x (m + 2) inputs d (Lavin, Gray 2015, arXiv
 * 1509.09308, eq. 8), U = G K G^T the form of the weight (weights/forms/winograd.ts):
 *   y[n] = A^T (sum_c U[n, c] . (B^T d[c] B)) A
 * For each of the (m + 2)^2 positions of a tile the sum is one product of matrices over all tiles. They
 * take 9 m^2 / (m + 2)^2 times fewer multiplications than the convolution: 2.25 at m = 2, 4 at m = 4.
 */
import type { Value } from "../ir/graph.ts";
import { type TileSize, winogradTransforms } from "../numeric/winograd.ts";
import { type Builder, build } from "../ops/builder.ts";
import { inferNode } from "../ops/infer.ts";
import { biasOf } from "../ops/weights.ts";
import { padding, windowOf } from "../ops/window.ts";
import { expand } from "../weights/expand.ts";
import type { Weight } from "../weights/weight.ts";
import { inputOf, type Layer } from "./matrix.ts";
import { takePlace } from "./take-place.ts";

/** What decides how long a convolution takes, and what its transforms look like. */
export interface Shapes {
  readonly inputs: number;
  readonly outputs: number;
  /** Rows and columns of the input. */
  readonly size: readonly [number, number];
  /** Begins, then ends. */
  readonly pads: readonly number[];
  /** Rows and columns of the output. */
  readonly result: readonly [number, number];
}

/** The shapes of a layer that F(m x m, 3x3) computes; a reason for any other. */
export function shapesOf(layer: Layer): Shapes | string {
  const { kind, node, kernel, inputs, outputs } = layer;
  if (kind !== "conv" || `${kernel}` !== "3,3") return "is no convolution by 3x3 filters";
  const window = windowOf(node, kernel);
  if (window.strides.some((step) => step !== 1)) return "has a stride, which tiles do not cover";
  if (window.dilations.some((step) => step !== 1)) return "has dilated filters";
  const [, , ...spatial] = inputOf(layer).shape ?? [];
  if (spatial.length !== 2 || !spatial.every((dim) => typeof dim === "number")) {
    return "reads maps of unknown size: give the model fixed sizes";
  }
  const size = spatial as [number, number];
  const both = size.map((dim, axis) => padding(window, axis, dim));
  const pads = [...both.map(([begin]) => begin), ...both.map(([, end]) => end)];
  const result = size.map((dim, axis) => dim + pads[axis] + pads[axis + 2] - 2);
  return { inputs, outputs, size, pads, result: result as [number, number] };
}

/** Multiplications for one record, those of the transforms included; null: of the convolution itself. */
export function multiplicationsOf(shapes: Shapes, m: TileSize | null): number {
  const { inputs, outputs, result } = shapes;
  if (m === null) return 9 * inputs * outputs * result[0] * result[1];
  const a = m + 2;
  const [down, across] = tilesOf(shapes, m);
  const perTile = a * a * inputs * outputs + inputs * a * a * (a + a) + outputs * a * m * (a + m);
  return down * across * perTile;
}

const tilesOf = ({ result }: Shapes, m: TileSize): number[] =>
  result.map((dim) => Math.ceil(dim / m));

/** Replaces the layer by its tiles, U their weight. The bias is added behind them. */
export function replaceByTiles(layer: Layer, shapes: Shapes, m: TileSize, u: Weight): void {
  const { node, value } = layer;
  const g = build(node.graph, node.name, inferNode);
  const bias = biasOf(node);
  const y = tiled(g, inputOf(layer), expand(g, u), shapes, m);
  const by = bias ? g.Add(y, g.Reshape(bias, g.ints([-1, 1, 1], "column"))) : y;
  takePlace(node, by, value);
}

/**
 * y [N, n, H', W'] of x [N, c, H, W] and U [a^2, n, c], a = m + 2. The inputs are transformed by two
 * convolutions with one channel, whose stride m cuts the tiles and whose padding completes the last
 * one; the products by two MatMuls, whose rows are long.
 */
function tiled(g: Builder, x: Value, u: Value, shapes: Shapes, m: TileSize): Value {
  const { inputs, outputs, size, pads, result } = shapes;
  const a = m + 2;
  const [down, across] = tilesOf(shapes, m);
  const tiles = down * across;
  const transforms = winogradTransforms[m];
  const bt = (shape: number[]) =>
    g.constant(Float32Array.from(transforms.inputs), { shape, name: "B" });
  const at = g.constant(Float32Array.from(transforms.outputs), { shape: [m, a], name: "A" });
  const to = (value: Value, ...shape: number[]) => g.Reshape(value, g.ints(shape, "shape"));
  // Rows of tiles that stand over the padded map are padded as well, and cut off at the end.
  const more = [down, across].map((count, axis) => count * m - result[axis]);
  const rows = g.Conv(to(x, -1, 1, ...size), bt([a, 1, a, 1]), {
    kernel_shape: [a, 1],
    strides: [m, 1],
    pads: [pads[0], 0, pads[2] + more[0], 0],
  });
  const both = g.Conv(to(rows, -1, 1, down, size[1]), bt([a, 1, 1, a]), {
    kernel_shape: [1, a],
    strides: [1, m],
    pads: [0, pads[1], 0, pads[3] + more[1]],
  });
  // [N, c, a^2, tiles] -> [a^2, c, N tiles]
  const v = g.Transpose(to(both, -1, inputs, a * a, tiles), { perm: [2, 1, 0, 3] });
  const sums = g.MatMul(u, to(v, a * a, inputs, -1));
  const columns = g.MatMul(at, to(sums, a, a, -1));
  const all = g.MatMul(at, to(columns, a, -1));
  // [m, m, n, N, down, across] -> [N, n, down, m, across, m]
  const places = g.Transpose(to(all, m, m, outputs, -1, down, across), {
    perm: [3, 2, 4, 0, 5, 1],
  });
  const y = to(places, -1, outputs, down * m, across * m);
  if (more.every((cut) => cut === 0)) return y;
  return g.Slice(y, g.ints([0, 0], "starts"), g.ints(result, "ends"), g.ints([2, 3], "axes"));
}
