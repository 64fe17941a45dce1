/** @file Heat map: one row per layer, one column per recipe; the darker a cell, the larger its error. */
import { el, fragment, type Markup } from "./markup.ts";
import { image, label, namesWidth, shorten } from "./svg.ts";

export interface Heat {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly rows: readonly string[];
  readonly columns: readonly {
    /** Above the column, such as the number of a row of the table. */
    readonly short: string;
    readonly name: string;
    /** One per row: from 0 (nothing) to 1 (dark); null draws no cell. */
    readonly cells: readonly { readonly heat: number | null; readonly text: string }[];
  }[];
}

/** Sizes in px. */
const width = 1080;
const rowHeight = 18;
const top = 20;
const widest = 64;

/** The map as an SVG element; its height grows with the number of rows. */
export function heatMap({ rows, columns, ...about }: Heat): Markup {
  const names = namesWidth(rows);
  const cell = Math.min(widest, (width - names) / columns.length);
  return image(
    about,
    width,
    top + rows.length * rowHeight + 2,
    rows.map((row, i) =>
      label(names - 8, top + i * rowHeight + rowHeight / 2 + 4, shorten(row, names - 8), {
        class: "end",
      }),
    ),
    columns.map(({ short, name, cells }, c) => {
      const x = names + c * cell;
      return fragment(
        label(x + cell / 2, 13, short, { class: "soft mid" }),
        cells.map(({ heat, text }, i) => {
          if (heat === null) return null;
          const y = top + i * rowHeight;
          const box = { x: x + 0.5, y: y + 0.5, width: cell - 1, height: rowHeight - 1 };
          return fragment(
            el("rect", { ...box, class: "track" }),
            el(
              "rect",
              { ...box, class: "bar", "fill-opacity": heat },
              el("title", {}, `${rows[i]}, ${name}: ${text}`),
            ),
          );
        }),
      );
    }),
  );
}
