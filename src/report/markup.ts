/** @file Elements as text for SVG and HTML; strings are escaped, only Markup passes as it is. */
import { printable } from "./format.ts";

export interface Markup {
  readonly markup: string;
}

export type Child = Markup | string | null | readonly Child[];

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

export function escapeText(text: string): string {
  return printable(text).replace(/[&<>"']/g, (char) => entities[char]);
}

/** Coordinates need no more than a hundredth of a pixel. */
function attribute(value: string | number): string {
  return escapeText(typeof value === "number" ? String(Math.round(value * 100) / 100) : value);
}

function inner(child: Child): string {
  if (child === null) return "";
  if (typeof child === "string") return escapeText(child);
  return "markup" in child ? child.markup : child.map(inner).join("");
}

/** Elements that HTML writes without an end tag. */
const empty = new Set(["meta", "br", "wbr"]);

/** `<name a="b">children</name>`; attributes that are null are left out. */
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

/** Text that is our own markup already (style sheets, scripts), never anything from a model. */
export function raw(text: string): Markup {
  return { markup: text };
}

export function fragment(...children: readonly Child[]): Markup {
  return { markup: inner(children) };
}
