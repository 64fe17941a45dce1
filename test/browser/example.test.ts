/** @file The example for browsers: it builds, and the page has the elements that it looks for. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const folder = `${root}examples/browser`;

/** Bundles a program for a page, with tersor as a browser would get it. */
const bundle = (contents: string) =>
  build({
    stdin: { contents, resolveDir: folder },
    alias: { "tersor/unpack": `${root}src/unpack.ts`, tersor: `${root}src/web.ts` },
    bundle: true,
    format: "esm",
    platform: "browser",
    write: false,
    logLevel: "silent",
  });

test("builds, and every name that it imports exists", async () => {
  const { warnings, outputFiles } = await bundle(readFileSync(`${folder}/main.js`, "utf8"));
  expect(warnings).toEqual([]);
  expect(outputFiles).toHaveLength(1);
  await expect(bundle('import { compres } from "tersor"; compres();')).rejects.toThrow(
    /No matching export .* "compres"/,
  );
});

test("the page has what the program looks for", () => {
  const page = readFileSync(`${folder}/index.html`, "utf8");
  const program = readFileSync(`${folder}/main.js`, "utf8");
  const ids = [...program.matchAll(/getElementById\("(\w+)"\)/g)].map(([, id]) => id);
  expect(ids.length).toBeGreaterThan(1);
  for (const id of ids) expect(page).toContain(`id="${id}"`);
});
