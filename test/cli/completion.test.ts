/** @file The scripts that complete in a shell: run in the shells themselves where they are there. */
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { run } from "./run.ts";

const hasBash = spawnSync("bash", ["-c", "true"]).status === 0;

/** What bash offers for the last of these words. */
async function offered(...words: string[]): Promise<string[]> {
  const { stdout } = await run(["completion", "bash"]);
  const typed = words.map((word) => `'${word}'`).join(" ");
  const { stdout: found, stderr } = spawnSync(
    "bash",
    [
      "-c",
      `${stdout}\nCOMP_WORDS=(${typed}); COMP_CWORD=${words.length - 1}; _tersor; echo "\${COMPREPLY[*]}"`,
    ],
    { encoding: "utf8" },
  );
  expect(stderr).toBe("");
  return found.trim().split(" ");
}

test.skipIf(!hasBash)("bash completes commands, flags and names", async () => {
  expect(await offered("tersor", "comp")).toEqual(["compress", "completion"]);
  expect(await offered("tersor", "compress", "m.onnx", "--pre")).toEqual(["--preset"]);
  expect(await offered("tersor", "compress", "m.onnx", "--preset", "sm")).toEqual([
    "small",
    "smallest",
  ]);
  expect(await offered("tersor", "compress", "--recipe", "factor-sp")).toEqual(["factor-sparse"]);
  expect(await offered("tersor", "methods", "binarize-x")).toEqual(["binarize-xnor"]);
  // Files are left to the shell.
  expect(await offered("tersor", "inspect", "mod")).toEqual([""]);
});

test("fish and zsh have scripts, others are refused", async () => {
  const fish = (await run(["completion", "fish"])).stdout;
  expect(fish).toContain('-n "__fish_seen_subcommand_from compress" -l preset -xa "lossless ');
  expect((await run(["completion", "zsh"])).stdout).toMatch(
    /^autoload .*bashcompinit\n[^]*_tersor/,
  );
  const { status, stderr } = await run(["completion", "csh"]);
  expect([status, stderr]).toEqual([2, expect.stringContaining("Give one of: bash, zsh, fish")]);
});
