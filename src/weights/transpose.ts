/** @file A weight matrix turned over, in whatever form it is stored. */
import type { Form, Weight } from "./form.ts";

/** [rows, columns] -> [columns, rows]: the same numbers of the same kind. */
export function transposed({ shape, values, form }: Weight): Weight {
  const [rows, columns] = shape;
  const flipped = flip(values, rows, columns);
  return { shape: [columns, rows], values: flipped, form: turned(form, flipped, rows, columns) };
}

function turned(form: Form, values: Float32Array, rows: number, columns: number): Form {
  switch (form.kind) {
    case "float":
      return { ...form, values };
    case "codebook":
      return { ...form, index: flip(form.index, rows, columns) };
    case "grid": {
      const { axis, block, q, scale } = form;
      const turnedAxis = axis === null ? null : 1 - axis;
      const levels = flip(q, rows, columns);
      if (axis === null || block === null) return { ...form, q: levels, axis: turnedAxis };
      const height = axis === 0 ? rows / block : rows;
      return {
        ...form,
        q: levels,
        scale: flip(scale, height, scale.length / height),
        axis: turnedAxis,
      };
    }
  }
}

function flip<A extends Float32Array | Uint16Array | Int8Array>(
  array: A,
  rows: number,
  columns: number,
): A {
  const result = array.slice() as A;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) result[j * rows + i] = array[i * columns + j];
  }
  return result;
}
