/** @file Names of files that follow from what the user typed for a model. */
import { basename, dirname, extname, join, relative, sep } from "node:path";
import type { Loaded } from "../recipe/load.ts";
import { decoded, isAddress, netFile, netIn, pathOf, urlOf } from "../util/address.ts";

/**
 * The path of a model: that of a file URL, and as it was typed for a file. A `net:` name and an
 * address on the web have none; theirs is the name that a copy in the current folder would have.
 */
export function modelName(typed: string): string {
  const net = netIn(typed);
  if (net !== null) return netFile(net);
  const url = isAddress(typed) ? urlOf(typed) : null;
  if (!url) return typed;
  if (url.protocol === "file:") return pathOf(url) ?? typed;
  const name = basename(url.pathname);
  return decoded(name) || name || url.hostname;
}

/** The path of a model with another ending, in place of .onnx or .tersor. */
export function withEnding(typed: string, ending: string): string {
  const path = modelName(typed);
  const isModel = /^\.(onnx|tersor)$/i.test(extname(path));
  const name = isModel ? basename(path, extname(path)) : basename(path);
  return join(dirname(path), `${name}${ending}`);
}

/** Whether the name is that of a .tersor file. */
export const isPackedName = (path: string): boolean => /\.tersor$/i.test(path);

/** The files that a model was read from, which must not be overwritten. */
export function inputsOf(typed: string, { source }: Pick<Loaded, "source">): string[] {
  const path = modelName(typed);
  return [path, ...(source.external ?? []).map((file) => join(dirname(path), file.path))];
}

/**
 * Gives the address of a file in a page that is written to `page`: relative to it, so that both can
 * be moved together.
 */
export function linkFrom(page: string): (file: string) => string {
  return (file) => {
    const parts = relative(dirname(page), file).split(sep).map(encodeURIComponent);
    return parts[0] === ".." ? parts.join("/") : `./${parts.join("/")}`;
  };
}
