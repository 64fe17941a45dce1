/** @file A temporary folder of files for one test, and the words of the error a call ends with. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import { TersorError } from "../../src/errors.ts";
import type { Port } from "../../src/runtime/runtime.ts";

/** Writes `files` by relative path; removed when the test ends. */
export function folder(files: Record<string, Uint8Array | string>): string {
  const root = mkdtempSync(join(tmpdir(), "tersor-data-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  return root;
}

/** The message of the TersorError that `call` rejects with, without the temporary folder's name. */
export async function refusal(call: () => Promise<unknown>, root = ""): Promise<string> {
  try {
    await call();
  } catch (error) {
    if (error instanceof TersorError) return error.message.replaceAll(root || "\0", "");
    throw error;
  }
  return "(no error)";
}

export const port = (
  dims: (number | string)[],
  name = "x",
  dtype: Port["dtype"] = "float32",
): Port => ({
  name,
  dtype,
  dims,
});
