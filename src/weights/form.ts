/** @file Form: a compressed weight as an expression of fewer bits, W = f(theta). */

/**
 * theta, by kind:
 * - float: the values themselves, in 32 or 16 bits; zeros may be left out of the file.
 * - codebook: W = codebook[index]; entry 0 is 0 when zeros are to be left out of the file.
 * - grid: W = scale[c] * q, integers of `bits` bits, one scale (axis null), one per channel of
 *   `axis`, or one per `block` consecutive elements along `axis`.
 */
export type Form =
  | {
      readonly kind: "float";
      readonly dtype: "float32" | "float16" | "bfloat16";
      readonly values: Float32Array;
    }
  | { readonly kind: "codebook"; readonly codebook: Float32Array; readonly index: Uint16Array }
  | Grid;

export interface Grid {
  readonly kind: "grid";
  /** 1..8; 1 means {-1, +1}. */
  readonly bits: number;
  readonly q: Int8Array;
  readonly scale: Float32Array;
  readonly axis: number | null;
  readonly block: number | null;
}

/** A weight as it is stored, and what it stands for. */
export interface Weight {
  readonly shape: readonly number[];
  readonly values: Float32Array;
  readonly form: Form;
}

/** Multiplies each element of a row-major array of `shape` by its scale. */
export function scaleOf(grid: Grid, shape: readonly number[]): (element: number) => number {
  const { axis, block, scale } = grid;
  if (axis === null) return () => scale[0];
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const size = shape[axis];
  if (block === null) return (i) => scale[Math.floor(i / inner) % size];
  const blocks = size / block;
  return (i) => {
    const position = Math.floor(i / inner) % size;
    const outer = Math.floor(i / (inner * size));
    return scale[(outer * blocks + Math.floor(position / block)) * inner + (i % inner)];
  };
}

/** The weight's elements, as float32 arithmetic gives them when the engine folds the expression. */
export function valuesOf(form: Form, shape: readonly number[]): Float32Array {
  if (form.kind === "float") return form.values;
  if (form.kind === "codebook") {
    return Float32Array.from(form.index, (entry) => form.codebook[entry]);
  }
  const scale = scaleOf(form, shape);
  return Float32Array.from(form.q, (q, i) => Math.fround(q * scale(i)));
}
