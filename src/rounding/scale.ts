/** @file The scale and zero point whose grid fits some weights best, each with its own importance. */
import { type QuantParams, spanOf } from "../numeric/quantize.ts";
import {
  type HessianLayer,
  type LevelRange,
  type Levels,
  type MatrixLayer,
  nearestLevel,
  roundBlocks,
} from "./matrix.ts";

/** The smallest share of the weights' range that a grid may cover; what lies outside is clipped. */
const NARROWEST = 0.3;
/** The ratio of neighbouring candidates. */
const RATIO = 0.96;

/**
 * The candidates for the grid of some weights: it covers [min, max] and then less and less of it.
 * Symmetric grids reach from -greatest s to greatest s; others have an integer zero point.
 */
export function* candidateScales(
  values: ArrayLike<number>,
  range: LevelRange,
): Generator<QuantParams> {
  const [min, max] = spanOf(values);
  for (let share = 1; share >= NARROWEST; share *= RATIO) {
    yield gridOver(min * share, max * share, range);
  }
}

/** The grid that covers [min, max], which contains 0. */
export function gridOver(
  min: number,
  max: number,
  { least, greatest, isSymmetric }: LevelRange,
): QuantParams {
  const width = isSymmetric ? Math.max(-min, max) / greatest : (max - min) / (greatest - least);
  const scale = Math.fround(width) || 1;
  if (isSymmetric) return { scale, zeroPoint: 0 };
  return { scale, zeroPoint: Math.max(least, Math.min(greatest, Math.round(least - min / scale))) };
}

/**
 * The candidate of least sum_i importance_i (w_i - s (q_i - z))^2, with q_i the nearest level.
 */
export function fitScale(
  values: ArrayLike<number>,
  importance: ArrayLike<number>,
  range: LevelRange,
): QuantParams {
  let best: QuantParams = { scale: 1, zeroPoint: 0 };
  let least = Infinity;
  for (const params of candidateScales(values, range)) {
    const { scale, zeroPoint } = params;
    let error = 0;
    for (let i = 0; i < values.length && error < least; i++) {
      const level = nearestLevel(values[i], scale, zeroPoint, range);
      error += importance[i] * (values[i] - scale * (level - zeroPoint)) ** 2;
    }
    if (error < least) [best, least] = [params, error];
  }
  return best;
}

/** Rounds every block to the nearest levels on the grid of least squared error. */
export const nearest = (layer: MatrixLayer): Levels =>
  roundBlocks(layer, (own) => fitScale(own, new Float64Array(own.length).fill(1), layer.range));

/** The same with every error weighted by H_jj, the energy of the input that it is multiplied by. */
export function nearestByHessian(layer: HessianLayer): Levels {
  const { hessian, columns, range } = layer;
  const energy = Float64Array.from({ length: columns }, (_, j) => hessian[j * columns + j]);
  return roundBlocks(layer, (own, [start, end]) =>
    fitScale(own, energy.subarray(start, end), range),
  );
}
