/**
 * @file How many times as fast a layer is in int8 as in float32 on a target, before anything is measured.
 *
 * The curves are in the target's table (src/targets/). They only tell where to begin: `kernel=auto` measures
 * what it chooses, where it can.
 */
import type { Node } from "../ir/graph.ts";
import { exp } from "../numeric/exp.ts";
import { log } from "../numeric/log.ts";
import type { WeightRole } from "../ops/weights.ts";
import type { Curve, TargetDevice } from "../targets/target.ts";

/** Where a size of the map or the number of rows is not known. */
const SIDE = 14;
const ROWS = 1;

/**
 * The layer as the target's table sees it: float32 time / int8 time, 0 where there are no integer kernels.
 * `shape` is that of its weight.
 */
export function expectedGain(
  node: Node,
  role: WeightRole,
  shape: readonly number[],
  { int8 }: Pick<TargetDevice, "int8">,
): number {
  if (!int8) return 0;
  const { inputAxis, outputAxis, groups } = role;
  const [inputs, outputs] = [shape[inputAxis], shape[outputAxis]];
  const map = (node.output.shape ?? []).map((dim) => (typeof dim === "number" ? dim : null));
  if (role.kind === "linear") {
    const rows = map.slice(0, -1).reduce<number>((all, dim) => all * (dim ?? ROWS), 1);
    return inRows(int8.products, Math.min(inputs, outputs), rows);
  }
  const spread = map.slice(2).filter((dim) => dim !== 1);
  const side = spread.length === 0 ? (map.length > 2 ? 1 : SIDE) : geometric(spread);
  const kernel = shape.slice(2);
  const axes = kernel.filter((size) => size > 1).length;
  if (groups > 1 && inputs === 1) {
    const { by, curve, line } = int8.depthwise;
    return axes === 1 ? line : at(curve, by === "channels" ? outputs : side);
  }
  if (groups > 1) return at(int8.grouped, inputs);
  const channels = Math.min(inputs, outputs);
  if (axes === 0) return inRows(int8.pointwise, channels, side);
  return at(kernel.length === 1 ? int8.line : int8.spatial, channels);
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
