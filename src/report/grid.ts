/** @file Text tables for a terminal: aligned columns, one of which may wrap, with ANSI colours. */
import { type Line, lineWidth, paint, span, type Tone, wrap } from "./span.ts";

/** A column of a text table. */
export interface GridColumn {
  readonly title: string;
  readonly align: "left" | "right";
  /** A flexible column gets the width that the others leave, and wraps. At most one may be. */
  readonly flexible?: boolean;
}

/** A row of cells, or a heading over the rows that follow. */
export type GridRow = readonly Line[] | { readonly heading: string };

/** Space between two columns. */
const gap = "  ";
/** Least width of a flexible column, even if the table then is wider than the terminal. */
const narrowest = 16;

const isHeading = (row: GridRow): row is { readonly heading: string } => "heading" in row;

/** The width of each column without wrapping: that of its widest cell. */
function naturalWidths(columns: readonly GridColumn[], rows: readonly GridRow[]): number[] {
  return columns.map((column, i) => {
    const cells = rows.map((row) => (isHeading(row) ? 0 : lineWidth(row[i])));
    return Math.max(lineWidth([span(column.title)]), ...cells);
  });
}

/** The width of the whole grid if the flexible column is at most `flexible` wide. */
export function gridWidth(
  columns: readonly GridColumn[],
  rows: readonly GridRow[],
  flexible: number,
): number {
  const widths = naturalWidths(columns, rows).map((w, i) =>
    columns[i].flexible ? Math.min(w, flexible) : w,
  );
  return widths.reduce((sum, w) => sum + w, 0) + gap.length * (columns.length - 1);
}

/** The grid as lines: header, rule, rows. They are at most `width` wide if a column is flexible. */
export function grid(
  columns: readonly GridColumn[],
  rows: readonly GridRow[],
  { width, color }: { width: number; color: boolean },
): string[] {
  const widths = naturalWidths(columns, rows);
  const flexible = columns.findIndex((column) => column.flexible);
  if (flexible >= 0) {
    const fixed = gridWidth(columns, rows, 0);
    widths[flexible] = Math.min(widths[flexible], Math.max(narrowest, width - fixed));
  }
  const layOut = (cells: readonly Line[], tone?: Tone): string[] => {
    const wrapped = cells.map((cell, i) => (i === flexible ? wrap(cell, widths[i], "  ") : [cell]));
    const height = Math.max(...wrapped.map((lines) => lines.length));
    return Array.from({ length: height }, (_, y) =>
      columns
        .map((column, i) => {
          const cell = (wrapped[i][y] ?? []).map((part) => (tone ? { ...part, tone } : part));
          const space = " ".repeat(Math.max(0, widths[i] - lineWidth(cell)));
          return column.align === "right" ? space + paint(cell, color) : paint(cell, color) + space;
        })
        .join(gap)
        .trimEnd(),
    );
  };
  const total = widths.reduce((sum, w) => sum + w, 0) + gap.length * (columns.length - 1);
  return [
    ...layOut(
      columns.map((column) => [span(column.title)]),
      "bold",
    ),
    paint([span("─".repeat(total), "dim")], color),
    ...rows.flatMap((row) =>
      isHeading(row) ? [paint([span(row.heading, "bold")], color)] : layOut(row),
    ),
  ];
}
