/** @file What all plots share: the SVG element, text widths, the placing of labels, colours. */

import { type Child, el, type Markup } from "./markup.ts";
import { familyTitles } from "./report.ts";

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Estimated width of a character of a sans-serif font, relative to its size. It is above the
 * average, so that texts are rather narrower than estimated.
 */
const advance = 0.6;
/** Size of all texts in plots, px. */
export const fontSize = 11;

/** Estimated width of a text, px. */
export function textWidth(text: string, size = fontSize): number {
  return [...text].length * advance * size;
}

/** Room for the names of rows left of a chart, px. Short names may be of wide letters alone. */
export const namesWidth = (names: readonly string[]): number =>
  Math.min(260, Math.max(64, Math.max(...names.map((name) => textWidth(name))) + 10));

/** Cuts a text to `width` px, in the middle: names of layers differ more at their ends. */
export function shorten(text: string, width: number, size = fontSize): string {
  const most = Math.max(3, Math.floor(width / (advance * size)));
  const chars = [...text];
  if (chars.length <= most) return text;
  const tail = Math.floor((most - 1) / 2);
  return `${chars.slice(0, most - 1 - tail).join("")}…${tail ? chars.slice(-tail).join("") : ""}`;
}

/** An SVG element with a title and a description, which screen readers read out. */
export function image(
  { id, title, description }: { id: string; title: string; description: string },
  width: number,
  height: number,
  ...children: readonly Child[]
): Markup {
  const [titleId, descriptionId] = [`${id}-title`, `${id}-desc`];
  return el(
    "svg",
    {
      xmlns: "http://www.w3.org/2000/svg",
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-labelledby": `${titleId} ${descriptionId}`,
      class: "plot",
    },
    el("title", { id: titleId }, title),
    el("desc", { id: descriptionId }, description),
    ...children,
  );
}

/** A text with its baseline at y, which begins at x unless `attributes` say otherwise. */
export function label(
  x: number,
  y: number,
  text: string,
  attributes: Readonly<Record<string, string | number | null>> = {},
): Markup {
  return el("text", { x, y, ...attributes }, text);
}

/** A point that wants a label; sizes are px. */
export interface Anchor {
  readonly x: number;
  readonly y: number;
  /** Radius of the circle drawn at the point. */
  readonly radius: number;
  readonly text: string;
  /** The label where there is no room for `text`. */
  readonly short: string;
}

/** A label with the place that was found for it. */
export interface Placed {
  readonly text: string;
  readonly box: Box;
  /** Whether the label is so far from its point that a line to it is drawn. */
  readonly leader: boolean;
}

const overlap = (a: Box, b: Box) =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

/**
 * Finds a place for each label, in the order of `anchors`. Tried are eight positions around its
 * point at three distances, first for the text, then for the short text. A place is free if it is
 * within `frame` and covers no point, no obstacle and no earlier label. Null if none is free.
 */
export function placeLabels(
  anchors: readonly Anchor[],
  frame: Box,
  obstacles: readonly Box[] = [],
): (Placed | null)[] {
  const taken: Box[] = [...obstacles, ...anchors.map(dot)];
  const free = (box: Box, own: Box) =>
    box.x >= frame.x &&
    box.y >= frame.y &&
    box.x + box.width <= frame.x + frame.width &&
    box.y + box.height <= frame.y + frame.height &&
    taken.every((other) => sameBox(other, own) || !overlap(box, other));
  return anchors.map((anchor) => {
    for (const text of [anchor.text, anchor.short])
      for (const distance of [3, 16, 30])
        for (const box of around(anchor, text, distance))
          if (free(box, dot(anchor))) {
            taken.push(box);
            return { text, box, leader: distance > 3 };
          }
    return null;
  });
}

/** The square around a point's circle. */
function dot({ x, y, radius }: Anchor): Box {
  return { x: x - radius, y: y - radius, width: 2 * radius, height: 2 * radius };
}

const sameBox = (a: Box, b: Box) => a.x === b.x && a.y === b.y && a.width === b.width;

