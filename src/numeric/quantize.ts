/**
 * @file Affine quantization with the arithmetic of ONNX QuantizeLinear, per tensor, per channel or
 * per block, all in float32:
 *
 *   q  = saturate(roundHalfEven(x / scale) + zeroPoint)
 *   x' = (q - zeroPoint) scale
 */
import { errors, fail } from "../errors.ts";
import { eachElement, eachGroup, eachRun, layoutOf } from "./groups.ts";
import { endError, levelOf, roundHalfEven, scaleOf, squaredError } from "./level.ts";
import { magnitudes, ranges } from "./ranges.ts";
import { fitSymmetric } from "./symmetric.ts";

/** The levels of a quantizer. */
export interface QuantOptions {
  /** Bits of a level, 2 to 8; 8 unless given. */
  readonly bits?: number;
  readonly signed?: boolean;
  /** The zero point is the middle of the levels: 0 if signed, 2^(bits - 1) if not. */
  readonly symmetric?: boolean;
}

/** Scale and zero point of one group of values. */
export interface QuantParams {
  /** A positive float32 value. */
  readonly scale: number;
  readonly zeroPoint: number;
}

/** How each channel or block of a weight is quantized, always to signed levels. */
export interface ChannelOptions {
  readonly bits: number;
  readonly symmetric: boolean;
  /** "minmax": the scale covers every value. "mse": it is the scale of least squared error. */
  readonly search?: "minmax" | "mse";
}

/**
 * A tensor of signed levels with one scale for all (axis null), for each channel, or for each
 * block along the axis.
 */
export interface Quantized {
  readonly q: Int8Array<ArrayBuffer>;
  /**
   * Row-major. Per channel: [channels]. Per block: the tensor's shape with the number of
   * blocks on the axis.
   */
  readonly scales: Float32Array<ArrayBuffer>;
  /** Zero points in the layout of the scales; null means 0 everywhere (symmetric). */
  readonly zeroPoints: Int8Array<ArrayBuffer> | null;
  /** The axis of the channels or blocks. */
  readonly axis: number | null;
  /** Elements of a block, or null for one scale per channel. */
  readonly block: number | null;
}

/** The least and the greatest level. Throws TersorError "bad-number" unless `bits` is 2 to 8. */
export function quantRange(bits: number, signed: boolean): readonly [number, number] {
  if (!(Number.isInteger(bits) && bits >= 2 && bits <= 8)) {
    throw fail(errors.badNumber("quantize", `bits is ${bits}`, "Give a whole number from 2 to 8"));
  }
  return (signed ? signedRanges : unsignedRanges)[bits];
}

const widths = Array.from({ length: 9 }, (_, bits) => bits);
const signedRanges = widths.map((bits) => [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] as const);
const unsignedRanges = widths.map((bits) => [0, 2 ** bits - 1] as const);

/**
 * The scale and the zero point that cover [min, max] and 0, which is represented exactly. Throws
 * TersorError "bad-number" for a range that is not finite.
 */
export function quantParams(min: number, max: number, options: QuantOptions = {}): QuantParams {
  const { bits = 8, signed = false, symmetric = false } = options;
  const [least, greatest] = quantRange(bits, signed);
  const low = Math.fround(Math.min(min, 0));
  const high = Math.fround(Math.max(max, 0));
  if (!(high - low < Number.POSITIVE_INFINITY)) {
    throw fail(errors.badNumber("quantize", `the range is ${min} to ${max}`, "Give finite values"));
  }
  if (symmetric) {
    const middle = signed ? 0 : 2 ** (bits - 1);
    return { scale: scaleOf(Math.max(-low, high), greatest - middle), zeroPoint: middle };
  }
  const scale = scaleOf(Math.fround(high - low), greatest - least);
  const zeroPoint = roundHalfEven(Math.fround(least - Math.fround(low / scale)));
  return { scale, zeroPoint: Math.min(greatest, Math.max(least, zeroPoint)) };
}

