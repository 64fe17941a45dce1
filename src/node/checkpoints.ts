/** @file Checkpoints as files beside a command's output; they are removed when the work is done. */
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Cache, Checkpoints } from "../platform.ts";
import { stepOf } from "../train/state.ts";
import { saveFile } from "./files.ts";

/** The checkpoints of one command. */
export interface FileCheckpoints extends Checkpoints {
  /** The last checkpoint that was loaded or saved, and the steps of training in it. */
  readonly last: { readonly path: string; readonly steps: number } | null;
  /** Whether a checkpoint was found and loaded. */
  readonly resumed: boolean;
  /** Deletes all checkpoints of this output, also those of an earlier run. */
  clear(): void;
}

/**
 * Checkpoints named `<output>.<name>.checkpoint`. Without `resume` existing ones are not loaded,
 * and are overwritten at the next save.
 */
export function fileCheckpoints(output: string, resume: boolean): FileCheckpoints {
  const where = (name: string): string => `${output}.${name.replace(/\W+/g, "-")}.checkpoint`;
  let last: FileCheckpoints["last"] = null;
  let resumed = false;
  return {
    where,
    cache: fileCache(join(dirname(output), ".tersor-cache")),
    get last() {
      return last;
    },
    get resumed() {
      return resumed;
    },
    async load(name) {
      const path = where(name);
      if (!resume || !existsSync(path)) return null;
      const bytes = await readFile(path);
      last = { path, steps: stepOf(bytes) };
      resumed = true;
      return bytes;
    },
    async save(name, bytes) {
      const path = where(name);
      await saveFile(path, bytes, { overwrite: true });
      last = { path, steps: stepOf(bytes) };
    },
    clear() {
      const folder = dirname(output);
      const start = `${basename(output)}.`;
      for (const name of existsSync(folder) ? readdirSync(folder) : []) {
        const isOwn =
          name.startsWith(start) && /^[\w-]+\.checkpoint$/.test(name.slice(start.length));
        if (isOwn) rmSync(join(folder, name), { force: true });
      }
    },
  };
}

/** A cache of one file per key in `folder`, which is made when something is saved. */
export function fileCache(folder: string): Cache {
  return {
    async load(key) {
      const path = join(folder, key);
      return existsSync(path) ? readFile(path) : null;
    },
    async save(key, bytes) {
      mkdirSync(folder, { recursive: true });
      await saveFile(join(folder, key), bytes, { overwrite: true });
    },
  };
}
