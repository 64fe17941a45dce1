/** @file tersor pack: writes a model as one small .tersor file. */
import { errors, fail } from "../errors.ts";
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
  readonly base?: string;
  readonly exact?: true;
}

export const packCommand: Command<PackFlags> = {
  name: "pack",
  takes: "<model>",
  summary:
    "Packs a model into one small .tersor file; weights stay the same to the bit, unless --base is given.",
  flags: [
    { flags: "-o, --output <file>", doc: "File to write (default: <model>.tersor)." },
    {
      flags: "--base <model>",
      doc: "Store only the difference from this model, which unpacking then needs. float32 matrices are kept within the error of int8 weights, all else to the bit.",
    },
    { flags: "--exact", doc: "With --base: keep every bit of the matrices, too." },
    { flags: "--keep-names", doc: "Keep the names of nodes and inner values." },
  ],
  examples: [
    "tersor pack model.onnx",
    "tersor pack model.onnx -o small.tersor --json",
    "tersor pack tuned.onnx --base model.onnx",
  ],
  async run(shell, [path], flags) {
    const model = await load(path, shell.settings);
    if (flags.exact && !flags.base) {
      throw fail(
        errors.badUsage(
          "--exact",
          "says how --base stores",
          "Give --base, or leave it out: without it every bit is kept",
        ),
      );
    }
    const base = flags.base ? await load(flags.base, shell.settings) : undefined;
    const file = flags.output ?? withEnding(path, ".tersor");
    const saving = {
      inputs: [...inputsOf(path, model), ...(base && flags.base ? inputsOf(flags.base, base) : [])],
      force: shell.force,
    };
    checkOutput(file, saving);
    const packed = await pack(model, {
      keepNames: flags.keepNames,
      base,
      exact: flags.exact,
      file,
    });
    await saveFile(file, packed.bytes, saving);
    const { result } = packed;
    if (shell.json) shell.print(jsonText(resultReportJson("pack", infoOf(model, result), result)));
    else {
      const size = packed.bytes.byteLength;
      const smaller = format.ratio(model.bytes / size);
      shell.print(packTable(packed, shell.table));
      shell.print(`\n${file}: ${format.bytes(size)}, ${smaller} smaller than the ONNX file`);
      if (flags.base) {
        const kept = flags.exact
          ? "Every bit is kept"
          : "Matrices are kept within the error of int8";
        shell.print(`${kept}; to unpack: tersor unpack ${file} --base ${flags.base}`);
      }
    }
    return 0;
  },
};
