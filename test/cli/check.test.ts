/** @file Models are held against limits; a broken one is status 1, a bad config status 2. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expandGlob } from "../../src/node/expand-globs.ts";
import { configSchema } from "../../src/recipe/check.ts";
import { writeFixtures } from "./fixtures.ts";
import { run, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
const config = folder.in("tersor.config.json");
beforeAll(() => {
  writeFixtures(folder);
  for (const name of ["models/a.onnx", "models/deep/b.onnx", "models/.hidden/c.onnx"]) {
    const file = folder.in(name);
    mkdirSync(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    cpSync(folder.in("model.onnx"), file);
  }
});
afterAll(() => folder.close());

const check = (entries: unknown, ...more: string[]) => {
  writeFileSync(config, JSON.stringify({ check: entries }));
  return run(["check", config, ...more]);
};

describe("check", () => {
  test("passes, breaks and tells; paths are from the config's folder", async () => {
    const markdown = folder.in("check.md");
    const { status, stdout } = await check(
      [
        { model: "models/**/*.onnx", limits: "size<=1MB" },
        { model: "model.onnx", limits: "size<=10" },
      ],
      ...["--json", "--markdown", markdown],
    );
    expect(status).toBe(1);
    const { ok, models } = JSON.parse(stdout);
    expect(ok).toBe(false);
    const files = models.map(({ model }: { model: string }) =>
      model.replace(`${folder.in("")}/`, ""),
    );
    expect(files).toEqual(["models/a.onnx", "models/deep/b.onnx", "model.onnx"]);
    expect(models.map(({ broken }: { broken: string[] }) => broken.length)).toEqual([0, 0, 1]);
    expect(models[2].broken[0]).toMatch(/^size<=10: it is \d+ bytes$/);
    const text = readFileSync(markdown, "utf8");
    expect(text).toMatch(/^### 1 of 3 models break limits\n\n\| {2}\| model/);
    expect(text.match(/\| ok \|/g)).toHaveLength(2);
  });

  test("judges on data, beside an original", async () => {
    const judged = {
      ...{ model: "model.onnx", against: "model.onnx", data: "jsonl:data.jsonl", timing: 0.02 },
      dataOptions: { limit: 20 },
    };
    const good = await check([{ ...judged, limits: "drop<=0, flips<=0" }]);
    expect([good.status, good.stdout.slice(0, 2)]).toEqual([0, "ok"]);
    // A model that cannot be measured is broken, and the others are still measured.
    const gone = { ...judged, against: "gone.onnx", limits: "drop<=0" };
    const { status, stdout } = await check([gone, { ...judged, limits: "speedup>=1000" }]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/BROKEN[^\n]*\n {8}.*gone.onnx: does not exist/);
    expect(stdout).toMatch(/speedup>=1000: it is/);
  });

  test.each([
    [
      [{ model: "model.onnx", limits: "drop<=1", data: "x" }],
      /drop<=1.*compares with an original.*against/,
    ],
    [[{ model: "model.onnx", limits: "accuracy>=1" }], /accuracy>=1.*without data.*data/],
    [[{ model: "model.onnx", limits: "siz<=1" }], /Did you mean "size"/],
    [[{ model: "model.onnx" }], /check.0.limits/],
    [[], /check: /],
    [[{ model: "none/*.onnx", limits: "size<=1" }], /none\/\*.onnx: does not exist/],
  ])("refuses %j", async (entries, message) => {
    const { status, stderr } = await check(entries);
    expect([status, stderr.trim().split("\n").length]).toEqual([2, 1]);
    expect(stderr).toMatch(message);
  });
});

test("globs find files in order, and leave hidden folders alone", () => {
  const names = (pattern: string) =>
    expandGlob(folder.in(pattern)).map((path) => path.replace(`${folder.in("")}/`, ""));
  expect(names("models/*.onnx")).toEqual(["models/a.onnx"]);
  expect(names("models/*/b.onnx")).toEqual(["models/deep/b.onnx"]);
  expect(names("**/?.onnx")).toEqual(["models/a.onnx", "models/deep/b.onnx"]);
  expect(names("models/a.onnx")).toEqual(["models/a.onnx"]);
});

test("the schema for editors is that of the config, and in the docs", () => {
  const file = new URL("../../docs/tersor.config.schema.json", import.meta.url);
  expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(
    JSON.parse(JSON.stringify(configSchema())),
  );
});
