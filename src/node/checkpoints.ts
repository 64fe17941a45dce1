/** @file Checkpoints as files beside a command's output; they are removed when the work is done. */
import { existsSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Checkpoints } from "../platform.ts";
import { saveFile } from "./files.ts";

/** The checkpoints of one command. */
export interface FileCheckpoints extends Checkpoints {
  /** Whether a checkpoint was found and loaded. */
  readonly resumed: boolean;
  /** Deletes all checkpoints of this run. */
  clear(): void;
}

/**
 * Checkpoints named `<output>.<name>.checkpoint`. Without `resume` existing ones are not loaded,
 * and are overwritten at the next save.
 */
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
