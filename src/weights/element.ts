/** @file Element coders: a flat list of numbers as packed initializers plus nodes that widen them. */
import { type DType, dtypes, type TypedArray } from "../ir/dtype.ts";
import type { Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";

/** A typed array of numbers (not bigints). */
export type Numbers = Exclude<TypedArray, BigInt64Array | BigUint64Array>;

/** How single elements are written. `build` gives a 1-D value of type `dtype`. */
export interface Element {
  readonly dtype: DType;
  /** Bytes of initializers for `count` elements. */
  bytes(count: number): number;
  /** Nodes that decode them, for the size estimate. */
  readonly nodes: number;
  build(g: Builder, values: Numbers): Value;
}

/** float32 as it is; halves through Cast (exact for values already rounded to them). */
export function floatElement(dtype: "float32" | "float16" | "bfloat16"): Element {
  return {
    dtype: "float32",
    nodes: dtype === "float32" ? 0 : 1,
    bytes: (count) => (count * dtypes[dtype].bits) / 8,
    build(g, values) {
      const stored = g.constant(values, { dtype, name: "values" });
      return dtype === "float32" ? stored : g.Cast(stored, { to: dtypes.float32.code });
    },
  };
}

/**
 * Integers of `bits` bits, widened to `dtype`. 4 and 8 bits have ONNX types; the others are cut
 * into planes of 4, 2 and 1 bits that BitShift and BitwiseAnd take out of bytes. The engine folds
 * all of it when it loads the model (ENGINE 1.4).
 */
export function integerElement(bits: number, signed: boolean, dtype: DType): Element {
  if (bits === 8 || bits === 4) {
    const stored: DType = `${signed ? "" : "u"}int${bits}`;
    const widens = stored !== dtype;
    return {
      dtype,
      nodes: widens ? 1 : 0,
      bytes: (count) => Math.ceil((count * bits) / 8),
      build(g, values) {
        const packed = g.constant(values, { dtype: stored, name: "levels" });
        return widens ? g.Cast(packed, { to: dtypes[dtype].code }) : packed;
      },
    };
  }
  const planes = planesOf(bits);
  // One bit is a sign: {-1, +1} = 2 b - 1. More bits are two's complement with an offset.
  const offset = signed ? 2 ** (bits - 1) : 0;
  return {
    dtype,
    nodes: planes.length * 7 + 2,
    bytes: (count) => planes.reduce((sum, plane) => sum + Math.ceil((count * plane.bits) / 8), 0),
    build(g, values) {
      const count = values.length;
      const level = (i: number): number =>
        signed && bits === 1 ? (values[i] + 1) / 2 : values[i] + offset;
      let total: Value | null = null;
      for (const { bits: width, shift } of planes) {
        const part = new Uint8Array(count);
        for (let i = 0; i < count; i++) part[i] = (level(i) >> shift) & (2 ** width - 1);
        const plane = buildPlane(g, part, width);
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

/** 5 = 4 + 1, 3 = 2 + 1, 7 = 4 + 2 + 1. */
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

/** int32 values of 1, 2, 4 or 8 bits from packed bytes. */
function buildPlane(g: Builder, values: Uint8Array, width: number): Value {
  const int32 = { to: dtypes.int32.code };
  if (width === 8) return g.Cast(g.constant(values, { dtype: "uint8", name: "plane" }), int32);
  if (width === 4) return g.Cast(g.constant(values, { dtype: "uint4", name: "plane" }), int32);
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
  const masked = g.BitwiseAnd(shifted, g.constant([2 ** width - 1], { dtype: "uint8" }));
  const flat = g.Reshape(masked, g.ints([-1]));
  const exact =
    bytes.length * perByte === values.length
      ? flat
      : g.Slice(flat, g.ints([0]), g.ints([values.length]));
  return g.Cast(exact, int32);
}
