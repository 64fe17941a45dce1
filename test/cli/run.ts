/** @file Runs the command line in this process and keeps what it writes. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main } from "../../src/cli/main.ts";

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** `watch` sees stderr as it is written. */
export async function run(
  argv: readonly string[],
  signal = new AbortController().signal,
  watch: (text: string) => void = () => {},
): Promise<Ran> {
  let [stdout, stderr] = ["", ""];
  const status = await main(argv, {
    stdout: {
      write: (text) => {
        stdout += text;
      },
      columns: 100,
    },
    stderr: {
      write: (text) => {
        stderr += text;
        watch(text);
      },
    },
    signal,
    env: {},
  });
  return { status, stdout, stderr };
}

/** A folder that goes away with `close`. */
export function temporaryFolder() {
  const path = mkdtempSync(join(tmpdir(), "tersor-cli-"));
  return {
    path,
    in: (name: string) => join(path, name),
    /** Every file, folders included. */
    list: () => readdirSync(path, { recursive: true }).map(String).sort(),
    close: () => rmSync(path, { recursive: true, force: true }),
  };
}
