/** @file Names of output files that the user did not name. */
import { basename, dirname, extname, join } from "node:path";
import type { Loaded } from "../recipe/load.ts";

/**
 * The path of a model with another ending: beside the model, in place of .onnx or .tersor. For a
 * `net:` name or a URL it is a file in the current folder.
 */
export function withEnding(path: string, ending: string): string {
  const [, net] = /^net:(.*)$/s.exec(path) ?? [];
  if (net !== undefined) return `${net}${ending}`;
  if (/^https?:/i.test(path)) return `${basename(new URL(path).pathname, ".onnx")}${ending}`;
  const name = /^\.(onnx|tersor)$/i.test(extname(path))
    ? basename(path, extname(path))
    : basename(path);
  return join(dirname(path), `${name}${ending}`);
}

/** Whether the name is that of a .tersor file. */
export const isPackedName = (path: string): boolean => /\.tersor$/i.test(path);

/** The files that a model was read from, which must not be overwritten. */
export function inputsOf(path: string, { source }: Pick<Loaded, "source">): string[] {
  return [path, ...(source.external ?? []).map((file) => join(dirname(path), file.path))];
}
