/** @file The studio is built on the published package: it imports no file of src/. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const folder = new URL("../../studio/src/", import.meta.url);
const outside = ["tersor", "preact", "preact/hooks", "@preact/signals"];

test("imports only the package by its name, and its own files", () => {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const sources = files.filter((path) => /\.tsx?$/.test(path));
  expect(sources.length).toBeGreaterThan(10);
  for (const path of sources) {
    const text = readFileSync(new URL(path, folder), "utf8");
    const depth = path.split(/[/\\]/).length - 1;
    for (const [, to] of text.matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*)["'`]([^"'`]+)["'`]/g)) {
      const climbs = to.split("/").filter((part) => part === "..").length;
      expect(
        outside.includes(to) || (to.startsWith(".") && climbs <= depth),
        `${path}: ${to}`,
      ).toBe(true);
    }
  }
});
