/** @file Rows: a layer's weight as the matrix W of y = W x, whatever way its operator stores it. */
import type { ThetaSite } from "../weights/sites.ts";

/** One matrix [rows, columns] per group; columns run over inputs first, then kernel positions. */
export interface Rows {
  readonly groups: number;
  readonly rows: number;
  readonly columns: number;
  /** Where W[row, column] of a group lies among the weight's values. */
  at(group: number, row: number, column: number): number;
}

/** A reason where the weight is no such matrix. */
export function rowsOf({
  role,
  weight,
  node,
}: Pick<ThetaSite, "role" | "weight" | "node">): Rows | string {
  const { shape, values } = weight;
  if (!role) return "stores a part of a form, which has no rows of inputs";
  if (role.kind === "conv") {
    const rows = shape[0] / role.groups;
    const depth = shape[1];
    const columns = values.length / shape[0];
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
  // A row of an embedding is a token: what is looked up, not what is summed over.
  const rowAxis = role.kind === "embedding" ? role.inputAxis : role.outputAxis;
  const [down, right] = rowAxis === 0 ? [shape[1], 1] : [1, shape[1]];
  return {
    groups: 1,
    rows: shape[rowAxis],
    columns: shape[1 - rowAxis],
    at: (_, row, column) => row * down + column * right,
  };
}
