/**
 * @file How many times as fast a layer is in int8 as in float32, before anything is measured.
 *
 * The tables were measured with ONNX Runtime 1.30 on x64 with AVX512 and VNNI, one thread, and in
 * wasm: chains of equal layers with a Relu between (docs/engine.md, "Where int8 is faster"). They
 * only tell where to begin: `kernel=auto` measures what it chooses.
 */
import type { Context } from "../context.ts";
import type { Node } from "../ir/graph.ts";
import { exp } from "../numeric/exp.ts";
import { log } from "../numeric/log.ts";
import type { WeightRole } from "../ops/weights.ts";

type Target = Context["target"];
/** Points (x, speed-up), by rising x; between them the speed-up is linear in log x. */
type Curve = readonly (readonly [number, number])[];

/** By channels, the fewer of inputs and outputs. */
const spatial: Record<Target, Curve> = {
  node: [
    [8, 0.8],
    [16, 1.1],
    [32, 1.8],
    [64, 2.7],
    [128, 3.4],
  ],
  web: [
    [8, 0.8],
    [16, 1.15],
    [32, 1.4],
    [64, 1.9],
    [128, 2.1],
  ],
};
/** By channels, then by the side of the map. */
const pointwise: Record<Target, Readonly<Record<number, Curve>>> = {
  node: {
    16: [[1, 0.9]],
    32: [
      [14, 0.95],
      [56, 1.35],
    ],
    64: [
      [4, 0.94],
      [7, 1.26],
      [14, 1.6],
      [56, 2],
    ],
    128: [
      [1, 0.9],
      [4, 1.4],
      [7, 1.8],
      [14, 2.4],
    ],
    256: [[1, 2.8]],
  },
  web: {
    16: [[1, 0.5]],
    64: [[1, 0.7]],
    128: [
      [4, 0.7],
      [7, 1],
    ],
    256: [
      [4, 0.93],
      [7, 1.3],
    ],
    512: [[1, 1.65]],
  },
};
/** Natively by channels, in wasm by the side of the map. */
const depthwise: Record<Target, Curve> = {
  node: [
    [16, 0.45],
    [64, 0.63],
    [256, 0.75],
    [512, 0.85],
  ],
  web: [
    [7, 0.9],
    [14, 0.45],
    [28, 0.27],
  ],
};
/** By channels of a group. */
const grouped: Record<Target, Curve> = {
  node: [
    [16, 0.74],
    [32, 1.35],
    [64, 2],
  ],
  web: [
    [8, 0.54],
    [16, 0.9],
    [32, 1.35],
    [64, 1.7],
  ],
};
/** Convolutions along one axis, by channels. */
const line: Record<Target, Curve> = {
  node: [
    [16, 1.2],
    [64, 2.5],
    [256, 4.2],
  ],
  web: [
    [16, 0.7],
    [64, 1.1],
    [256, 1.8],
  ],
};
/** By inputs, the fewer of inputs and outputs, then by rows of a run. */
const products: Record<Target, Readonly<Record<number, Curve>>> = {
  node: {
    64: [
      [16, 0.95],
      [64, 1.15],
    ],
    128: [
      [4, 0.85],
      [16, 1.2],
      [64, 1.7],
    ],
    256: [[1, 2.4]],
  },
  web: {
    64: [
      [16, 0.8],
      [64, 1.2],
    ],
    128: [
      [4, 0.8],
      [16, 1.36],
    ],
    256: [
      [1, 0.85],
      [4, 1.5],
      [16, 1.9],
    ],
  },
};

/** Where a size of the map or the number of rows is not known. */
const SIDE = 14;
const ROWS = 1;

/** The layer as the tables see it: float32 time / int8 time. `shape` is that of its weight. */
export function expectedGain(
  node: Node,
  role: WeightRole,
  shape: readonly number[],
  target: Target,
): number {
  const { inputAxis, outputAxis, groups } = role;
  const [inputs, outputs] = [shape[inputAxis], shape[outputAxis]];
  const map = (node.output.shape ?? []).map((dim) => (typeof dim === "number" ? dim : null));
  if (role.kind === "linear") {
    const rows = map.slice(0, -1).reduce<number>((all, dim) => all * (dim ?? ROWS), 1);
    return inRows(products[target], Math.min(inputs, outputs), rows);
  }
  const spread = map.slice(2).filter((dim) => dim !== 1);
  const side = spread.length === 0 ? (map.length > 2 ? 1 : SIDE) : geometric(spread);
  const kernel = shape.slice(2);
  const axes = kernel.filter((size) => size > 1).length;
  if (groups > 1 && inputs === 1) {
    if (axes === 1) return target === "node" ? 2 : 0.15;
    return at(depthwise[target], target === "node" ? outputs : side);
  }
  if (groups > 1) return at(grouped[target], inputs);
  const channels = Math.min(inputs, outputs);
  if (axes === 0) return inRows(pointwise[target], channels, side);
  return at((kernel.length === 1 ? line : spatial)[target], channels);
}

const geometric = (dims: readonly (number | null)[]): number =>
  exp(dims.reduce<number>((sum, dim) => sum + log(dim ?? SIDE), 0) / dims.length);

function at(curve: Curve, x: number): number {
  const next = curve.findIndex(([limit]) => limit >= x);
  if (next === 0) return curve[0][1];
  if (next < 0) return curve[curve.length - 1][1];
  const [[x0, y0], [x1, y1]] = [curve[next - 1], curve[next]];
  return y0 + ((y1 - y0) * log(x / x0)) / log(x1 / x0);
}

/** By the row of the table with the most channels that are not more than `channels`. */
function inRows(table: Readonly<Record<number, Curve>>, channels: number, x: number): number {
  const widths = Object.keys(table).map(Number);
  const width = widths.findLast((each) => each <= channels) ?? widths[0];
  return at(table[width], x) * (channels < widths[0] ? 0.9 : 1);
}
