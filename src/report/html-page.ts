/** @file The skeleton of an HTML page that loads nothing, and parts that all pages have. */
import { pageScript, scriptHash } from "./html-script.ts";
import { pageStyle } from "./html-style.ts";
import { breakable, type Child, el, type Markup, raw } from "./markup.ts";
import type { Figure } from "./plots.ts";

/** What stands above a page. */
export interface Heading {
  readonly title: string;
  /** The command that wrote it, "survey", and when, in ISO 8601. */
  readonly command: string;
  readonly date: string;
  readonly heading: string;
  readonly subtitle: string;
}

/** Content-Security-Policy: no requests, no script but our own. */
const policy = `default-src 'none'; style-src 'unsafe-inline'; script-src '${scriptHash}'; base-uri 'none'; form-action 'none'`;

/** The whole page. It is self-contained: it opens from disk, prints, and makes no request. */
export function wholePage(
  { title, command, date, heading, subtitle }: Heading,
  ...children: readonly Child[]
): string {
  const page = el(
    "html",
    { lang: "en" },
    el(
      "head",
      {},
      el("meta", { charset: "utf-8" }),
      el("meta", { "http-equiv": "Content-Security-Policy", content: policy }),
      el("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }),
      el("title", {}, title),
      el("style", {}, raw(pageStyle)),
    ),
    el(
      "body",
      {},
      el(
        "main",
        {},
        el(
          "header",
          {},
          el("p", { class: "eyebrow" }, `tersor ${command}, ${date.slice(0, 10)}`),
          el("h1", {}, breakable(heading)),
          el("p", {}, breakable(subtitle)),
        ),
        ...children,
      ),
      el("script", {}, raw(pageScript)),
    ),
  );
  return `<!doctype html>\n${page.markup}\n`;
}

/** The last part of a path, in which the page has room for a heading. */
export const fileName = (path: string): string => path.replace(/^.*[/\\](?=.)/s, "");

/** A part of the page under a heading. */
export function section(title: string, ...children: readonly Child[]): Markup {
  return el("section", {}, el("h2", {}, title), ...children);
}

export function figure({ title, caption, image }: Figure, className: string | null = null): Markup {
  return el(
    "figure",
    { class: className },
    el("figcaption", {}, el("h3", {}, title), caption),
    image,
  );
}

export function scrollTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
): Markup {
  const row = (cells: readonly Markup[]) => el("tr", {}, cells);
  const head = row(header.map((name) => el("th", { scope: "col" }, name)));
  const body = rows.map((texts) => row(texts.map((text) => el("td", {}, text))));
  const table = el("table", {}, el("thead", {}, head), el("tbody", {}, body));
  return el("div", { class: "scroll" }, table);
}