/** The eight boxes for a text: to the right, left, above, below and at the corners of the point. */
function around({ x, y, radius }: Anchor, text: string, distance: number): Box[] {
  const [width, height] = [textWidth(text), fontSize + 3];
  const far = radius + distance;
  const near = far * 0.75;
  const sides = [
    [far, -height / 2],
    [-far - width, -height / 2],
    [-width / 2, -far - height],
    [-width / 2, far],
    [near, -near - height / 2],
    [near, near - height / 2],
    [-near - width, -near - height / 2],
    [-near - width, near - height / 2],
  ];
  return sides.map(([dx, dy]) => ({ x: x + dx, y: y + dy, width, height }));
}

/** The CSS class that colours a family; an unknown family is grey, like the controls. */
export function familyClass(family: string): string {
  return Object.hasOwn(familyTitles, family) ? `f-${family}` : "f-control";
}

const light = {
  ink: "#1b2128",
  soft: "#5b6673",
  faint: "#8b95a1",
  line: "#dde2e8",
  wash: "#f4f6f8",
  paper: "#ffffff",
  accent: "#2f6f9f",
  good: "#17733a",
  fair: "#8a5a00",
  bad: "#b3261e",
  "f-control": "#6b7580",
  "f-quantization": "#2563c9",
  "f-pruning": "#d1521a",
  "f-structured": "#7a3fc4",
  "f-low-rank": "#0d7d74",
  "f-filters": "#9a6b00",
  "f-distillation": "#c02672",
  "f-other": "#3d4a5c",
};

const dark: Record<keyof typeof light, string> = {
  ink: "#e6e9ed",
  soft: "#a3adb8",
  faint: "#7c8794",
  line: "#313942",
  wash: "#1d2329",
  paper: "#14181d",
  accent: "#6fb1e0",
  good: "#5fc98a",
  fair: "#e0b04a",
  bad: "#ff8a80",
  "f-control": "#98a2ad",
  "f-quantization": "#74a5ff",
  "f-pruning": "#ff9a66",
  "f-structured": "#bf97ff",
  "f-low-rank": "#46c4b6",
  "f-filters": "#e3b341",
  "f-distillation": "#f57fb3",
  "f-other": "#b9c4d3",
};

const variables = (colors: Readonly<Record<string, string>>) =>
  Object.entries(colors)
    .map(([name, color]) => `--${name}:${color}`)
    .join(";");

/** Colours as CSS variables for light and dark screens; print always uses the light ones. */
export const colorStyle = `:root{color-scheme:light dark;${variables(light)}}
@media screen and (prefers-color-scheme:dark){:root{${variables(dark)}}}`;

/** The style sheet of all plots. */
export const plotStyle = `.plot{font:${fontSize}px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
.plot text{fill:var(--ink)}.plot .name{stroke:var(--paper);stroke-width:3px;stroke-linejoin:round;paint-order:stroke}.plot .soft{fill:var(--soft)}.plot .mid{text-anchor:middle}.plot .end{text-anchor:end}
.plot .grid{stroke:var(--line);stroke-width:1}.plot .limit{stroke:var(--faint);stroke-dasharray:2 3}
.plot .curve{fill:none;stroke:var(--ink);stroke-width:1.5;stroke-linejoin:round}.plot .score{fill:var(--soft)}
.plot .front{fill:none;stroke:var(--soft);stroke-width:1.5;stroke-dasharray:5 3}
.plot .leader{stroke:var(--faint);stroke-width:.75}
.plot circle{fill:var(--c);fill-opacity:.55;stroke:var(--c);stroke-width:1}
.plot circle.best{fill-opacity:.95;stroke:var(--ink);stroke-width:1.5}
.plot .track{fill:var(--wash)}.plot .bar{fill:var(--c,var(--accent))}.plot .exact{fill:var(--line)}
${Object.keys(familyTitles)
  .map((family) => `.f-${family}{--c:var(--f-${family})}`)
  .join("")}`;

/** The plot as a complete SVG file, with the style sheet inside it. */
export function standalone({ markup }: Markup): string {
  const style = `<style>${colorStyle.replaceAll(":root", ".plot")}${plotStyle}.plot{background:var(--paper)}</style>`;
  return markup.replace("</desc>", `</desc>${style}`);
}
