/** @file What goes to stdout and stderr: errors under --json, --quiet, Ctrl-C, the terminal's width. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { seconds } from "../../src/cli/flags.ts";
import { createShell } from "../../src/cli/shell.ts";
import { writeFixtures } from "./fixtures.ts";
import { run, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
const model = folder.in("model.onnx");
beforeAll(() => writeFixtures(folder));
afterAll(() => folder.close());

describe("--json prints errors as an object, too", () => {
  test("bad input", async () => {
    const { status, stdout, stderr } = await run(["inspect", folder.in("none.onnx"), "--json"]);
    expect(status).toBe(2);
    expect(JSON.parse(stdout)).toEqual({
      error: {
        code: "no-such-file",
        where: folder.in("none.onnx"),
        what: "does not exist",
        remedy: "Check the path",
      },
    });
    expect(stderr).toBe(
      `tersor: no-such-file: ${folder.in("none.onnx")}: does not exist. Check the path.\n`,
    );
  });

  test("usage that is refused before there is a command", async () => {
    const { status, stdout } = await run(["inspct", "--json"]);
    expect(status).toBe(2);
    expect(JSON.parse(stdout).error).toMatchObject({ code: "bad-usage" });
  });

  test("an interruption", async () => {
    const args = ["compress", model, "--preset", "half", "--json"];
    const { status, stdout } = await run(args, AbortSignal.abort());
    expect([status, JSON.parse(stdout).error.code]).toEqual([130, "aborted"]);
  });

  test("a mistake in tersor", async () => {
    const broken = new AbortController().signal;
    Object.defineProperty(broken, "aborted", {
      get: () => {
        throw new RangeError("a bug");
      },
    });
    const args = ["compress", model, "--preset", "half", "--json"];
    const { status, stdout } = await run(args, broken);
    expect(status).toBe(70);
    expect(JSON.parse(stdout).error).toMatchObject({ code: "internal", what: "RangeError: a bug" });
  });
});

describe("--quiet", () => {
  const unlabelled = `jsonl:${folder.in("unlabelled.jsonl")}`;
  const args = ["eval", model, "--data", unlabelled, "--timing", "0.05s"];

  test("prints no warning", async () => {
    expect((await run(args)).stderr).toMatch(/^tersor: warning: /);
    const { status, stderr } = await run([...args, "--quiet"]);
    expect([status, stderr]).toEqual([0, ""]);
  });

  test("prints errors", async () => {
    const { status, stderr } = await run(["inspect", folder.in("none.onnx"), "--quiet"]);
    expect([status, stderr.split("\n").length]).toEqual([2, 2]);
  });
});

describe("Ctrl-C names the command that was run", () => {
  test("a survey goes on with --resume", async () => {
    const args = ["survey", model, "-o", folder.in("out put")];
    const { status, stderr } = await run(args, AbortSignal.abort());
    expect(status).toBe(130);
    expect(stderr).toContain(
      `Go on with:\n  tersor survey ${model} -o '${folder.in("out put")}' --resume\n`,
    );
  });

  test("--resume is not named twice", async () => {
    const args = ["compress", model, "--preset", "half", "--resume", "-o", folder.in("a.onnx")];
    const { stderr } = await run(args, AbortSignal.abort());
    expect(stderr.match(/--resume/g)).toHaveLength(1);
  });

  test("a command without --resume is run again", async () => {
    const { status, stderr } = await run(["bench", model], AbortSignal.abort());
    expect(status).toBe(130);
    expect(stderr).toContain(`Run it again: tersor bench ${model}.\n`);
  });
});

describe("the width of tables", () => {
  const widthOf = (columns: number | undefined, env: Record<string, string>) =>
    createShell(
      [],
      { color: true },
      {
        stdout: { write: () => true, columns },
        stderr: { write: () => true },
        signal: new AbortController().signal,
        env,
      },
    ).table.width;

  test("is the terminal's, else that of COLUMNS, else 100", () => {
    expect(widthOf(60, { COLUMNS: "80" })).toBe(60);
    expect(widthOf(undefined, { COLUMNS: "80" })).toBe(80);
    expect(widthOf(undefined, { COLUMNS: "wide" })).toBe(100);
    expect(widthOf(undefined, {})).toBe(100);
  });
});

describe("times", () => {
  test.each([
    ["500ms", 0.5],
    ["90s", 90],
    ["90", 90],
    ["1.5m", 90],
    ["2min", 120],
    ["1h", 3600],
  ])("%s", (text, expected) => {
    expect(seconds(text, "--budget")).toBe(expected);
  });

  test("0ms is none", () => {
    expect(() => seconds("0ms", "--budget")).toThrow(/is no time/);
  });
});
