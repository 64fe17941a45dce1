/** @file Files that documents and comments name exist. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");

const pages = ["README.md", "ARCHITECTURE.md", "AGENTS.md", "CONTRIBUTING.md", "CHANGELOG.md"];
const below = (folder: string, ending: string): string[] =>
  readdirSync(join(root, folder), { recursive: true })
    .map((name) => join(folder, String(name)))
    .filter((path) => path.endsWith(ending));

const path =
  /\b(?:src|test|bench|scripts|examples|docs)\/[\w./-]*\.(?:tsx?|m?js|json|md|py|onnx)\b/g;
/** Names of files that are to be written by the reader, in instructions. */
const examples = ["src/methods/structured/tensor-train.ts"];

test("paths in documents and comments lead to files", () => {
  const texts = [...pages, ...below("docs", ".md"), ...below("src", ".ts")];
  const missing = texts.flatMap((text) =>
    [...read(text).matchAll(path)]
      .map(([found]) => found)
      .filter((found) => !examples.includes(found) && !existsSync(join(root, found)))
      .map((found) => `${text}: ${found}`),
  );
  expect(missing).toEqual([]);
});
