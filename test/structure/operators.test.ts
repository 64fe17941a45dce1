/** @file What is known of an operator by its name is known in src/ops/: everything else asks its tables. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { schemaTable } from "../../src/ops/schema-table.ts";

/** Folders that are about operators by their nature. */
const homes = {
  ops: "the tables",
  onnx: "adapters bring each operator of an older set to today's; packing predicts them",
  rewrite: "a rule says which operators it turns into which",
  codec: "file formats spell operators out",
  nets: "draws networks",
};

/** Files that name operators all the same, and why. */
const exceptions: Readonly<Record<string, string>> = {
  "train/fast-gather.ts":
    "a rewrite of one operator, for training steps only: Gather -> GatherElements",
};

const root = new URL("../../src/", import.meta.url);
const files = readdirSync(root, { recursive: true, encoding: "utf8" })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => path.endsWith(".ts") && !Object.hasOwn(homes, path.split("/")[0]))
  .map((path) => ({ path, text: readFileSync(new URL(path, root), "utf8") }));

const isOp = (text: string): boolean =>
  Object.hasOwn(schemaTable, text.replace(/^com\.microsoft:/, ""));

/**
 * Places that name an operator: a string that is one or a list of some ("Conv", "Add Mul"), a key of
 * a table, a pattern that is held against a node's operator. Building a node is not asking:
 * g.Conv(...), graph.add("Conv", ...), g.many("Split", ...).
 */
function namesIn(text: string): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*/gm, "");
  const found: string[] = [];
  for (const [, builds, , quoted] of code.matchAll(/(\.(?:add|many)\(\s*)?(["'`])(.*?)\2/g)) {
    if (!builds && quoted.split(" ").every(isOp)) found.push(quoted);
  }
  for (const [, key] of code.matchAll(/[{,]\s*([A-Z]\w*)\??:/g)) if (isOp(key)) found.push(key);
  for (const [pattern] of code.matchAll(/\/[^/\n]+\/\w*\.test\([^()]*\bop\b/g)) found.push(pattern);
  const partly = /\bop\??\.(?:match|search|startsWith|endsWith|includes)\(["'`/]/g;
  for (const [part] of code.matchAll(partly)) found.push(part);
  return found;
}

describe("operators by name", () => {
  it("are found in every way to name one", () => {
    expect(namesIn(`if (node.op !== "Conv" || { op: "Relu" }) return;`)).toEqual(["Conv", "Relu"]);
    expect(namesIn(`const sums = new Set(["Add", "Sum"]);`)).toEqual(["Add", "Sum"]);
    expect(namesIn(`new Set("Add Relu Tanh".split(" "))`)).toEqual(["Add Relu Tanh"]);
    expect(namesIn(`switch (node.op) { case "Gemm": }`)).toEqual(["Gemm"]);
    expect(namesIn(`const table = {\n  Conv: 2,\n  Gemm: 2,\n};`)).toEqual(["Conv", "Gemm"]);
    expect(namesIn(`/^(Log)?Softmax$/.test(producer?.op ?? "")`).length).toBe(1);
    expect(namesIn(`op === "com.microsoft:Gelu"`)).toEqual(["com.microsoft:Gelu"]);
    expect(namesIn("op === `Conv` || op === 'Gemm'")).toEqual(["Conv", "Gemm"]);
    expect(namesIn(`node.op.startsWith("Reduce")`)).toEqual(['op.startsWith("']);
    expect(namesIn(`node.op.match(/^Reduce/)`)).toEqual(["op.match(/"]);
  });

  it("but not where nodes are built, in prose, or of another kind", () => {
    expect(namesIn(`graph.add("Conv", [x]); g.many(\n  "Split",\n [x]); g.Relu(x);`)).toEqual([]);
    expect(namesIn(`/** A "Conv" */ // "Gemm"\nwarn("Add one a line");`)).toEqual([]);
    expect(namesIn(`const a = node.op === other.op; pattern.test(node.op);`)).toEqual([]);
  });

  it("are named in src/ops/ and where operators are the subject, nowhere else", () => {
    expect(files.length).toBeGreaterThan(200);
    const naming = files.flatMap(({ path, text }) => {
      const names = namesIn(text);
      return names.length > 0 && !exceptions[path] ? [`${path}: ${names.join(", ")}`] : [];
    });
    expect(naming).toEqual([]);
  });

  it("are left no exception that is none any more", () => {
    const naming = new Set(
      files.flatMap(({ path, text }) => (namesIn(text).length > 0 ? path : [])),
    );
    expect(Object.keys(exceptions).filter((path) => !naming.has(path))).toEqual([]);
  });
});
