/** @file Finds the shared models and data; without them the tests that need them are skipped. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../shared/assets/", import.meta.url));
let told = false;

/** The absolute path of a shared asset; null if it is missing, of which a note is printed once. */
export function assets(path: string): string | null {
  const file = root + path;
  if (existsSync(file)) return file;
  if (!told) console.info(`skipped: ${root} is missing (tests on real models and data)`);
  told = true;
  return null;
}
