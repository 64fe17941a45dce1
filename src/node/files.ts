/** @file Writing results: never over an input, never half a file. */
import { lstatSync, statSync } from "node:fs";
import { rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errors, fail } from "../errors.ts";

export interface SaveOptions {
  /** Files that were read: not overwritten however they are spelled or linked. */
  readonly inputs?: readonly string[];
  /** Overwrite what is there, but no input. */
  readonly overwrite?: boolean;
  /** Overwrite even an input. */
  readonly force?: boolean;
}

/**
 * Says early what would stop `saveFile`. Throws TersorError "output-is-input", "output-exists",
 * "cannot-write".
 */
export function checkOutput(path: string, options: SaveOptions = {}): void {
  const { inputs = [], overwrite = false, force = false } = options;
  const folder = statSync(dirname(path) || ".", { throwIfNoEntry: false });
  if (!folder?.isDirectory()) {
    const why = folder ? `${dirname(path)} is no folder` : "its folder does not exist";
    const remedy = folder ? "Name a folder" : `Create it first: mkdir -p ${dirname(path)}`;
    throw fail(errors.cannotWrite(path, why, remedy));
  }
  const target = statSync(path, { throwIfNoEntry: false });
  if (target?.isDirectory() || /[\\/]$/.test(path)) {
    throw fail(errors.cannotWrite(path, "it is a folder", "Name a file in it"));
  }
  // A link that leads nowhere is there, too.
  if (force || !lstatSync(path, { throwIfNoEntry: false })) return;
  const isSame = (input: string): boolean => {
    const read = statSync(input, { throwIfNoEntry: false });
    return read !== undefined && read.ino === target?.ino && read.dev === target?.dev;
  };
  if (inputs.some(isSame)) throw fail(errors.outputIsInput(path));
  if (!overwrite) throw fail(errors.outputExists(path));
}

/** Writes a temporary file beside `path` and renames it: readers see all of it or nothing. */
export async function saveFile(
  path: string,
  bytes: Uint8Array | string,
  options: SaveOptions = {},
): Promise<void> {
  checkOutput(path, options);
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  try {
    await writeFile(temporary, bytes, { flag: "wx" });
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    const { code, message } = cause as NodeJS.ErrnoException;
    const why = code === "EACCES" || code === "EROFS" ? "no permission" : (code ?? message);
    throw fail(errors.cannotWrite(path, why, "Write somewhere else with -o"), cause);
  }
}
