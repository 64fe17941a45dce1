/** @file Builds SVG and HTML text; strings are escaped, values of type Markup are not. */
import { printable } from "./format.ts";

/** Text that is safe as SVG or HTML. */
export interface Markup {
  readonly markup: string;
}

/** What an element may contain; null is left out. */
export type Child = Markup | string | null | readonly Child[];

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text for SVG and HTML, also within attributes; unprintable characters are replaced. */
export function escapeText(text: string): string {
  return printable(text).replace(/[&<>"']/g, (char) => entities[char]);
}

/** An attribute's value; numbers are rounded to two decimals, which is enough for coordinates. */
function attribute(value: string | number): string {
  return escapeText(typeof value === "number" ? String(Math.round(value * 100) / 100) : value);
}

function inner(child: Child): string {
  if (child === null) return "";
  if (typeof child === "string") return escapeText(child);
  return "markup" in child ? child.markup : child.map(inner).join("");
}

/** The elements used here that HTML writes without an end tag. */
const empty = new Set(["meta", "br", "wbr", "input"]);

/** An element, `<name a="b">children</name>`. Attributes that are null are left out. */
export function el(
  name: string,
  attributes: Readonly<Record<string, string | number | null>>,
  ...children: readonly Child[]
): Markup {
  const list = Object.entries(attributes)
    .filter(([, value]) => value !== null)
    .map(([key, value]) => ` ${key}="${attribute(value!)}"`)
    .join("");
  const open = `<${name}${list}>`;
  return { markup: empty.has(name) ? open : `${open}${inner(children)}</${name}>` };
}

/** Text in which lines may break behind the joints of paths and names: / \\ _ . : = - and commas. */
export function breakable(text: string): Markup {
  const parts = text.split(/(?<=[/\\_.:=,-])(?=[^/\\_.:=,\s-])/);
  return fragment(parts.map((part, i) => [i ? el("wbr", {}) : null, part]));
}

/** Unescaped text. Only for our own style sheets and scripts, never for text from a model. */
export function raw(text: string): Markup {
  return { markup: text };
}

/** Several children without an element around them. */
export function fragment(...children: readonly Child[]): Markup {
  return { markup: inner(children) };
}
