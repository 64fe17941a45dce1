/** @file What depends on what is installed, in a plain Node without our packages or test runner. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import ts from "typescript";
import { expect, it } from "vitest";
import { folder } from "../data/folder.ts";

const root = new URL("../../", import.meta.url);
const sources = [
  "errors",
  "errors-recipe",
  "util/error",
  "data/resize",
  "node/decode-image",
  "node/import-module",
];

/** Runs `script` beside our compiled sources in an empty folder; gives what it prints. */
function run(script: string, files: Record<string, string> = {}): string {
  const compilerOptions = {
    module: ts.ModuleKind.ESNext,
    target: ts.ScriptTarget.ES2022,
    rewriteRelativeImportExtensions: true,
  };
  const compiled = sources.map((name) => {
    const text = readFileSync(new URL(`src/${name}.ts`, root), "utf8");
    return [`dist/${name}.js`, ts.transpileModule(text, { compilerOptions }).outputText];
  });
  const place = folder({
    "package.json": '{"type":"module"}',
    ...Object.fromEntries(compiled),
    "run.js": script,
    ...files,
  });
  return execFileSync(process.execPath, ["run.js"], { cwd: place, encoding: "utf8" })
    .trim()
    .replaceAll(place, "");
}

const load = `import { importModule } from "./dist/node/import-module.js";
const show = (call) => call.then((x) => console.log(JSON.stringify(x)), (e) => console.log(e.message));
`;

/** Stands for an installed typescript: a package that hands out the real one. */
const typescript = {
  "node_modules/typescript/package.json": '{"main":"index.cjs"}',
  "node_modules/typescript/index.cjs": `module.exports = require(${JSON.stringify(new URL("node_modules/typescript/lib/typescript.js", root).pathname)});`,
};
const data = {
  "data.ts":
    'import { one } from "./one.ts";\nconst label: number = one;\nexport default [{ label }];',
  "one.ts": "export const one = 1 as const;",
};
const native = "typescript" in process.features && process.features.typescript;

it("imports a user's TypeScript, and the TypeScript that imports", () => {
  expect(run(`${load}await show(importModule("data.ts"));`, { ...data, ...typescript })).toBe(
    '[{"label":1}]',
  );
});

it.skipIf(native)("names the remedy where nothing can read TypeScript", () => {
  expect(run(`${load}await show(importModule("data.ts"));`, data)).toBe(
    `bad-module: /data.ts: is TypeScript, which Node ${process.versions.node} cannot read. Write it as .mjs, or run: npm install typescript.`,
  );
});

it("imports JavaScript as it is", () => {
  expect(
    run(`${load}await show(importModule("data.mjs"));`, { "data.mjs": "export default 5" }),
  ).toBe("5");
});

it("names the remedy where sharp is missing", () => {
  const script = `import { decodeImage } from "./dist/node/decode-image.js";
    await decodeImage(new Uint8Array(3)).catch((e) => console.log(e.message));`;
  expect(run(script)).toBe(
    "package-missing: images: needs the package sharp, which is not installed. Run: npm install sharp.",
  );
});
