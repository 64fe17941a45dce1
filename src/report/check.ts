/** @file Checked models as a table for a terminal, as Markdown for a pull request, and as JSON. */
import type { Held } from "../recipe/check.ts";
import { bytes } from "./format.ts";
import { resultJson } from "./json.ts";

const headings = ["", "model", "size", "speed", "quality", "limits"] as const;

function cellsOf({ model, limits, result, broken }: Held): string[] {
  const size = result ? bytes(result.bytes.raw) : "";
  const speed = result?.delta.infer ? `${result.delta.infer.toPrecision(3)}x` : "";
  const metric = result?.metric;
  const value = metric ? `${metric.name} ${Number(metric.value.toPrecision(4))}` : "";
  const drop = metric?.drop == null ? "" : ` (drop ${Number(metric.drop.toPrecision(2))})`;
  return [
    broken.length === 0 ? "ok" : "BROKEN",
    ...[model, size, speed, value + drop],
    limits.join(", "),
  ];
}

/** A line for each model, and below it one for each broken limit. */
export function checkText(held: readonly Held[]): string {
  const rows = held.map(cellsOf);
  const widths = headings.map((heading, i) =>
    Math.max(heading.length, ...rows.map((cells) => cells[i].length)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => cell.padEnd(widths[i]))
      .join("  ")
      .trimEnd();
  return held
    .flatMap(({ broken }, i) => [line(rows[i]), ...broken.map((text) => `        ${text}`)])
    .join("\n");
}

/** The same as a table of Markdown, with a heading that says how many limits are broken. */
export function checkMarkdown(held: readonly Held[]): string {
  const count = held.filter(({ broken }) => broken.length > 0).length;
  const title =
    count === 0
      ? "All models are within their limits"
      : `${count} of ${held.length} models break limits`;
  const row = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const broken = held.flatMap(({ model, broken }) =>
    broken.map((text) => `- \`${model}\`: ${text}`),
  );
  return [
    `### ${title}`,
    "",
    row(headings),
    row(headings.map(() => "---")),
    ...held.map((one) => row(cellsOf(one))),
    ...(broken.length > 0 ? ["", ...broken] : []),
    "",
  ].join("\n");
}

/** What `check` prints with --json: {command, ok, models}. */
export function checkJson(held: readonly Held[]) {
  return {
    command: "check",
    ok: held.every(({ broken }) => broken.length === 0),
    models: held.map(({ model, limits, result, broken }) => ({
      ...{ model, limits, broken },
      result: result && resultJson(result),
    })),
  };
}
