/** @file tersor methods: one line for each, by family; with a name all of one, first what matters. */
import { describe, expect, test } from "vitest";
import { main } from "../../src/cli/main.ts";
import { families, methods as table } from "../../src/methods/index.ts";
import { methods } from "../../src/node.ts";
import { familyTitle } from "../../src/report/report.ts";

/** stdout of `tersor methods` on a terminal of that width. */
async function print(columns: number, ...args: string[]) {
  let [stdout, stderr] = ["", ""];
  const status = await main(["methods", ...args], {
    stdout: { write: (text) => (stdout += text), columns },
    stderr: { write: (text) => (stderr += text) },
    signal: new AbortController().signal,
    env: {},
  });
  return { status, stdout, stderr };
}

describe("the list", () => {
  test("has one line a method, under its family", async () => {
    const { stdout } = await print(100);
    const lines = stdout.split("\n");
    for (const [family, entries] of Object.entries(families)) {
      const heading = lines.indexOf(familyTitle(family));
      const ids = Object.keys(entries);
      if (ids.length === 0) expect(heading).toBe(-1);
      else {
        const below = lines.slice(heading + 1, heading + 1 + ids.length);
        expect(below.map((text) => text.trim().split(/ {2,}/)[0])).toEqual(ids);
      }
    }
  });

  test("says what a method needs", async () => {
    const { stdout } = await print(100);
    expect(stdout).toMatch(/^ {2}quantize-int8 +static int8 +data$/m);
    expect(stdout).toMatch(/^ {2}quantize-lsq +learned step size.* training data$/m);
    expect(stdout).toMatch(/^ {2}share-weights +k-means weight sharing$/m);
    expect(stdout).toContain("tersor methods NAME");
    expect(stdout).not.toContain("main options");
    expect((await print(160)).stdout).toMatch(/^ {2}prune-magnitude .* sparsity, scope, /m);
    expect(stdout).toMatch(/^ {2}simplify +/m);
  });

  // Every second where there is least room, every eighth where there is more.
  const named = (width: number): string[] =>
    Object.keys(table).filter((_, i) => i % (width === 60 ? 2 : 8) === 0);

  test.each([60, 80, 120])("fits into %i columns", async (width) => {
    const texts = [
      await print(width),
      ...(await Promise.all(named(width).map((id) => print(width, id)))),
    ];
    for (const { stdout } of texts)
      for (const text of stdout.split("\n")) expect(text.length, text).toBeLessThanOrEqual(width);
  });
});

describe("one method", () => {
  test.each(methods().map((info) => [info.method, info] as const))("%s", async (id, info) => {
    const { status, stdout } = await print(1000, id);
    expect(status).toBe(0);
    for (const text of [info.title, info.summary, info.cite, familyTitle(info.family)])
      expect(stdout).toContain(text);
    const at = (name: string) => stdout.search(new RegExp(`^ {2}${name} `, "m"));
    const further = stdout.indexOf("Further options");
    for (const { name, description, search } of info.options) {
      expect(at(name)).toBeGreaterThan(0);
      expect(stdout).toContain(description);
      // Options with values worth trying come first.
      if (further > 0) expect(at(name) < further, name).toBe(search.length > 0);
    }
  });

  test("an option's values, default, and those worth trying", async () => {
    const { stdout } = await print(100, "share-weights");
    expect(stdout).toMatch(/^ {2}bits {2}1 to 16; default 5; try 2, 3, 4, 5, 6, 8$/m);
  });

  test("with --json it is one object of the list", async () => {
    const { stdout } = await print(100, "pack", "--json");
    expect(JSON.parse(stdout)).toEqual({
      methods: [expect.objectContaining({ method: "pack", survey: [] })],
    });
  });

  test("simplify and presets are explained as well", async () => {
    expect((await print(100, "simplify")).stdout).toContain("outputs stay the same");
    expect((await print(100, "deep-compression")).stdout).toContain("--preset deep-compression");
  });

  test("a name that does not exist", async () => {
    const { status, stdout, stderr } = await print(100, "share-weight");
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toBe(
      'tersor: unknown-method: tersor methods: there is no method "share-weight". Did you mean "share-weights"? See: tersor methods.\n',
    );
  });
});
