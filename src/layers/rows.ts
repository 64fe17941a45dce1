/** @file Rows: a layer's weight as matrices W of y = W x, whatever way its operator stores it. */
import { product } from "../util/product.ts";
import type { ThetaSite } from "../weights/sites.ts";

/** One matrix [rows, columns] per group; in columns, inputs vary fastest, then kernel positions. */
export interface Rows {
  readonly groups: number;
  readonly rows: number;
  readonly columns: number;
  /** The flat position of W[row, column] of a group among the weight's values. */
  at(group: number, row: number, column: number): number;
}

/** Some neighbouring rows of a matrix. */
export interface Part {
  readonly first: number;
  readonly count: number;
}

/** W [rows, columns] of one group, row-major, from the weight's values; or some of its rows. */
export function matrixIn(
  values: Float32Array,
  rows: Rows,
  group: number,
  part: Part = { first: 0, count: rows.rows },
): Float64Array {
  const matrix = new Float64Array(part.count * rows.columns);
  eachPlace(rows, group, part, (i, place) => {
    matrix[i] = values[place];
  });
  return matrix;
}

/** Writes W [rows, columns] of one group, or some of its rows, to their places among the weight's values. */
export function storeMatrix(
  values: Float32Array | Int8Array,
  rows: Rows,
  group: number,
  matrix: ArrayLike<number>,
  part: Part = { first: 0, count: rows.rows },
): void {
  eachPlace(rows, group, part, (i, place) => {
    values[place] = matrix[i];
  });
}

function eachPlace(
  { columns, at }: Rows,
  group: number,
  { first, count }: Part,
  visit: (i: number, place: number) => void,
): void {
  for (let row = first, i = 0; row < first + count; row++) {
    for (let column = 0; column < columns; column++) visit(i++, at(group, row, column));
  }
}

/** The rows of a weight; a reason if it is no such matrix. */
export function rowsOf({
  role,
  weight,
  node,
}: Pick<ThetaSite, "role" | "weight" | "node">): Rows | string {
  const { shape } = weight;
  if (!role) return "stores a part of a form, which has no rows of inputs";
  if (role.kind === "conv") {
    const rows = shape[0] / role.groups;
    const depth = shape[1];
    const columns = product(shape) / shape[0];
    const taps = columns / depth;
    return {
      groups: role.groups,
      rows,
      columns,
      at: (group, row, column) =>
        (group * rows + row) * columns + (column % depth) * taps + Math.floor(column / depth),
    };
  }
  if (shape.length !== 2 || (role.kind !== "linear" && role.kind !== "embedding")) {
    return `${node.op} has no matrix of rows and inputs`;
  }
  // A row of an embedding is a token, which is looked up and not summed over.
  const rowAxis = role.kind === "embedding" ? role.inputAxis : role.outputAxis;
  const [down, right] = rowAxis === 0 ? [shape[1], 1] : [1, shape[1]];
  return {
    groups: 1,
    rows: shape[rowAxis],
    columns: shape[1 - rowAxis],
    at: (_, row, column) => row * down + column * right,
  };
}
