/** @file tersor methods: the list of methods with their options and sources, and of presets. */
import { methods } from "../node.ts";
import type { OptionInfo } from "../options.ts";
import { presets } from "../recipe/presets.ts";
import { jsonText } from "../report/json.ts";
import { line, paint, type Span, span, wrap } from "../report/span.ts";
import type { Command } from "./command.ts";

export const methodsCommand: Command = {
  name: "methods",
  takes: "",
  summary: "Lists all compression methods with their options and the papers they come from.",
  flags: [],
  examples: ["tersor methods", "tersor methods --json"],
  async run(shell) {
    const all = methods();
    const named = Object.entries(presets).map(([preset, { summary }]) => ({ preset, summary }));
    if (shell.json) {
      shell.print(jsonText({ methods: all, presets: named }));
      return 0;
    }
    const { width, color } = shell.table;
    const text = (indent: string, ...parts: (string | Span)[]): string[] =>
      wrap(line(...parts), width - indent.length, "  ").map((row) => indent + paint(row, color));
    const lines = all.flatMap(({ method, family, summary, cite, needs, options }) => [
      ...text(
        "",
        span(method, "bold"),
        span(` (${family}${needs.map((n) => `, ${n}`).join("")})`, "dim"),
      ),
      ...text("  ", summary),
      ...text("  ", span(cite, "dim")),
      ...options.flatMap((option) =>
        text(
          "    ",
          span(option.name, "code"),
          span(` ${valuesOf(option)} `, "dim"),
          option.description,
        ),
      ),
      "",
    ]);
    const short = named.flatMap(({ preset, summary }) =>
      text("  ", span(preset, "bold"), ` ${summary}`),
    );
    shell.print([...lines, "Presets (tersor compress --preset):", ...short].join("\n"));
    return 0;
  },
};

/** The values of an option as text: `[1..8, default 5]`. */
function valuesOf({ choices, minimum, maximum, type, default: initial }: OptionInfo): string {
  const range =
    choices?.join("|") ??
    (minimum !== null || maximum !== null ? `${minimum ?? ""}..${maximum ?? ""}` : type);
  const isEmpty = initial === null || (Array.isArray(initial) && initial.length === 0);
  return `[${range}${isEmpty ? "" : `, default ${initial}`}]`;
}
