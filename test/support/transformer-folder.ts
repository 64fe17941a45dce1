/** @file Writes a small transformer as the folder that transformers.js loads. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TransformerName, transformers } from "../../src/nets/transformers/index.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";

/** Writes `folder`/onnx/*.onnx and the JSON files; the weights are drawn with `seed`. */
export function writeTransformer(
  folder: string,
  name: TransformerName,
  options: Readonly<Record<string, unknown>> = {},
  seed = 1,
): void {
  mkdirSync(join(folder, "onnx"), { recursive: true });
  const net = transformers[name];
  for (const [file, model] of Object.entries(net.make(createRandom(seed), options))) {
    writeFileSync(join(folder, "onnx", `${file}.onnx`), concat(writeModel(model)));
  }
  for (const [file, content] of Object.entries(net.files(options))) {
    writeFileSync(join(folder, file), `${JSON.stringify(content, null, 2)}\n`);
  }
}
