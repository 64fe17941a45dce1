/** @file Writes the generated documents, or with --check says which are stale. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { errorsPage } from "./docs/errors.ts";
import { methodsPage } from "./docs/methods.ts";
import { rewritesPage } from "./docs/rewrites.ts";

const root = new URL("../", import.meta.url);

/** Path -> its text. */
const pages: Readonly<Record<string, () => string | Promise<string>>> = {
  "docs/errors.md": () => errorsPage(read("src/errors.ts")),
  "docs/methods.md": methodsPage,
  "docs/rewrites.md": rewritesPage,
};

function read(path: string): string {
  const url = new URL(path, root);
  return existsSync(url) ? readFileSync(url, "utf8") : "";
}

const stale: string[] = [];
for (const [path, write] of Object.entries(pages)) {
  const text = await write();
  if (read(path) === text) continue;
  stale.push(path);
  if (!process.argv.includes("--check")) writeFileSync(new URL(path, root), text);
}
if (process.argv.includes("--check") && stale.length > 0) {
  console.error(`stale: ${stale.join(", ")}. Run: npm run docs`);
  process.exit(1);
}
console.log(stale.length > 0 ? `written: ${stale.join(", ")}` : "all documents are fresh");
