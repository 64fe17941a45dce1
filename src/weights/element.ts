/** @file Element coders: numbers as packed initializers, and the nodes that widen them. */
import { type DType, dtypes, type TypedArray } from "../ir/dtype.ts";
import type { Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";

/** A typed array of numbers (not bigints). */
export type Numbers = Exclude<TypedArray, BigInt64Array | BigUint64Array>;

/**
 * How single elements are written. `build` adds the initializers and nodes that give `values` as a
 * value of `shape` and type `dtype`.
 */
export interface Element {
  readonly dtype: DType;
  /** File bytes for `count` elements: exact for the initializers, an estimate for the nodes. */
  bytes(count: number): number;
  build(g: Builder, values: Numbers, shape: readonly number[]): Value;
}

/** Average file bytes of a node with short names and its small constants. */
export const NODE_BYTES = 65;

/**
 * Floats: float32 as it is, 16-bit floats through a Cast. Values have to be rounded
 * to 16 bits already.
 */
export function floatElement(dtype: "float32" | "float16" | "bfloat16", name = "values"): Element {
  const overhead = dtype === "float32" ? 0 : NODE_BYTES;
  return {
    dtype: "float32",
    bytes: (count) => (count * dtypes[dtype].bits) / 8 + overhead,
    build(g, values, shape) {
      const stored = g.constant(values, { dtype, shape, name });
      return dtype === "float32" ? stored : g.Cast(stored, { to: dtypes.float32.code });
    },
  };
}

/**
 * Integers of `bits` bits, widened to `dtype`. The engine folds the widening nodes when it loads
 * the model. For few elements a wider type is smaller, because it needs fewer nodes.
 */
export function integerElement(bits: number, signed: boolean, dtype: DType): Element {
  const coders = [bits, 4, 8, 16]
    .filter((width) => width >= bits)
    .map((width) =>
      ([4, 8, 16].includes(width) ? wholeElement : planeElement)(width, signed, dtype),
    );
  const best = (count: number): Element =>
    coders.reduce((a, b) => (b.bytes(count) < a.bytes(count) ? b : a));
  return {
    dtype,
    bytes: (count) => best(count).bytes(count),
    build: (g, values, shape) => best(values.length).build(g, values, shape),
  };
}

/** Integers of 4, 8 or 16 bits, for which ONNX has types. */
function wholeElement(bits: number, signed: boolean, dtype: DType): Element {
  const stored = `${signed ? "" : "u"}int${bits}` as DType;
  const widens = stored !== dtype;
  return {
    dtype,
    bytes: (count) => Math.ceil((count * bits) / 8) + (widens ? NODE_BYTES : 0),
    build(g, values, shape) {
      const packed = g.constant(values, { dtype: stored, shape, name: "levels" });
      return widens ? g.Cast(packed, { to: dtypes[dtype].code }) : packed;
    },
  };
}

/**
 * Integers of any width, cut into planes of 8, 4, 2 and 1 bits: BitShift and BitwiseAnd unpack each
 * plane from bytes, and x = sum of 2^shift plane.
 */
function planeElement(bits: number, signed: boolean, dtype: DType): Element {
  const planes = planesOf(bits);
  // One signed bit means -1 or +1, 2 b - 1. More signed bits are stored with an
  // offset of 2^(bits - 1).
  const offset = signed ? 2 ** (bits - 1) : 0;
  const fixed =
    2 * (planes.length - 1) + (signed ? (bits === 1 ? 2 : 1) : 0) + (dtype === "int32" ? 0 : 1);
  const planeBytes = (width: number, count: number): number => {
    const isWhole = (count * width) % 8 === 0;
    return Math.ceil((count * width) / 8) + NODE_BYTES * (width >= 4 ? 1 : isWhole ? 4 : 6);
  };
  return {
    dtype,
    bytes: (count) =>
      planes.reduce((sum, plane) => sum + planeBytes(plane.bits, count), NODE_BYTES * fixed),
    build(g, values, shape) {
      const count = values.length;
      const level = (i: number): number =>
        signed && bits === 1 ? (values[i] + 1) / 2 : values[i] + offset;
      let total: Value | null = null;
      for (const { bits: width, shift } of planes) {
        const part = new Uint8Array(count);
        for (let i = 0; i < count; i++) part[i] = (level(i) >> shift) & (2 ** width - 1);
        const plane = buildPlane(g, part, width, shape);
        const weighted: Value =
          shift === 0 ? plane : g.Mul(plane, g.constant(2 ** shift, { dtype: "int32" }));
        total = total ? g.Add(total, weighted) : weighted;
      }
      let value = total as Value;
      const int32 = (x: number): Value => g.constant(x, { dtype: "int32" });
      if (signed && bits === 1) value = g.Sub(g.Mul(value, int32(2)), int32(1));
      else if (signed) value = g.Sub(value, int32(offset));
      return dtype === "int32" ? value : g.Cast(value, { to: dtypes[dtype].code });
    },
  };
}

/** The planes of a width, highest width first: 5 = 4 + 1, 3 = 2 + 1, 7 = 4 + 2 + 1. */
function planesOf(bits: number): { bits: number; shift: number }[] {
  const planes: { bits: number; shift: number }[] = [];
  let shift = 0;
  for (const width of [8, 4, 2, 1]) {
    while (bits - shift >= width) {
      planes.push({ bits: width, shift });
      shift += width;
    }
  }
  return planes;
}

/**
 * One plane of 1, 2, 4 or 8 bits as int32 values of `shape`, unpacked from bytes
 * (lowest bits first).
 */
function buildPlane(
  g: Builder,
  values: Uint8Array,
  width: number,
  shape: readonly number[],
): Value {
  const int32 = { to: dtypes.int32.code };
  if (width >= 4) {
    return g.Cast(
      g.constant(values, { dtype: `uint${width as 4 | 8}`, shape, name: "plane" }),
      int32,
    );
  }
  const perByte = 8 / width;
  const bytes = new Uint8Array(Math.ceil(values.length / perByte));
  for (let i = 0; i < values.length; i++) {
    bytes[Math.floor(i / perByte)] |= values[i] << ((i % perByte) * width);
  }
  const packed = g.constant(bytes, { dtype: "uint8", shape: [bytes.length, 1], name: "plane" });
  const shifts = Array.from({ length: perByte }, (_, i) => i * width);
  const shifted = g.BitShift(
    packed,
    g.constant(shifts, { dtype: "uint8", shape: [1, perByte], name: "shifts" }),
    { direction: "RIGHT" },
  );
  let parts = g.BitwiseAnd(shifted, g.constant([2 ** width - 1], { dtype: "uint8" }));
  if (bytes.length * perByte !== values.length) {
    parts = g.Slice(g.Reshape(parts, g.ints([-1])), g.ints([0]), g.ints([values.length]));
  }
  return g.Cast(g.Reshape(parts, g.ints(shape, "shape")), int32);
}
