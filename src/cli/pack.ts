/** @file tersor pack: writes a model as one small .tersor file. */
import { checkOutput, saveFile } from "../node/files.ts";
import { load, pack } from "../node.ts";
import { infoOf } from "../recipe/inspect.ts";
import * as format from "../report/format.ts";
import { jsonText, resultReportJson } from "../report/json.ts";
import { packTable } from "../report/pack-table.ts";
import type { Command } from "./command.ts";
import { inputsOf, withEnding } from "./paths.ts";

interface PackFlags {
  readonly output?: string;
  readonly keepNames?: true;
}

export const packCommand: Command<PackFlags> = {
  name: "pack",
  takes: "<model>",
  summary: "Packs a model into one small .tersor file; weights stay the same to the bit.",
  flags: [
    { flags: "-o, --output <file>", doc: "File to write (default: <model>.tersor)." },
    { flags: "--keep-names", doc: "Keep the names of nodes and inner values." },
  ],
  examples: ["tersor pack model.onnx", "tersor pack model.onnx -o small.tersor --json"],
  async run(shell, [path], flags) {
    const model = await load(path, shell.settings);
    const file = flags.output ?? withEnding(path, ".tersor");
    const saving = { inputs: inputsOf(path, model), force: shell.force };
    checkOutput(file, saving);
    const packed = await pack(model, { keepNames: flags.keepNames, file });
    await saveFile(file, packed.bytes, saving);
    const { result } = packed;
    if (shell.json) shell.print(jsonText(resultReportJson("pack", infoOf(model, result), result)));
    else {
      const size = packed.bytes.byteLength;
      const smaller = format.ratio(model.bytes / size);
      shell.print(packTable(packed, shell.table));
      shell.print(`\n${file}: ${format.bytes(size)}, ${smaller} smaller than the ONNX file`);
    }
    return 0;
  },
};
