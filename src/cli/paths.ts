/** @file Where files go that the user did not name. */
import { basename, dirname, extname, join } from "node:path";
import type { Loaded } from "../recipe/load.ts";

/** Beside the model; a network that is in no file goes into the current folder. */
export function withEnding(path: string, ending: string): string {
  const [, net] = /^net:(.*)$/s.exec(path) ?? [];
  if (net !== undefined) return `${net}${ending}`;
  if (/^https?:/i.test(path)) return `${basename(new URL(path).pathname, ".onnx")}${ending}`;
  const name = /^\.(onnx|tersor)$/i.test(extname(path))
    ? basename(path, extname(path))
    : basename(path);
  return join(dirname(path), `${name}${ending}`);
}

export const isPackedName = (path: string): boolean => /\.tersor$/i.test(path);

/** Files that were read and must not be overwritten. */
export function inputsOf(path: string, { source }: Pick<Loaded, "source">): string[] {
  return [path, ...(source.external ?? []).map((file) => join(dirname(path), file.path))];
}
