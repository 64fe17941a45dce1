/** @file Checkpoints as files beside what a command writes: saved whole, gone when all is done. */
import { existsSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Checkpoints } from "../platform.ts";
import { saveFile } from "./files.ts";

export interface FileCheckpoints extends Checkpoints {
  /** Whether anything was gone on from. */
  readonly resumed: boolean;
  /** Takes the files away. */
  clear(): void;
}

/** `output` is the file that the command writes; nothing is read without `resume`. */
export function fileCheckpoints(output: string, resume: boolean): FileCheckpoints {
  const used = new Set<string>();
  const where = (name: string): string => `${output}.${name.replace(/\W+/g, "-")}.checkpoint`;
  let resumed = false;
  return {
    where,
    get resumed() {
      return resumed;
    },
    async load(name) {
      const path = where(name);
      used.add(path);
      if (!resume || !existsSync(path)) return null;
      resumed = true;
      return readFile(path);
    },
    async save(name, bytes) {
      const path = where(name);
      used.add(path);
      await saveFile(path, bytes, { overwrite: true });
    },
    clear() {
      for (const path of used) rmSync(path, { force: true });
    },
  };
}
