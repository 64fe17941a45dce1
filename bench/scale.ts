/**
 * @file CPU and peak memory of tersor's commands on large models, each a process of its own, and of
 * onnxruntime.quantization on the same ones where PEERS_PYTHON names a Python that has it. Nothing is
 * measured of the products here. Writes results/scale.json. `npm run bench:scale`, or with names of
 * models and commands: `npm run bench:scale -- decoder-6gb int4`.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readRun, writeRun } from "./record.ts";
import { make, makers } from "./scale/make.ts";

/** One command on one model. */
export interface ScaleRow {
  readonly model: string;
  /** Bytes of the model and of its external data. */
  readonly bytes: number;
  readonly command: string;
  /** CPU seconds of the process, of its user and of the system. */
  readonly cpu: number;
  /** Peak resident memory, MB. */
  readonly mb: number;
  /** Wall seconds; other work may have run at the same time. */
  readonly wall: number;
  /** Bytes of what was written; null where nothing was. */
  readonly written: number | null;
  readonly failed?: string;
}

const folder = fileURLToPath(new URL("../tersor-out/scale/", import.meta.url));
const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const main = at("../dist/cli/main.js");
const python = process.env.PEERS_PYTHON;

const bytesOf = (file: string): number =>
  [file, `${file}.data`].reduce((sum, f) => sum + (existsSync(f) ? statSync(f).size : 0), 0);

const remove = (file: string): void => {
  for (const path of [file, `${file}.data`]) rmSync(path, { force: true });
};

/** Runs a program under /usr/bin/time. */
function timed(program: readonly string[]) {
  const { status, stderr } = spawnSync("/usr/bin/time", ["-f", "%U %S %e %M", ...program], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  const lines = stderr.trim().split("\n");
  const [user, system, wall, kb] = (lines.at(-1) ?? "").split(" ").map(Number);
  const figures = { cpu: Number((user + system).toFixed(1)), mb: Math.round(kb / 1000), wall };
  return status === 0 ? figures : { ...figures, failed: lines.at(-2) ?? `exit ${status}` };
}

const recipe = (text: string) => (model: string, to: string) => [
  ...["node", main, "compress", model, "--recipe", text, "-o", to, "--no-measure", "--force"],
];
/** With records of random numbers. */
const calibrated = (text: string, data: string) => (model: string, to: string) => [
  ...recipe(text)(model, to),
  ...["--calib", at(`scale/${data}.mjs`)],
];
/** The caches of two layers, empty. */
const caches = [0, 1]
  .flatMap((i) => ["key", "value"].map((part) => `past_key_values.${i}.${part}=zeros`))
  .join();
const peer = (job: string) => (model: string, to: string) => [
  ...[python ?? "", at("scale/peer.py"), job, model, to],
];

interface ScaleCommand {
  readonly run: (model: string, to: string) => readonly string[];
  /** The models that it is for; all unless given. */
  readonly only?: RegExp;
  /** How its product ends. */
  readonly ending?: string;
  /** The product of this command takes the place of the model. */
  readonly of?: string;
  readonly isPeer?: true;
}

const int4 = "quantize-weights:bits=4,block=32,kernel=integer";
const commands: Readonly<Record<string, ScaleCommand>> = {
  copy: {
    run: (model, to) => ["node", at("scale/copy.mjs"), `${model}.data`, "0.156", to],
    only: /^decoder/,
  },
  inspect: { run: (model) => ["node", main, "inspect", model, "--json"] },
  simplify: { run: recipe("simplify") },
  int4: { run: recipe(`${int4},scale=minmax`) },
  "int4, least squares": { run: recipe(int4), only: /^(bert|decoder-4gb)/ },
  hqq: { run: recipe("quantize-hqq:bits=4"), only: /^(bert|decoder-2-layers)/ },
  gptq: {
    run: (model, to) => [
      ...calibrated("quantize-gptq:bits=4,block=32", "tokens")(model, to),
      ...["--input", caches],
    ],
    only: /^decoder-2-layers/,
  },
  pack: {
    run: (model, to) => ["node", main, "pack", model, "-o", to, "--force"],
    of: "int4",
    ending: ".tersor",
  },
  dynamic: { run: recipe("quantize-dynamic"), only: /^bert/ },
  static: { run: calibrated("quantize-int8", "pictures"), only: /^resnet/ },
  "peer int4": { run: peer("int4"), only: /^decoder/, isPeer: true },
  "peer dynamic": { run: peer("dynamic"), only: /^bert/, isPeer: true },
  "peer static": { run: peer("static"), only: /^resnet/, isPeer: true },
};

const wanted = process.argv.slice(2);
const ids = wanted.filter((id) => id in makers);
const only = wanted.filter((id) => id in commands);
mkdirSync(folder, { recursive: true });
for (const id of ids.length > 0 ? ids : Object.keys(makers)) {
  const model = `${folder}${id}.onnx`;
  if (!existsSync(model)) make(id, model);
  const bytes = bytesOf(model);
  for (const [command, own] of Object.entries(commands)) {
    if (only.length > 0 && !only.includes(command)) continue;
    if ((own.only && !own.only.test(id)) || (own.isPeer && !python)) continue;
    const from = own.of ? `${folder}${id}.${own.of}.onnx` : model;
    const to = `${folder}${id}.${command.replaceAll(/\W+/g, "-")}${own.ending ?? ".onnx"}`;
    remove(to);
    const figures = timed(own.run(from, to));
    const written = existsSync(to) ? bytesOf(to) : null;
    const row: ScaleRow = { model: id, bytes, command, ...figures, written };
    console.log(JSON.stringify(row));
    const rows = (readRun<{ rows: ScaleRow[] }>("scale")?.rows ?? []).filter(
      (one) => one.model !== id || one.command !== command,
    );
    writeRun("scale", { rows: [...rows, row] });
    if (command !== "int4") remove(to);
  }
  if (wanted.length === 0) {
    remove(model);
    remove(`${folder}${id}.int4.onnx`);
  }
}
