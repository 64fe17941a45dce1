/** @file tersor renumber: a pruned vocabulary by new numbers, which a smaller tokenizer.json gives. */
import { existsSync, mkdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { checkOutput, saveFile } from "../node/files.ts";
import { nodePlatform } from "../node/platform.ts";
import { load } from "../node.ts";
import { bytesOf, writeFile } from "../onnx/write.ts";
import { renumberModel } from "../recipe/renumber.ts";
import * as format from "../report/format.ts";
import { jsonText } from "../report/json.ts";
import type { Command } from "./command.ts";
import { whole } from "./flags.ts";
import { inputsOf, withEnding } from "./paths.ts";

interface RenumberFlags {
  readonly tokenizer?: string;
  readonly output?: string;
  readonly unknown?: number;
}

export const renumberCommand: Command<RenumberFlags> = {
  name: "renumber",
  takes: "<model>",
  summary:
    "Takes the table of old token numbers out of a model whose vocabulary was pruned, and writes the tokenizer of the new ones.",
  flags: [
    {
      flags: "--tokenizer <file>",
      doc: "tokenizer.json, or the JSON list of words, that the vocabulary was pruned with (default: tokenizer.json beside the model).",
    },
    {
      flags: "-o, --output <folder>",
      doc: "Folder that gets the model and the tokenizer, under their own names (default: <model>-renumbered).",
    },
    {
      flags: "--unknown <id>",
      doc: "Old number of the token that stands for those that went (default: what the tokenizer says).",
      parse: whole(0),
    },
  ],
  examples: [
    "tersor renumber small.onnx --tokenizer tokenizer.json -o page",
    "tersor renumber small.onnx --tokenizer vocab.json --unknown 1",
  ],
  async run(shell, [path], flags) {
    const loaded = await load(path, shell.settings);
    const plain = withEnding(path, ".onnx");
    const folder = flags.output ?? withEnding(path, "-renumbered");
    const where = flags.tokenizer ?? join(dirname(plain), "tokenizer.json");
    const file = join(folder, basename(plain));
    const beside = join(folder, basename(where));
    const saving = { inputs: [...inputsOf(path, loaded), where], force: shell.force };
    if (existsSync(folder)) for (const output of [file, beside]) checkOutput(output, saving);
    const bytes = await nodePlatform.files.read(where);
    const { model, tokenizer, before, kept, moved, scores, input } = await renumberModel(
      loaded,
      bytes,
      { where, ...(flags.unknown !== undefined && { unknown: flags.unknown }) },
    );
    const written = writeFile(model);
    mkdirSync(folder, { recursive: true });
    await saveFile(file, () => written, saving);
    await saveFile(beside, tokenizer, saving);
    const raw = bytesOf(written);
    const sizes = { before: loaded.bytes, after: raw };
    if (shell.json) {
      const tokens = { before, after: kept.length, moved };
      const files = { file, tokenizer: beside };
      shell.print(jsonText({ command: "renumber", ...files, input, scores, tokens, bytes: sizes }));
      return 0;
    }
    shell.print(`${file}: ${format.bytes(raw)}, before ${format.bytes(loaded.bytes)}`);
    shell.print(`${beside}: ${kept.length} tokens, before ${before}`);
    if (moved.length > 0) {
      const pairs = moved.map(([old, now]) => `${old} -> ${now}`).join(", ");
      shell.note(`Special tokens have other numbers, in config.json as well: ${pairs}`);
    }
    return 0;
  },
};
