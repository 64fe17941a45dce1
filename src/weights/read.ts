/** @file Nodes -> Form: reads a weight back, whatever expression stores it. */
import type { DType } from "../ir/dtype.ts";
import type { Value } from "../ir/graph.ts";
import type { Tensor } from "../ir/tensor.ts";
import { constantValue } from "../ops/constant.ts";
import type { Form, Weight } from "./form.ts";

/**
 * Null when `value` is not a constant expression of floats. Expressions that `expandFloat` wrote
 * come back as the form they were; any other one as plain values.
 */
export function readWeight(value: Value): Weight | null {
  const folded = constantValue(value);
  if (!folded || !/^b?float/.test(folded.dtype)) return null;
  const { shape } = folded;
  const values = folded.floats();
  const form = readCodebook(value) ?? readGrid(value, shape) ?? readFloat(value, values);
  return { shape, values, form };
}

function readCodebook(value: Value): Form | null {
  const node = value.producer;
  if (node?.op !== "Gather" || node.int("axis", 0) !== 0) return null;
  const codebook = evaluated(node.inputs[0]);
  const index = evaluated(node.inputs[1]);
  if (codebook?.dtype !== "float32" || codebook.shape.length !== 1 || !index) return null;
  if (codebook.size > 2 ** 16) return null;
  return {
    kind: "codebook",
    codebook: codebook.floats(),
    index: Uint16Array.from(index.numbers()),
  };
}

/** Mul(levels, scale), perhaps under the Reshape that joins blocks again. */
function readGrid(value: Value, shape: readonly number[]): Form | null {
  const joined = value.producer?.op === "Reshape" ? value.producer.inputs[0] : null;
  const node = (joined ?? value).producer;
  if (node?.op !== "Mul") return null;
  const levels = evaluated(node.inputs[0]);
  const scale = evaluated(node.inputs[1]);
  if (!levels || !scale || scale.dtype !== "float32") return null;
  const q = toLevels(levels);
  if (!q || q.length !== shape.reduce((a, b) => a * b, 1)) return null;
  const grid = { kind: "grid", bits: bitsOf(q), q, scale: scale.floats() } as const;
  if (scale.size === 1) return { ...grid, axis: null, block: null };
  const axis = scale.shape.findIndex((dim) => dim > 1);
  if (!joined) {
    const isPerChannel = scale.shape.every((dim, i) => dim === (i === axis ? shape[axis] : 1));
    return isPerChannel && scale.shape.length === shape.length
      ? { ...grid, axis, block: null }
      : null;
  }
  const split = levels.shape.findIndex((dim, i) => dim !== shape[i]);
  if (levels.shape.length !== shape.length + 1 || split < 0) return null;
  return { ...grid, axis: split, block: levels.shape[split + 1] };
}

function readFloat(value: Value, values: Float32Array): Form {
  const stored = storedType(value);
  const dtype = stored === "float16" || stored === "bfloat16" ? stored : "float32";
  return { kind: "float", dtype, values };
}

/** The type the elements have in the file, below any layout and Cast. */
export function storedType(value: Value): DType | null {
  if (value.tensor) return value.tensor.dtype;
  const node = value.producer;
  switch (node?.op) {
    case "Cast":
      return node.inputs[0]?.tensor?.dtype ?? null;
    case "Reshape":
    case "Gather":
      return node.inputs[0] ? storedType(node.inputs[0]) : null;
    case "ScatterElements":
      return node.inputs[2] ? storedType(node.inputs[2]) : null;
    default:
      return null;
  }
}

function evaluated(value: Value | null | undefined): Tensor | null {
  return value ? constantValue(value) : null;
}

function toLevels(tensor: Tensor): Int8Array | null {
  const numbers = tensor.numbers();
  const q = new Int8Array(tensor.size);
  for (let i = 0; i < q.length; i++) {
    q[i] = numbers[i];
    if (q[i] !== numbers[i]) return null;
  }
  return q;
}

/** The fewest bits that hold all levels; {-1, +1} without 0 is one bit. */
export function bitsOf(q: Int8Array): number {
  let low = 0;
  let high = 0;
  let hasZero = false;
  for (const level of q) {
    if (level < low) low = level;
    if (level > high) high = level;
    if (level === 0) hasZero = true;
  }
  if (!hasZero && low === -1 && high === 1) return 1;
  for (let bits = 2; bits < 8; bits++) {
    if (low >= -(2 ** (bits - 1)) && high < 2 ** (bits - 1)) return bits;
  }
  return 8;
}