/**
 * The levels of the values, as Int8Array if signed, otherwise as Uint8Array. NaN becomes the least
 * level.
 */
export function quantize(
  values: Float32Array,
  { scale, zeroPoint }: QuantParams,
  { bits = 8, signed = false }: QuantOptions = {},
): Int8Array<ArrayBuffer> | Uint8Array<ArrayBuffer> {
  const q = new (signed ? Int8Array : Uint8Array)(values.length);
  const [least, greatest] = quantRange(bits, signed);
  const [low, high] = [least - zeroPoint, greatest - zeroPoint];
  for (let i = 0; i < values.length; i++) {
    q[i] = levelOf(values[i], scale, low, high) + zeroPoint;
  }
  return q;
}

/** The float32 values that the levels stand for. */
export function dequantize(
  q: ArrayLike<number>,
  { scale, zeroPoint }: QuantParams,
): Float32Array<ArrayBuffer> {
  const values = new Float32Array(q.length);
  for (let i = 0; i < q.length; i++) values[i] = (q[i] - zeroPoint) * scale;
  return values;
}

/**
 * Quantizes `values` of `shape` with one scale for each channel along `axis`, or one for all values
 * if `axis` is null.
 */
export function quantizeChannels(
  values: Float32Array,
  shape: readonly number[],
  axis: number | null,
  options: ChannelOptions,
): Quantized {
  return quantizeGroups(values, shape, axis, null, options);
}

/**
 * Quantizes with one scale for every `block` consecutive elements along `axis`; the last
 * block may be shorter.
 */
export function quantizeBlocks(
  values: Float32Array,
  shape: readonly number[],
  axis: number,
  block: number,
  options: ChannelOptions,
): Quantized {
  return quantizeGroups(values, shape, axis, block, options);
}

/** The values that a quantized tensor of `shape` stands for. */
export function dequantizeGroups(
  quantized: Quantized,
  shape: readonly number[],
): Float32Array<ArrayBuffer> {
  const { q, scales, zeroPoints, axis, block } = quantized;
  const values = new Float32Array(q.length);
  const groups = layoutOf(shape, axis, block);
  for (let group = 0; group < groups.count; group++) {
    const zero = zeroPoints ? zeroPoints[group] : 0;
    eachElement(groups, group, (i) => {
      values[i] = (q[i] - zero) * scales[group];
    });
  }
  return values;
}

/** The least and the greatest of the values and 0. */
export function spanOf(values: ArrayLike<number>): readonly [number, number] {
  let [min, max] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    if (values[i] < min) min = values[i];
    else if (values[i] > max) max = values[i];
  }
  return [min, max];
}

/**
 * The flat places of the elements that share a scale, group by group: all of them (axis null), those
 * of each channel of `axis`, or of each run of `block` elements along it; the last run may be shorter.
 */
export function groupPlaces(
  shape: readonly number[],
  axis: number | null,
  block: number | null = null,
): Int32Array[] {
  const groups = layoutOf(shape, axis, block);
  return Array.from({ length: groups.count }, (_, group) => {
    const places = new Int32Array(groups.runs * groups.length(group));
    let at = 0;
    eachElement(groups, group, (i) => {
      places[at++] = i;
    });
    return places;
  });
}

/**
 * Quantizes each group of elements that share a scale. The weight is read from front to back, once for
 * the ranges of the groups and once for the levels; only a search visits groups one by one.
 */
