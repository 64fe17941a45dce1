/** @file Finds the shared models and data; tests that need them are skipped, with a reason, without. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../shared/assets/", import.meta.url));
let told = false;

/** Absolute path of a shared asset, or null (printed once) where the folder is missing. */
export function assets(path: string): string | null {
  const file = root + path;
  if (existsSync(file)) return file;
  if (!told) console.info(`skipped: ${root} is missing (tests on real models and data)`);
  told = true;
  return null;
}
