/** @file Imports a user's JavaScript or TypeScript module. */
import { existsSync } from "node:fs";
import { createRequire, register } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { errors, fail } from "../errors.ts";

const useJavaScript = "Write it as .mjs, or run: npm install typescript";
const readsTypeScript = "typescript" in process.features && !!process.features.typescript;
let canStrip = false;

/**
 * Imports a module and resolves with its default export. Where Node cannot read TypeScript itself,
 * the package typescript, if installed, transpiles it. Throws TersorError "no-such-file" or
 * "bad-module".
 */
export async function importModule(path: string): Promise<unknown> {
  const file = resolve(path);
  if (!existsSync(file)) throw fail(errors.noSuchFile(path));
  if (/\.[mc]?ts$/.test(file) && !readsTypeScript) stripTypes(file);
  let found: object;
  try {
    found = await import(pathToFileURL(file).href);
  } catch (error) {
    const why = `cannot be imported (${(error as Error).message})`;
    throw fail(errors.badModule(path, why, "Correct the module"), error);
  }
  if ("default" in found) return found.default;
  throw fail(errors.badModule(path, "has no default export", "Write: export default ..."));
}

/**
 * Registers, once, a loader that transpiles .ts files, also those that the module imports. The
 * package typescript is looked for beside the module first, then beside tersor.
 */
function stripTypes(file: string): void {
  if (canStrip) return;
  for (const base of [file, import.meta.url]) {
    try {
      const typescript = createRequire(base).resolve("typescript");
      register(`data:text/javascript,${encodeURIComponent(loader)}`, {
        parentURL: import.meta.url,
        data: pathToFileURL(typescript).href,
      });
      canStrip = true;
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "MODULE_NOT_FOUND") throw error;
    }
  }
  const why = `is TypeScript, which Node ${process.versions.node} cannot read`;
  throw fail(errors.badModule(file, why, useJavaScript));
}

/**
 * The source of the loader, which Node runs in a thread of its own (module.register, Node 20.6).
 */
const loader = `
import { readFile } from "node:fs/promises";
let ts;
export async function initialize(typescript) {
  ts = (await import(typescript)).default;
}
export async function load(url, context, next) {
  if (!/^file:.*\\.m?ts$/.test(url)) return next(url, context);
  const { outputText } = ts.transpileModule(await readFile(new URL(url), "utf8"), {
    fileName: url,
    compilerOptions: { module: "esnext", target: "es2022", inlineSourceMap: true },
  });
  return { format: "module", source: outputText, shortCircuit: true };
}
`;
