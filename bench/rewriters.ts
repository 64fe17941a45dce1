/**
 * @file What rewrites models without loss: tersor, and its peers, each in a process of its own. The
 * files of peers are kept in .cache/rewriters, by the peer's version, because they never change.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname } from "node:path";
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
/** As in peers/requirements.txt. */
const inPython = { onnxscript: "0.7.2", onnxruntime: "1.30.0" };

/** Writes a model's rewritten bytes, or throws why not. */
export type Rewriter = (path: string) => Uint8Array;

/** The rewriters by name; without a Python environment for the peers, those of Python are left out. */
export function openRewriters(): Record<string, Rewriter> {
  mkdirSync(work, { recursive: true });
  const all: Record<string, Rewriter> = { tersor, onnxsim: openOnnxsim() };
  if (!existsSync(python)) return all;
  for (const [tool, version] of Object.entries(inPython)) {
    const args = [`${here}peers/simplify.py`, tool];
    all[tool] = (path) => byProcess(`${tool}-${version}`, path, python, args);
  }
  return all;
}

export function tersor(path: string): Uint8Array {
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
  const args = [`${here}peers/simplify.mjs`, folder];
  return (path) => byProcess(onnxsim[0], path, process.execPath, args);
}

/** Runs a tool that reads `path` and writes the file named after it, the last two arguments. */
function byProcess(
  tool: string,
  path: string,
  command: string,
  args: readonly string[],
): Uint8Array {
  const out = `${work}${tool}/${basename(path)}`;
  mkdirSync(dirname(out), { recursive: true });
  if (existsSync(out)) return new Uint8Array(readFileSync(out));
  try {
    execFileSync(command, [...args, path, out], { stdio: "pipe", timeout: limitMs });
  } catch (cause) {
    rmSync(out, { force: true });
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
