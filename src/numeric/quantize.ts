/**
 * @file Affine quantization with the arithmetic of ONNX QuantizeLinear, for tensors, channels and blocks.
 *
 * q = saturate(roundHalfEven(x / scale) + zeroPoint), x' = (q - zeroPoint) scale, all in float32.
 */
import { errors, fail } from "../errors.ts";
import { product } from "../util/product.ts";

export interface QuantOptions {
  /** 2 to 8. */
  readonly bits?: number;
  readonly signed?: boolean;
  /** Zero sits in the middle: 0 if signed, 2^(bits - 1) if not. */
  readonly symmetric?: boolean;
}

export interface QuantParams {
  /** A float32 value, positive. */
  readonly scale: number;
  readonly zeroPoint: number;
}

export interface ChannelOptions {
  readonly bits: number;
  readonly symmetric: boolean;
  /** "mse" looks for the scale of least squared error instead of the one that covers every value. */
  readonly search?: "minmax" | "mse";
}

/** A tensor on signed grids: one scale (axis null), one per channel, or one per block along the axis. */
export interface Quantized {
  readonly q: Int8Array<ArrayBuffer>;
  /** Row-major over the shape whose axis counts channels or blocks and, without blocks, no other axis. */
  readonly scales: Float32Array<ArrayBuffer>;
  /** Null when symmetric: all 0. */
  readonly zeroPoints: Int8Array<ArrayBuffer> | null;
  readonly axis: number | null;
  readonly block: number | null;
}

/** Below 2^51, adding and subtracting this rounds to the nearest integer, ties to even. */
const ROUND = 1.5 * 2 ** 52;

/** Nearest integer, ties to even, for |x| < 2^51: as ONNX rounds. */
export function roundHalfEven(x: number): number {
  return x + ROUND - ROUND;
}

/** Least and greatest level. */
export function quantRange(bits: number, signed: boolean): readonly [number, number] {
  if (!(Number.isInteger(bits) && bits >= 2 && bits <= 8)) {
    throw fail(errors.badNumber("quantize", `bits is ${bits}`, "Give a whole number from 2 to 8"));
  }
  return signed ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
}

/** Scale and zero point that cover [min, max] and 0; 0 is represented exactly. */
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

/** An empty range gets scale 1: everything is 0 then. */
function scaleOf(width: number, steps: number): number {
  const scale = Math.fround(width / steps);
  return scale < 2 ** -126 ? 1 : scale;
}

/** Levels of the values, Int8Array if signed, else Uint8Array. NaN becomes the least level. */
export function quantize(
  values: Float32Array,
  { scale, zeroPoint }: QuantParams,
  { bits = 8, signed = false }: QuantOptions = {},
): Int8Array<ArrayBuffer> | Uint8Array<ArrayBuffer> {
  const q = new (signed ? Int8Array : Uint8Array)(values.length);
  const [least, greatest] = quantRange(bits, signed);
  quantizeInto(q, values, scale, zeroPoint, least, greatest);
  return q;
}

/** The float32 values that levels stand for. */
export function dequantize(
  q: ArrayLike<number>,
  { scale, zeroPoint }: QuantParams,
): Float32Array<ArrayBuffer> {
  const values = new Float32Array(q.length);
  for (let i = 0; i < q.length; i++) values[i] = (q[i] - zeroPoint) * scale;
  return values;
}

/** Signed levels with one scale per channel of the axis, or one for all where the axis is null. */
export function quantizeChannels(
  values: Float32Array,
  shape: readonly number[],
  axis: number | null,
  options: ChannelOptions,
): Quantized {
  return quantizeGroups(values, shape, axis, null, options);
}

/** Signed levels with one scale per `block` consecutive elements along the axis; the last may be shorter. */
export function quantizeBlocks(
  values: Float32Array,
  shape: readonly number[],
  axis: number,
  block: number,
  options: ChannelOptions,
): Quantized {
  return quantizeGroups(values, shape, axis, block, options);
}

/** The values a quantized tensor stands for. */
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

function quantizeGroups(
  values: Float32Array,
  shape: readonly number[],
  axis: number | null,
  block: number | null,
  { bits, symmetric, search = "minmax" }: ChannelOptions,
): Quantized {
  const groups = layoutOf(shape, axis, block);
  const q = new Int8Array(values.length);
  const scales = new Float32Array(groups.count);
  const zeroPoints = symmetric ? null : new Int8Array(groups.count);
  const [least, greatest] = quantRange(bits, true);
  for (let group = 0; group < groups.count; group++) {
    const members = gather(values, groups, group);
    let min = 0;
    let max = 0;
    for (const x of members) {
      if (x < min) min = x;
      else if (x > max) max = x;
    }
    const cover = quantParams(min, max, { bits, signed: true, symmetric });
    const params =
      search === "mse"
        ? (exactGrid(members, cover, bits, symmetric) ??
          leastSquares(members, cover, min, max, bits, symmetric))
        : cover;
    const levels = new Int8Array(members.length);
    quantizeInto(levels, members, params.scale, params.zeroPoint, least, greatest);
    scales[group] = params.scale;
    if (zeroPoints) zeroPoints[group] = params.zeroPoint;
    let at = 0;
    eachElement(groups, group, (i) => {
      q[i] = levels[at++];
    });
  }
  return { q, scales, zeroPoints, axis, block };
}

