/** @file Writes output files: whole or not at all, and not over an input. */
import { lstatSync, readdirSync, rmSync, statSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errors, fail, TersorError } from "../errors.ts";
import type { Written } from "../onnx/write.ts";

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

/** What a file will hold; or a model, which is written by its name, with external data beside it. */
export type FileContent = Uint8Array | string | ((name: string) => Written);

/**
 * Writes a file. It is written under a temporary name beside `path` and then renamed, so that no
 * reader ever sees a part of it; external data are renamed before the model that reads them. Throws
 * what `checkOutput` throws.
 */
export async function saveFile(
  path: string,
  content: FileContent,
  options: SaveOptions = {},
): Promise<void> {
  checkOutput(path, options);
  const files: { readonly path: string; readonly chunks: Iterable<Uint8Array | string> }[] = [];
  if (typeof content === "function") {
    const { chunks, external, shards = [] } = content(basename(path));
    for (const data of external ? [external, ...shards] : []) {
      files.push({ path: join(dirname(path), data.path), chunks: data.chunks });
    }
    files.push({ path, chunks });
  } else files.push({ path, chunks: [content] });
  const parts = files.map((file) => ({ ...file, temporary: temporaryOf(file.path) }));
  for (const one of parts) checkOutput(one.path, options);
  try {
    for (const { temporary, chunks } of parts) await writeNew(temporary, chunks);
    for (const one of parts) await rename(one.temporary, one.path);
  } catch (cause) {
    for (const { temporary } of parts) await rm(temporary, { force: true });
    if (cause instanceof TersorError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    const why = code === "EACCES" || code === "EROFS" ? "no permission" : (code ?? message);
    throw fail(errors.cannotWrite(path, why, "Write somewhere else with -o"), cause);
  }
}

const temporaryOf = (path: string): string =>
  join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);

async function writeNew(path: string, chunks: Iterable<Uint8Array | string>): Promise<void> {
  // A process of the same number may have been killed while it wrote.
  await rm(path, { force: true });
  const file = await open(path, "wx");
  try {
    for (const chunk of chunks) await file.writeFile(chunk);
  } finally {
    await file.close();
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
