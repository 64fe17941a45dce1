/** @file What rewrites models without loss: tersor, and its peers, each in a process of its own. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { readModel } from "../src/onnx/read.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import { rewrite } from "../src/rewrite/index.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const work = `${here}.cache/rewriters/`;
const python = process.env.PEERS_PYTHON ?? `${here}.cache/peers/bin/python`;
/** A tool that has not ended by then, in ms, has failed. */
const limitMs = 120_000;
/**
 * onnxsim folds constants with onnxruntime-web. With the release that npm chooses today, 1.30.0, it
 * never ends on a model that has something to fold; with 1.27.0 it does.
 */
const onnxsim = ["onnxsim@0.7.3", "onnxruntime-web@1.27.0"];

/** Writes a model's rewritten bytes, or throws why not. */
export type Rewriter = (path: string) => Uint8Array;

/** The rewriters by name; without a Python environment for the peers, those of Python are left out. */
export function openRewriters(): Record<string, Rewriter> {
  mkdirSync(work, { recursive: true });
  const all: Record<string, Rewriter> = { tersor, onnxsim: openOnnxsim() };
  if (!existsSync(python)) return all;
  for (const tool of ["onnxscript", "onnxruntime"]) {
    all[tool] = (path) => byProcess(python, [`${here}peers/simplify.py`, tool, path]);
  }
  return all;
}

function tersor(path: string): Uint8Array {
  const model = readModel(new Uint8Array(readFileSync(path)));
  rewrite(model);
  return concat(writeModel(model));
}

/** Installs onnxsim in a temporary folder, so that the project does not depend on it. */
function openOnnxsim(): Rewriter {
  const folder = `${tmpdir()}/tersor-${onnxsim.join("-")}`;
  if (!existsSync(`${folder}/node_modules/onnxsim`)) {
    const args = ["install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund"];
    execFileSync("npm", [...args, ...onnxsim], { stdio: "ignore" });
  }
  return (path) => byProcess(process.execPath, [`${here}peers/simplify.mjs`, folder, path]);
}

/** Runs a tool that reads the file named last in `args` and writes to the name that is added. */
function byProcess(command: string, args: readonly string[]): Uint8Array {
  const out = `${work}out.onnx`;
  rmSync(out, { force: true });
  try {
    execFileSync(command, [...args, out], { stdio: "pipe", timeout: limitMs });
  } catch (cause) {
    throw new Error(reasonOf(cause as NodeJS.ErrnoException & { stderr?: Buffer }));
  }
  return new Uint8Array(readFileSync(out));
}

/** The line of a tool's messages that says most. */
function reasonOf({ code, stderr }: NodeJS.ErrnoException & { stderr?: Buffer }): string {
  if (code === "ETIMEDOUT") return `did not end within ${limitMs / 1000} s`;
  const lines = String(stderr ?? "").split("\n");
  const errors = lines.filter(
    (line) => /\b(error|fail|bad|abort)/i.test(line) && line.length < 400,
  );
  return (errors[0] ?? lines.findLast((line) => line.trim() !== "") ?? "failed").trim();
}
