/** @file Imports go one way, and what every source file has in common. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { describe, expect, it } from "vitest";

/** A folder (or a file of src/ itself) imports from lines above its own only (DESIGN 2). */
const layers = [
  ["util", "version"],
  ["errors-recipe"],
  ["errors"],
  ["options", "numeric", "targets"],
  ["ir"],
  ["ops", "codec"],
  ["weights"],
  ["unpack", "load"],
  ["onnx", "rewrite"],
  ["train"],
  ["context"],
  ["layers"],
  ["evidence"],
  ["channels", "factor", "filters", "int8", "rounding", "sparsity"],
  ["learned"],
  ["methods"],
  ["runtime"],
  ["platform"],
  ["data"],
  ["nets"],
  ["measure"],
  ["node", "browser", "recipe"],
  ["report"],
  ["api-types"],
  ["api-inputs"],
  ["api"],
  ["index"],
  ["web"],
  ["node.ts"],
  ["cluster"],
  ["cli"],
] as const;

const levels = new Map<string, number>(
  layers.flatMap((names, level) => names.map((name) => [name, level] as const)),
);

const root = new URL("../../src/", import.meta.url);
const files = readdirSync(root, { recursive: true, encoding: "utf8" })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => path.endsWith(".ts"))
  .map((path) => ({ path, text: readFileSync(new URL(path, root), "utf8") }));

/** "ops/infer/dims.ts" -> "ops", "errors.ts" -> "errors"; node.ts is apart from the folder node/. */
function layerOf(path: string): string {
  const [top, ...rest] = path.split("/");
  if (rest.length > 0) return top;
  return existsSync(new URL(`${top.replace(/\.ts$/, "")}/`, root)) ? top : top.replace(/\.ts$/, "");
}

/** Paths in src/ that a file imports, types included, lazily loaded ones too. */
function importsOf(path: string, text: string): string[] {
  const found = text.matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*)["'`](\.[^"'`]+)["'`]/g);
  return [...found].map(([, to]) => posix.join(posix.dirname(path), to));
}

describe("layers", () => {
  it("reads imports", () => {
    const text = `import type { A } from "./a.ts";\nexport { b } from "../util/b.ts";\nawait import("../x/c.ts");import '../y/d.ts'`;
    expect(importsOf("data/idx.ts", text)).toEqual(["data/a.ts", "util/b.ts", "x/c.ts", "y/d.ts"]);
    expect(files.length).toBeGreaterThan(100);
  });

  it("every folder has its place", () => {
    const placeless = files.filter(({ path }) => !levels.has(layerOf(path)));
    expect(placeless.map(({ path }) => path)).toEqual([]);
  });

  it("imports go one way", () => {
    const upward = files.flatMap(({ path, text }) =>
      importsOf(path, text)
        .filter((to) => layerOf(to) !== layerOf(path))
        .filter((to) => !(levels.get(layerOf(to))! < levels.get(layerOf(path))!))
        .map((to) => `${path} imports ${to}`),
    );
    expect(upward).toEqual([]);
  });
});

describe("source files", () => {
  it("begin with what they are", () => {
    const silent = files.filter(({ text }) => !/^(#!.*\n)?\/\*\*\s+(\*\s)?@file\s\S/.test(text));
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  it("print nothing and exit nowhere, but for the command line", () => {
    const loud = files.filter(
      ({ path, text }) =>
        layerOf(path) !== "cli" && /\bconsole\.\w+\(|\bprocess\.(exit|stdout|stderr)\b/.test(text),
    );
    expect(loud.map(({ path }) => path)).toEqual([]);
  });

  it("are short: 400 lines at most", () => {
    const long = files.filter(({ text }) => text.split("\n").length > 401);
    expect(long.map(({ path }) => path)).toEqual([]);
  });

  it("decide no bytes by functions that engines round differently", () => {
    const rounded = /Math\.(exp|expm1|log\w*|pow|a?sinh?|a?cosh?|a?tanh?|atan2|cbrt|hypot)\(/;
    const exact = files.filter(
      ({ path }) =>
        [
          "numeric",
          "codec",
          "weights",
          "layers",
          "evidence",
          "channels",
          "factor",
          "int8",
          "rounding",
          "learned",
          "sparsity",
          "methods",
          "rewrite",
          "nets",
        ].includes(layerOf(path)) && path !== "numeric/statistics.ts", // measures, decides nothing
    );
    expect(exact.length).toBeGreaterThan(40);
    expect(exact.filter(({ text }) => rounded.test(text)).map(({ path }) => path)).toEqual([]);
  });

  it("have named exports only", () => {
    const unnamed = files.filter(({ text }) => /^export default\b/m.test(text));
    expect(unnamed.map(({ path }) => path)).toEqual([]);
  });
});
