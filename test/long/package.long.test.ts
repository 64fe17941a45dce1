/** @file The packed tarball, installed into an empty folder: command line, library, types. */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const place = mkdtempSync(join(tmpdir(), "tersor-package-"));
afterAll(() => rmSync(place, { recursive: true, force: true }));

const run = (command: string, ...parameters: string[]): string =>
  execFileSync(command, parameters, { cwd: place, encoding: "utf8", stdio: "pipe" });

test("works where nothing else is", () => {
  execFileSync(process.execPath, ["scripts/setup.mjs", "build", "studio"], { cwd: root });
  execFileSync("npm", ["pack", "--silent", "--pack-destination", place], { cwd: root });
  writeFileSync(join(place, "package.json"), '{ "type": "module", "private": true }');
  copyFileSync(join(root, "examples/lenet5.onnx"), join(place, "model.onnx"));
  run("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "./tersor-0.1.0.tgz");

  const { totals } = JSON.parse(run("npx", "tersor", "inspect", "model.onnx", "--json"));
  expect(totals.params).toBe(431_080);
  const recipe = ["--recipe", "quantize-weights:bits=4", "-o", "small.onnx", "--json"];
  const { result } = JSON.parse(run("npx", "tersor", "compress", "model.onnx", ...recipe));
  expect(result.alpha.bytes).toBeGreaterThan(7);

  // The studio's page is shipped, its engine comes from onnxruntime-web.
  const shipped = readdirSync(join(place, "node_modules/tersor/dist/studio/assets"));
  expect(shipped.some((name) => name.startsWith("worker-"))).toBe(true);
  expect(shipped.filter((name) => name.endsWith(".wasm"))).toEqual([]);

  writeFileSync(
    join(place, "use.mjs"),
    `import { load, methods, TersorError } from "tersor";
     const { model } = await load("small.onnx");
     const why = await load("none.onnx").catch((error) => error instanceof TersorError && error.code);
     console.log(JSON.stringify([model.graph.inputs.length, methods().length > 7, why]));`,
  );
  expect(run("node", "use.mjs").trim()).toBe('[1,true,"no-such-file"]');

  // A program that uses the types, compiled strictly, library declarations included.
  writeFileSync(
    join(place, "use.ts"),
    `import { compress, load } from "tersor";
     const { result } = await compress(await load("model.onnx"), { recipe: [{ method: "share-weights", bits: 4 }] });
     export const ratio: number = result.alpha.bytes;
     // @ts-expect-error: no such method
     await compress(await load("model.onnx"), { recipe: [{ method: "shrae-weights" }] });
     // @ts-expect-error: no such option
     await compress(await load("model.onnx"), { recipe: [{ method: "share-weights", bit: 4 }] });`,
  );
  copyFileSync(join(root, "examples/own-method.ts"), join(place, "own-method.ts"));
  const flags = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext"];
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  run(
    process.execPath,
    tsc,
    ...flags,
    "--types",
    "node",
    "--typeRoots",
    join(root, "node_modules/@types"),
    "use.ts",
    "own-method.ts",
  );
});
