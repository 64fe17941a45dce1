/** @file Bar chart: one row per layer, one panel per quantity (bytes, MACs, time, error). */
import { el, fragment, type Markup } from "./markup.ts";
import { image, label, namesWidth, shorten, textWidth } from "./svg.ts";

/** A column of bars, with a figure as text at the right of each. */
export interface Panel {
  readonly title: string;
  /** CSS class that colours the bars; null for the accent colour. */
  readonly colour: string | null;
  /** Value that a bar of full length stands for; null for the largest value of the panel. */
  readonly full: number | null;
  /** One per row. The value null draws no bar, Infinity a full one in grey (nothing changed). */
  readonly cells: readonly { readonly value: number | null; readonly text: string }[];
}

export interface Bars {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly rows: readonly string[];
  readonly panels: readonly Panel[];
}

/** Size of the image and space between panels, in px. */
const width = 1080;
const gap = 22;

/** The chart as an SVG element; its height grows with the number of rows. */
export function bars({ rows, panels, ...about }: Bars): Markup {
  const rowHeight = rows.length > 12 ? 17 : 23;
  const top = 24;
  const names = namesWidth(rows);
  const panelWidth = (width - names) / panels.length - gap;
  return image(
    about,
    width,
    top + rows.length * rowHeight + 2,
    rows.map((row, i) =>
      fragment(
        label(names - 8, top + i * rowHeight + rowHeight / 2 + 4, shorten(row, names - 8), {
          class: "end",
        }),
      ),
    ),
    panels.map((panel, p) => {
      const x = names + gap / 2 + p * (panelWidth + gap);
      const values = panel.cells.map(({ value }) => value ?? 0).filter(Number.isFinite);
      const largest = panel.full ?? Math.max(0, ...values);
      const room = Math.max(...panel.cells.map(({ text }) => textWidth(text))) + 8;
      const length = panelWidth - room;
      const box = (y: number) => ({ x, y, height: rowHeight - 6, rx: 1.5 });
      return fragment(
        label(x, 14, shorten(panel.title, panelWidth), { class: "soft" }),
        panel.cells.map(({ value, text }, i) => {
          const y = top + i * rowHeight + 3;
          const exact = value === Number.POSITIVE_INFINITY;
          const share = largest && value ? Math.min(1, Math.max(0, value / largest)) : 0;
          const figure = label(x + panelWidth, y + rowHeight / 2 + 1, text, { class: "soft end" });
          if (value === null) return figure;
          return fragment(
            el("rect", { ...box(y), width: length, class: "track" }),
            el(
              "rect",
              {
                ...box(y),
                // At least 1 px, so that a small value does not look like none.
                width: exact ? length : value ? Math.max(1, share * length) : 0,
                class: exact ? "exact" : `bar ${panel.colour ?? ""}`.trim(),
              },
              el("title", {}, `${rows[i]}: ${text}`),
            ),
            figure,
          );
        }),
      );
    }),
  );
}
