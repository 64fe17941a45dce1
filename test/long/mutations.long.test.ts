/**
 * @file The tests notice mistakes: each mutation of the table is applied to a copy of the tree, where
 * the tests that it names have to fail.
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
  symlinkSync,
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

/** What is made from the tree, or belongs to git. */
const left = new Set([".git", "node_modules", "dist", "tersor-out"]);

/** A copy of a folder whose files are hard links, or copies where the other disk takes none. */
function link(from: string, to: string): void {
  mkdirSync(to);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [old, own] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) link(old, own);
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

interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly message: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

/** Runs test files of the copy; the status of each of their tests, by file and full name. */
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
    { cwd: tree, encoding: "utf8" },
  );
  if (!existsSync(output)) throw new Error(`vitest gave no report:\n${stderr}`);
  const { testResults } = JSON.parse(readFileSync(output, "utf8")) as Report;
  return new Map(
    testResults.flatMap(({ name, assertionResults }) =>
      assertionResults.map(
        ({ fullName, status }) =>
          [
            `${relative(join(tree, "test"), name).replaceAll("\\", "/")}: ${fullName}`,
            status,
          ] as const,
      ),
    ),
  );
}

const files = [...new Set(mutations.flatMap(({ tests }) => tests))].sort();
/** The tests of all these files, unchanged. */
let sound: Map<string, string>;

beforeAll(() => {
  cpSync(root, tree, {
    recursive: true,
    filter: (path) => !left.has(relative(root, path)),
  });
  link(join(root, "node_modules"), join(tree, "node_modules"));
  const assets = join(root, "../shared");
  if (existsSync(assets)) symlinkSync(assets, join(place, "shared"), "junction");
  sound = run(files);
}, 600_000);

test("without a mutation they pass", () => {
  const failed = [...sound].filter(([, status]) => status === "failed").map(([name]) => name);
  expect(failed).toEqual([]);
  for (const file of files)
    expect(
      [...sound].some(([name, status]) => name.startsWith(`${file}: `) && status === "passed"),
      file,
    ).toBe(true);
});

test.each(mutations)("$name", ({ name, file, from, to, tests }) => {
  const path = join(tree, "src", file);
  const source = readFileSync(path, "utf8");
  const places = source.split(from).length - 1;
  if (places !== 1) {
    throw new Error(
      `the mutation "${name}" no longer applies: src/${file} contains its text ${places} times: rewrite it`,
    );
  }
  writeFileSync(
    path,
    source.replace(from, () => to),
  );
  try {
    const found = run(tests);
    // The tests have run: a mutation that does not even load says nothing of them.
    const expected = [...sound.keys()].filter((key) =>
      tests.some((own) => key.startsWith(`${own}: `)),
    );
    expect([...found.keys()].sort()).toEqual(expected.sort());
    const failed = [...found].filter(([, status]) => status === "failed").map(([key]) => key);
    expect(failed, "no test fails: write one").not.toEqual([]);
    console.log([`${name}`, ...failed.map((key) => `  caught by ${key}`)].join("\n"));
  } finally {
    writeFileSync(path, source);
  }
});