function quantizeGroups(
  values: Float32Array,
  shape: readonly number[],
  axis: number | null,
  block: number | null,
  { bits, symmetric, search = "minmax" }: ChannelOptions,
): Quantized {
  const groups = layoutOf(shape, axis, block);
  const [mins, maxs] =
    (symmetric && search === "minmax" && magnitudes(values, shape, axis, block, groups.count)) ||
    ranges(values, shape, axis, block, groups.count);
  const scales = new Float32Array(groups.count);
  const zeroPoints = symmetric ? null : new Int8Array(groups.count);
  const options = { bits, signed: true, symmetric };
  for (let group = 0; group < groups.count; group++) {
    const { scale, zeroPoint } = quantParams(mins[group], maxs[group], options);
    scales[group] = scale;
    if (zeroPoints) zeroPoints[group] = zeroPoint;
  }
  if (search === "mse") {
    eachGroup(values, groups, (group, members) => {
      const [min, max] = [mins[group], maxs[group]];
      if (!zeroPoints) {
        scales[group] = fitSymmetric(members, min, max, bits);
        return;
      }
      const cover = { scale: scales[group], zeroPoint: zeroPoints[group] };
      const { scale, zeroPoint } = leastSquares(members, cover, min, max, bits);
      scales[group] = scale;
      zeroPoints[group] = zeroPoint;
    });
  }
  const q = new Int8Array(values.length);
  const range = quantRange(bits, true);
  eachRun(shape, axis, block, (start, end, group, step) =>
    roundRun(q, values, start, end, scales, zeroPoints, group, step, range),
  );
  return { q, scales, zeroPoints, axis, block };
}

/** Writes the levels of the values of a run (`eachRun`) to the same places of q. */
function roundRun(
  q: Int8Array,
  values: Float32Array,
  start: number,
  end: number,
  scales: Float32Array,
  zeroPoints: Int8Array | null,
  group: number,
  step: number,
  [least, greatest]: readonly [number, number],
): void {
  for (let i = start, g = group; i < end; i++, g += step) {
    const zero = zeroPoints ? zeroPoints[g] : 0;
    q[i] = levelOf(values[i], scales[g], least - zero, greatest - zero) + zero;
  }
}

/**
 * Searches the scale of least squared error in three stages: the range shrinks step by step to a
 * sixteenth; then the best one's surroundings are tried in steps of 1 %; then levels q and their
 * least-squares scale sum x q / sum q^2 are computed in turn while that helps.
 */
function leastSquares(
  values: Float32Array,
  cover: QuantParams,
  min: number,
  max: number,
  bits: number,
): QuantParams {
  const [least, greatest] = quantRange(bits, true);
  let best = cover;
  let bestError = Number.POSITIVE_INFINITY;
  bestError = errorOf(cover);
  let bestShare = 1;
  // 0.92^33 is about 1/16. Repeated products are used because Math.pow may differ between engines.
  for (let i = 0, share = 0.92; i < 33; i++, share *= 0.92) considerShare(share);
  const middle = bestShare;
  for (let i = -8; i <= 8; i++) considerShare(middle * (1 + i / 100));
  for (let i = 0; i < 8; i++) {
    const low = least - best.zeroPoint;
    const high = greatest - best.zeroPoint;
    let along = 0;
    let square = 0;
    for (let k = 0; k < values.length; k++) {
      const level = levelOf(values[k], best.scale, low, high);
      along += values[k] * level;
      square += level * level;
    }
    if (!(along > 0 && consider({ ...best, scale: Math.fround(along / square) }))) break;
  }
  return best;

  function considerShare(share: number): void {
    const options = { bits, signed: true };
    if (share * (max - min) > 2 ** 127) return;
    if (consider(quantParams(min * share, max * share, options))) bestShare = share;
  }

  function consider(params: QuantParams): boolean {
    const error = errorOf(params);
    if (!(error < bestError)) return false;
    best = params;
    bestError = error;
    return true;
  }

  /** The squared error with the levels of `roundRun`; Infinity once it is not the least. */
  function errorOf({ scale, zeroPoint }: QuantParams): number {
    const low = least - zeroPoint;
    const high = greatest - zeroPoint;
    // The extremes come first: where the range is too narrow, their errors alone are too large.
    if (endError(min, max, scale, low, high) >= bestError) return Number.POSITIVE_INFINITY;
    return squaredError(values, scale, low, high, bestError);
  }
}
