/**
 * @file CPU and peak memory of tersor's commands on large models: inspect, int4 by two methods
 * without measuring, pack, simplify. Each command is a process of its own. Writes results/scale.json.
 * `npm run bench:scale`, or with names of models: `npm run bench:scale -- chain-3000 decoder`.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { writeRun } from "./record.ts";
import { make, makers } from "./scale/make.ts";

const folder = fileURLToPath(new URL("../tersor-out/scale/", import.meta.url));
const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

/** Runs a command under /usr/bin/time; CPU seconds and peak MB, or why it failed. */
function timed(args: readonly string[]): { cpu: number; mb: number; failed?: string } {
  const { status, stderr } = spawnSync("/usr/bin/time", ["-f", "%U %S %M", "node", main, ...args], {
    encoding: "utf8",
  });
  const lines = stderr.trim().split("\n");
  const [user, system, kb] = (lines.at(-1) ?? "").split(" ").map(Number);
  const figures = { cpu: Number((user + system).toFixed(1)), mb: Math.round(kb / 1024) };
  return status === 0 ? figures : { ...figures, failed: lines.at(-2) ?? `exit ${status}` };
}

const commands: Readonly<Record<string, (model: string) => readonly string[]>> = {
  inspect: (model) => ["inspect", model, "--json"],
  simplify: (model) => [
    "compress",
    model,
    "--recipe",
    "simplify",
    "-o",
    `${model}.s.onnx`,
    "--no-measure",
    "--force",
  ],
  "quantize-weights": (model) => [
    "compress",
    model,
    "--recipe",
    "quantize-weights:bits=4",
    "-o",
    `${model}.w.onnx`,
    "--no-measure",
    "--force",
  ],
  "quantize-hqq": (model) => [
    "compress",
    model,
    "--recipe",
    "quantize-hqq:bits=4",
    "-o",
    `${model}.h.onnx`,
    "--no-measure",
    "--force",
  ],
  pack: (model) => ["pack", `${model}.w.onnx`, "-o", `${model}.tersor`, "--force"],
};

const wanted = process.argv.slice(2);
const ids = wanted.filter((id) => id in makers);
const only = wanted.filter((id) => id in commands);
mkdirSync(folder, { recursive: true });
const rows: object[] = [];
for (const id of ids.length > 0 ? ids : Object.keys(makers)) {
  const model = `${folder}${id}.onnx`;
  if (!existsSync(model)) make(id, model);
  const data = `${model}.data`;
  const bytes = statSync(model).size + (existsSync(data) ? statSync(data).size : 0);
  for (const [command, argsOf] of Object.entries(commands)) {
    if (only.length > 0 && !only.includes(command)) continue;
    const row = { model: id, bytes, command, ...timed(argsOf(model)) };
    console.log(JSON.stringify(row));
    rows.push(row);
  }
}
if (wanted.length === 0) {
  writeRun("scale", { rows });
  rmSync(folder, { recursive: true, force: true });
}
