/** @file tersor unpack: writes the ONNX file that a .tersor file holds. */
import { isPacked } from "../codec/decode/container.ts";
import { errors, fail } from "../errors.ts";
import { checkOutput, saveFile } from "../node/files.ts";
import { nodePlatform } from "../node/platform.ts";
import { load } from "../node.ts";
import { unpacked } from "../recipe/load.ts";
import * as format from "../report/format.ts";
import { jsonText } from "../report/json.ts";
import type { Command } from "./command.ts";
import { modelName, withEnding } from "./paths.ts";

interface UnpackFlags {
  readonly output?: string;
  readonly base?: string;
}

export const unpackCommand: Command<UnpackFlags> = {
  name: "unpack",
  takes: "<file>",
  summary: "Unpacks a .tersor file into an ONNX file, which any ONNX Runtime opens.",
  flags: [
    { flags: "-o, --output <file>", doc: "File to write (default: <file>.onnx)." },
    { flags: "--base <model>", doc: "For a delta: the model that pack had as --base." },
  ],
  examples: [
    "tersor unpack model.tersor",
    "tersor unpack small.tersor -o model.onnx",
    "tersor unpack tuned.tersor --base model.onnx",
  ],
  async run(shell, [path], flags) {
    const bytes = await nodePlatform.files.read(/^file:/i.test(path) ? modelName(path) : path);
    if (!isPacked(bytes)) {
      throw fail(errors.badPacked(path, "it does not begin as a .tersor file does"));
    }
    const file = flags.output ?? withEnding(path, ".onnx");
    const saving = {
      inputs: [modelName(path), ...(flags.base ? [modelName(flags.base)] : [])],
      force: shell.force,
    };
    checkOutput(file, saving);
    const base = flags.base ? await load(flags.base, shell.settings) : null;
    const model = await unpacked(bytes, path, base);
    await saveFile(file, model, saving);
    if (shell.json) {
      const sizes = { raw: model.byteLength, gzip: null, brotli: null, packed: bytes.byteLength };
      shell.print(jsonText({ command: "unpack", file, bytes: sizes }));
    } else shell.print(`${file}: ${format.bytes(model.byteLength)}`);
    return 0;
  },
};
