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

/** The scale of each element of a row-major array of `shape`. */
function scaleOf(grid: Grid, shape: readonly number[]): (element: number) => number {
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

/** The same form with some elements set to zero: the others, and how they are stored, stay. */
export function withZeros(form: Form, isZero: (element: number) => boolean): Form {
  switch (form.kind) {
    case "float":
      return { ...form, values: form.values.map((w, i) => (isZero(i) ? 0 : w)) };
    case "grid": {
      const q = form.q.map((level, i) => (isZero(i) ? 0 : level));
      // {-1, +1} has no zero: {-1, 0, +1} takes two bits.
      return { ...form, q, bits: q.includes(0) ? Math.max(2, form.bits) : form.bits };
    }
    case "codebook": {
      const { codebook, index } = zeroFirst(form.codebook, form.index);
      return usedOnly(
        codebook,
        index.map((entry, i) => (isZero(i) ? 0 : entry)),
      );
    }
  }
}

/** Without the entries that no weight has, but for the first: fewer entries may take fewer bits. */
function usedOnly(codebook: Float32Array, index: Uint16Array): Form {
  const place = new Int32Array(codebook.length).fill(-1);
  place[0] = 0;
  for (const entry of index) place[entry] = 0;
  const kept = codebook.filter((_, entry) => place[entry] === 0);
  for (let entry = 0, next = 0; entry < place.length; entry++) {
    if (place[entry] === 0) place[entry] = next++;
  }
  return { kind: "codebook", codebook: kept, index: index.map((entry) => place[entry]) };
}

/** The same weights with 0 as entry 0, which is added where there is none. */
export function zeroFirst(
  codebook: Float32Array,
  index: Uint16Array,
): { readonly codebook: Float32Array; readonly index: Uint16Array } {
  const zero = codebook.indexOf(0);
  if (zero === 0) return { codebook, index };
  if (zero < 0) {
    return { codebook: Float32Array.of(0, ...codebook), index: index.map((entry) => entry + 1) };
  }
  const swapped = codebook.slice();
  [swapped[0], swapped[zero]] = [codebook[zero], codebook[0]];
  return {
    codebook: swapped,
    index: index.map((entry) => (entry === 0 ? zero : entry === zero ? 0 : entry)),
  };
}