/**
 * The step of values that lie on a grid already (a model that was quantized before): then the
 * largest is k steps, k <= 2^(bits - 1) - 1, and so rounding loses nothing. Null when none fits.
 */
function exactGrid(
  values: Float32Array,
  cover: QuantParams,
  bits: number,
  symmetric: boolean,
): QuantParams | null {
  const steps = 2 ** (bits - 1) - 1;
  const largest = cover.scale * steps;
  if (!symmetric || values.every((x) => x === 0)) return null;
  for (let k = 1; k <= steps; k++) {
    const perUnit = k / largest;
    let fits = true;
    for (let i = 0; fits && i < values.length; i++) {
      const level = values[i] * perUnit;
      fits = Math.abs(level - roundHalfEven(level)) < 1e-3;
    }
    if (fits) return { scale: Math.fround(largest / k), zeroPoint: 0 };
  }
  return null;
}

/**
 * Shrinks the range step by step to a sixteenth, tries the best's neighbourhood in steps of 1 %, then
 * alternates between levels and their least-squares scale sum x q / sum q^2 while that helps.
 */
function leastSquares(
  values: Float32Array,
  cover: QuantParams,
  min: number,
  max: number,
  bits: number,
  symmetric: boolean,
): QuantParams {
  const [least, greatest] = quantRange(bits, true);
  const levels = new Int8Array(values.length);
  let best = cover;
  let bestError = errorOf(cover);
  let bestShare = 1;
  // 0.92^33 = 1/16; a power would not be the same in every engine.
  for (let i = 0, share = 0.92; i < 33; i++, share *= 0.92) considerShare(share);
  const middle = bestShare;
  for (let i = -8; i <= 8; i++) considerShare(middle * (1 + i / 100));
  for (let i = 0; i < 8; i++) {
    quantizeInto(levels, values, best.scale, best.zeroPoint, least, greatest);
    let along = 0;
    let square = 0;
    for (let k = 0; k < values.length; k++) {
      const level = levels[k] - best.zeroPoint;
      along += values[k] * level;
      square += level * level;
    }
    if (!(along > 0 && consider({ ...best, scale: Math.fround(along / square) }))) break;
  }
  return best;

  function considerShare(share: number): void {
    const options = { bits, signed: true, symmetric };
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

  function errorOf({ scale, zeroPoint }: QuantParams): number {
    quantizeInto(levels, values, scale, zeroPoint, least, greatest);
    let error = 0;
    for (let k = 0; k < values.length; k++) {
      const gap = values[k] - (levels[k] - zeroPoint) * scale;
      error += gap * gap;
    }
    return error;
  }
}

function quantizeInto(
  q: Int8Array | Uint8Array,
  values: Float32Array,
  scale: number,
  zeroPoint: number,
  least: number,
  greatest: number,
): void {
  const low = least - zeroPoint;
  const high = greatest - zeroPoint;
  for (let i = 0; i < values.length; i++) {
    const x = Math.fround(values[i] / scale);
    const clamped = x > low ? Math.min(x, high) : low;
    q[i] = clamped + ROUND - ROUND + zeroPoint;
  }
}

/** Which elements share a scale: each group is `runs` runs of elements `stride` apart. */
interface Layout {
  readonly count: number;
  readonly runs: number;
  readonly stride: number;
  readonly start: (group: number, run: number) => number;
  readonly length: (group: number) => number;
}

function layoutOf(shape: readonly number[], axis: number | null, block: number | null): Layout {
  const size = product(shape);
  if (axis === null) {
    return { count: 1, runs: 1, stride: 1, start: () => 0, length: () => size };
  }
  const dim = shape[axis];
  const outer = product(shape.slice(0, axis));
  const inner = product(shape.slice(axis + 1));
  if (block === null) {
    const start = (group: number, run: number) => (run * dim + group) * inner;
    return { count: dim, runs: outer, stride: 1, start, length: () => inner };
  }
  const blocks = Math.ceil(dim / block);
  const first = (group: number) => (Math.floor(group / inner) % blocks) * block;
  return {
    count: outer * blocks * inner,
    runs: 1,
    stride: inner,
    start: (group) =>
      (Math.floor(group / (inner * blocks)) * dim + first(group)) * inner + (group % inner),
    length: (group) => Math.min(block, dim - first(group)),
  };
}

function eachElement(layout: Layout, group: number, visit: (index: number) => void): void {
  const length = layout.length(group);
  for (let run = 0; run < layout.runs; run++) {
    let index = layout.start(group, run);
    for (let k = 0; k < length; k++, index += layout.stride) visit(index);
  }
}

function gather(values: Float32Array, layout: Layout, group: number): Float32Array {
  const length = layout.length(group);
  if (layout.runs === 1 && layout.stride === 1) {
    const start = layout.start(group, 0);
    return values.subarray(start, start + length);
  }
  const members = new Float32Array(layout.runs * length);
  let at = 0;
  eachElement(layout, group, (i) => {
    members[at++] = values[i];
  });
  return members;
}
