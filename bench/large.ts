/**
 * @file How long large decompositions take, and how much memory: 128 singular values of a 1024 x 1024
 * matrix, and VGG-16 by Tucker and SVD. Its weights are drawn with 192 falling directions and noise,
 * because no trained file of it comes with a package. Writes results/large.json.
 * `npm run bench:large`, with PEERS_PYTHON naming a Python that has numpy for numpy's own time.
 */
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, statSync, writeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Context } from "../src/context.ts";
import { cloneModel } from "../src/ir/model.ts";
import { tensor } from "../src/ir/tensor.ts";
import { methodOf } from "../src/methods/index.ts";
import { makeNet } from "../src/nets/index.ts";
import { load } from "../src/node.ts";
import { multiplyTransposed } from "../src/numeric/matrix.ts";
import { createRandom } from "../src/numeric/random.ts";
import { truncatedSvd } from "../src/numeric/randomized-svd.ts";
import { writeModel } from "../src/onnx/write.ts";
import { inferModel } from "../src/ops/infer.ts";
import { weightsOf } from "../src/ops/weights.ts";
import { parseOptions } from "../src/options.ts";
import { writeRun } from "./record.ts";

const folder = fileURLToPath(new URL("../tersor-out/large/", import.meta.url));
const file = `${folder}vgg-16.onnx`;

/** CPU seconds of this process since it started. */
const cpu = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
const rounded = (x: number): number => Number(x.toPrecision(3));

/** Writes VGG-16 with weights A B + noise, the directions of B falling as k^-0.7. */
function make(): void {
  const model = makeNet("vgg-16", 1);
  inferModel(model);
  const random = createRandom(3);
  for (const { value } of weightsOf(model)) {
    const { shape, size } = value.tensor as NonNullable<typeof value.tensor>;
    const [rows] = shape;
    const columns = size / rows;
    const rank = Math.min(192, rows, columns);
    const b = Float64Array.from(
      { length: columns * rank },
      (_, i) => random.normal() * (1 + (i % rank)) ** -0.7,
    );
    const values = new Float32Array(size);
    for (let from = 0; from < rows; from += 256) {
      const height = Math.min(256, rows - from);
      const a = Float64Array.from({ length: height * rank }, () => random.normal());
      const some = multiplyTransposed(a, b, height, columns, rank);
      for (let i = 0; i < some.length; i++) {
        values[from * columns + i] = 0.02 * (some[i] + 0.3 * (random.float() - 0.5));
      }
    }
    value.graph.setConstant(value, tensor("float32", shape, values));
  }
  mkdirSync(folder, { recursive: true });
  const handle = openSync(file, "w");
  for (const chunk of writeModel(model).chunks) writeSync(handle, chunk);
  closeSync(handle);
}

/** CPU seconds for 128 singular values, the least of four runs, and for all of them by numpy. */
function singularValues() {
  const n = 1024;
  const random = createRandom(1);
  const matrix = Float64Array.from({ length: n * n }, () => random.normal());
  const runs = Array.from({ length: 4 }, () => {
    const began = cpu();
    truncatedSvd(matrix, n, n, 128, createRandom(2));
    return cpu() - began;
  });
  const python = process.env.PEERS_PYTHON;
  const code =
    "import numpy as n,time as t\na=n.random.randn(1024,1024)\nr=[]\nfor _ in range(4):\n b=t.process_time();n.linalg.svd(a);r.append(t.process_time()-b)\nprint(min(r))";
  const numpy = python ? Number(execFileSync(python, ["-c", code], { encoding: "utf8" })) : null;
  return { ours: rounded(Math.min(...runs)), numpy: numpy && rounded(numpy) };
}

/** CPU seconds and the most memory of both steps on VGG-16, in MB of 10^6 bytes. */
async function vgg() {
  const { model: start } = await load(file);
  const model = cloneModel(start);
  inferModel(model);
  const opened = process.memoryUsage.rss() / 1e6;
  const context = {
    ...{ hasCalibration: false, random: createRandom(1) },
    skip: (node: string, reason: string) => console.log("skipped", node, reason),
    ...{ warn: console.log, note: console.log, async progress() {} },
  } as unknown as Context;
  const took = async (id: string, given: Record<string, unknown>): Promise<number> => {
    const method = methodOf(id) as NonNullable<ReturnType<typeof methodOf>>;
    const began = cpu();
    await method.apply(model, parseOptions(method.options, given, id) as never, context);
    inferModel(model);
    return rounded(cpu() - began);
  };
  const tucker = await took("factor-tucker", { only: ["conv*"], ranks: "share", budget: 0.4 });
  const svd = await took("factor-svd", { only: ["fc*"], ranks: "share", budget: 0.1 });
  return {
    ...{ tucker, svd, opened: Math.round(opened) },
    most: Math.round(process.resourceUsage().maxRSS / 1e3),
    file: Math.round(statSync(file).size / 1e6),
    written: Math.round(writeModel(model).byteLength / 1e6),
  };
}

if (process.argv[2] === "make") {
  make();
  process.exit(0);
}
// In a process of its own, so that making it does not count as memory.
if (!existsSync(file)) {
  const script = fileURLToPath(import.meta.url);
  execFileSync(process.execPath, [...process.execArgv, script, "make"], { stdio: "inherit" });
}
const network = await vgg();
const result = { command: "npm run bench:large", singularValues: singularValues(), vgg: network };
console.log(JSON.stringify(result));
writeRun("large", result);
process.exit(0);
