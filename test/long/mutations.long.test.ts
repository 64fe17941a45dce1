/**
 * @file The tests notice mistakes: each mutation of the table is made in a copy of the tree, where the
 * tests that it names have to fail.
 */
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { mutations } from "./mutations.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const place = mkdtempSync(join(tmpdir(), "tersor-mutations-"));
const tree = join(place, "tree");
afterAll(() => rmSync(place, { recursive: true, force: true }));

/** What the tests need besides the packages. */
const needed = ["src", "test", "examples", "package.json", "tsconfig.json", "vitest.config.ts"];

/** Hard links to the files of a folder, or copies where links are not possible. */
function linkFolder(from: string, to: string): void {
  mkdirSync(to);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [old, own] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) linkFolder(old, own);
    else if (entry.isSymbolicLink()) cpSync(old, own, { verbatimSymlinks: true });
    else {
      try {
        linkSync(old, own);
      } catch {
        copyFileSync(old, own);
      }
    }
  }
}

/** The packages. Names with a dot are caches, into which the tests of the copy would write. */
function linkPackages(): void {
  mkdirSync(join(tree, "node_modules"));
  for (const name of readdirSync(join(root, "node_modules"))) {
    const [from, to] = [root, tree].map((folder) => join(folder, "node_modules", name));
    if (!name.startsWith(".")) linkFolder(from, to);
  }
}

interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

/** Runs test files of the copy: their tests as "file: name", with "passed" or "failed". */
function run(files: readonly string[]): Map<string, string> {
  const output = join(place, "report.json");
  rmSync(output, { force: true });
  const { stderr } = spawnSync(
    process.execPath,
    [
      ...["node_modules/vitest/vitest.mjs", "run", "--maxWorkers=1"],
      ...["--reporter=json", `--outputFile=${output}`],
      ...files.map((file) => `test/${file}`),
    ],
    { cwd: tree, encoding: "utf8", timeout: 300_000 },
  );
  if (!existsSync(output)) throw new Error(`vitest has given no report: ${stderr}`);
  const { testResults } = JSON.parse(readFileSync(output, "utf8")) as Report;
  return new Map(
    testResults.flatMap(({ name, assertionResults }) => {
      const file = relative(join(tree, "test"), name).replaceAll("\\", "/");
      return assertionResults.map(({ fullName, status }) => [`${file}: ${fullName}`, status]);
    }),
  );
}

/** The names of the tests with this status. */
const named = (found: ReadonlyMap<string, string>, status: string): string[] =>
  [...found].flatMap(([name, own]) => (own === status ? [name] : []));

const files = [...new Set(mutations.flatMap(({ tests }) => tests))];
/** All of these files without a mutation. */
let sound: ReadonlyMap<string, string>;

beforeAll(() => {
  for (const name of needed) cpSync(join(root, name), join(tree, name), { recursive: true });
  linkPackages();
  sound = run(files);
}, 600_000);

test("without a mutation all tests pass", () => {
  expect(named(sound, "failed")).toEqual([]);
  const passed = named(sound, "passed");
  for (const file of files)
    expect(
      passed.some((name) => name.startsWith(`${file}: `)),
      file,
    ).toBe(true);
});

test.each(mutations)("$name", ({ name, file, from, to, tests }) => {
  const path = join(tree, "src", file);
  const source = readFileSync(path, "utf8");
  const count = source.split(from).length - 1;
  if (count !== 1) {
    const where = `its text is ${count} times in src/${file}`;
    throw new Error(`the mutation "${name}" no longer applies: ${where}: rewrite it`);
  }
  try {
    writeFileSync(
      path,
      source.replace(from, () => to),
    );
    const found = run(tests);
    // Source that cannot be loaded makes a file fail without running its tests.
    const own = [...sound.keys()].filter((key) => tests.some((of) => key.startsWith(`${of}: `)));
    expect([...found.keys()].sort(), "not all tests have run").toEqual(own.sort());
    const failed = named(found, "failed");
    expect(failed.length, "no test fails: write one").toBeGreaterThan(0);
    console.log(`${name}\n${failed.map((key) => `  caught by ${key}`).join("\n")}`);
  } finally {
    writeFileSync(path, source);
  }
});
