/** @file compress for every model of a pattern: one faulty model does not keep the others. */
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeFixtures } from "./fixtures.ts";
import { run, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
const pattern = folder.in("zoo/*.onnx");
const recipe = ["--recipe", "store-float16", "--no-measure"];
beforeAll(() => {
  writeFixtures(folder);
  mkdirSync(folder.in("zoo"));
  mkdirSync(folder.in("small"));
  for (const name of ["a", "c"])
    copyFileSync(folder.in("model.onnx"), folder.in(`zoo/${name}.onnx`));
  writeFileSync(folder.in("zoo/b.onnx"), "no model");
  // What an earlier run made of a model is no model to compress.
  copyFileSync(folder.in("model.onnx"), folder.in("zoo/a.fast.onnx"));
});
afterAll(() => folder.close());

test("each is written, and what is wrong with one is said", async () => {
  const { status, stdout, stderr } = await run(["compress", pattern, ...recipe, "--json"]);
  expect(status).toBe(2);
  const { command, models } = JSON.parse(stdout);
  expect(command).toBe("compress");
  expect(models.map(({ model }: { model: { name: string } }) => model.name)).toEqual(
    ["a", "b", "c"].map((name) => folder.in(`zoo/${name}.onnx`)),
  );
  expect(models[1].error.code).toBe("not-a-model");
  expect(models[2].result.file).toBe(folder.in("zoo/c.tersor.onnx"));
  expect(stderr).toContain(`1 model of 3 failed: ${folder.in("zoo/b.onnx")}`);
  expect(existsSync(folder.in("zoo/a.fast.tersor.onnx"))).toBe(false);
});

test("into a folder, where a missed target is status 1", async () => {
  const args = ["compress", folder.in("zoo/?.onnx"), ...recipe];
  const into = ["-o", folder.in("small"), "--target", "size<=1B"];
  const { status, stdout } = await run(["compress", folder.in("model*.onnx"), ...recipe, ...into]);
  expect([status, existsSync(folder.in("small/model.tersor.onnx"))]).toEqual([1, true]);
  expect(stdout).toContain(folder.in("small/model.tersor.onnx"));
  expect((await run([...args, "-o", folder.in("one.onnx")])).stderr).toContain("Name a folder");
  expect((await run([...args, "--report", "r.html"])).stderr).toContain(
    "--report is for one model",
  );
  const none = await run(["compress", folder.in("none*.onnx"), ...recipe]);
  expect([none.status, none.stderr]).toEqual([2, expect.stringContaining("no-such-file")]);
});
