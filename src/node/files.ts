/** @file Writes output files: whole or not at all, and not over an input. */
import { lstatSync, readdirSync, rmSync, statSync } from "node:fs";
import { rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errors, fail } from "../errors.ts";

/** Which existing files may be overwritten. */
export interface SaveOptions {
  /** Files that were read. They are not overwritten, even under another path or through a link. */
  readonly inputs?: readonly string[];
  /** Overwrite an existing file, unless it is an input (default false). */
  readonly overwrite?: boolean;
  /** Overwrite an existing file, even an input (default false). */
  readonly force?: boolean;
}

/**
 * Checks whether `saveFile` may write to `path`, so that a command can fail before it does any
 * work. Throws TersorError "output-is-input", "output-exists" or "cannot-write".
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
  // lstat, because a link whose target is missing also counts as an existing file.
  if (force || !lstatSync(path, { throwIfNoEntry: false })) return;
  const isSame = (input: string): boolean => {
    const read = statSync(input, { throwIfNoEntry: false });
    return read !== undefined && read.ino === target?.ino && read.dev === target?.dev;
  };
  if (inputs.some(isSame)) throw fail(errors.outputIsInput(path));
  if (!overwrite) throw fail(errors.outputExists(path));
}

/**
 * Writes a file. It is written under a temporary name beside `path` and then renamed, so that no
 * reader ever sees a part of it. Throws what `checkOutput` throws.
 */
export async function saveFile(
  path: string,
  bytes: Uint8Array | string,
  options: SaveOptions = {},
): Promise<void> {
  checkOutput(path, options);
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  try {
    // A process of the same number may have been killed while it wrote.
    await rm(temporary, { force: true });
    await writeFile(temporary, bytes, { flag: "wx" });
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    const { code, message } = cause as NodeJS.ErrnoException;
    const why = code === "EACCES" || code === "EROFS" ? "no permission" : (code ?? message);
    throw fail(errors.cannotWrite(path, why, "Write somewhere else with -o"), cause);
  }
}

/** Removes what `saveFile` left in a folder where its process was killed while it wrote. */
export function sweepTemporaries(folder: string): void {
  for (const name of readdirSync(folder)) {
    const [, owner] = /^\..*\.(\d+)\.tmp$/.exec(name) ?? [];
    if (owner && !isRunning(Number(owner))) rmSync(join(folder, name), { force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0); // signal 0 only asks
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
