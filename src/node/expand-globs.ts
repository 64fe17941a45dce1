/** @file Files whose paths match a pattern: `*` and `?` within a name, `**` for any folders. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { errors, fail } from "../errors.ts";
import { globToRegExp } from "../util/glob.ts";

/** Whether a path has to be expanded. A file of that very name is meant as it is. */
export const isPattern = (path: string): boolean => /[*?]/.test(path) && !existsSync(path);

/**
 * The files of a pattern, sorted; a path without `*` and `?` is itself. Folders whose names begin
 * with a dot, and node_modules, are not searched. Throws TersorError "no-such-file" for none.
 */
export function expandGlob(pattern: string): string[] {
  if (!isPattern(pattern)) return [pattern];
  const parts = pattern.split("/");
  const fixed = parts.findIndex((part) => /[*?]/.test(part));
  const root = parts.slice(0, fixed).join("/");
  const start = pattern.startsWith("/") && root === "" ? "/" : root || ".";
  const found = matching(start, parts.slice(fixed)).toSorted();
  const shown = start === "." ? found.map((path) => path.replace(/^\.\//, "")) : found;
  if (shown.length === 0) throw fail(errors.noSuchFile(pattern));
  return shown;
}

function matching(folder: string, [part, ...rest]: readonly string[]): string[] {
  const entries = existsSync(folder) ? readdirSync(folder, { withFileTypes: true }) : [];
  const folders = entries.filter(
    (entry) => entry.isDirectory() && !entry.name.startsWith(".") && entry.name !== "node_modules",
  );
  const below = (name: string, parts: readonly string[]) => matching(join(folder, name), parts);
  if (part === "**") {
    const deeper = folders.flatMap(({ name }) => below(name, [part, ...rest]));
    return [...(rest.length > 0 ? matching(folder, rest) : []), ...deeper];
  }
  const name = globToRegExp(part);
  if (rest.length > 0) {
    return folders.flatMap((entry) => (name.test(entry.name) ? below(entry.name, rest) : []));
  }
  const files = entries.filter((entry) => !entry.isDirectory() && name.test(entry.name));
  return files.map((entry) => join(folder, entry.name));
}
