/** @file tersor inspect: the layers of a model with the bytes, MACs and time of each. */
import { errors, fail } from "../errors.ts";
import { checkOutput, saveFile } from "../node/files.ts";
import { inspect, load } from "../node.ts";
import { type SensitivityOptions, sensitivityRecipes } from "../recipe/sensitivity.ts";
import { sensitivityPage } from "../report/html-sensitivity.ts";
import { inspectJson, jsonText } from "../report/json.ts";
import { sensitivityTable } from "../report/sensitivity.ts";
import { layerTable } from "../report/table.ts";
import type { Command } from "./command.ts";
import { type DataFlags, dataFlags, dataSettings, whole } from "./flags.ts";
import { inputsOf } from "./paths.ts";

interface InspectFlags extends DataFlags {
  readonly sensitivity?: true;
  readonly recipe?: readonly string[];
  readonly records?: number;
  readonly report?: string;
}

export const inspectCommand: Command<InspectFlags> = {
  name: "inspect",
  takes: "<model>",
  summary: "Lists the layers of a model with their parameters, MACs, bytes and measured time.",
  flags: [
    {
      flags: "--sensitivity",
      doc: "Also compress each layer alone and measure on --data what the outputs lose.",
    },
    {
      flags: "--recipe <recipe>",
      doc: `With --sensitivity: a recipe to try on each layer; may be given several times (default: ${sensitivityRecipes(true).join(", ")}).`,
      repeats: true,
    },
    {
      flags: "--records <n>",
      doc: "With --sensitivity: records to measure on (default 256).",
      parse: whole(1),
    },
    {
      flags: "--report <file>",
      doc: "With --sensitivity: write an HTML page with the damage of each layer as a plot, and the recipes to copy.",
    },
    ...dataFlags,
  ],
  examples: [
    "tersor inspect model.onnx",
    "tersor inspect model.onnx --dims H=224,W=224 --json",
    "tersor inspect model.onnx --sensitivity --data mnist:test --recipe share-weights:bits=3",
    "tersor inspect model.onnx --sensitivity --data mnist:test --report sensitivity.html",
    "tersor inspect net:resnet-20",
  ],
  async run(shell, [path], flags) {
    const sensitivity = sensitivityOf(flags);
    const settings = { ...shell.settings, ...dataSettings(flags), sensitivity };
    const model = await load(path, shell.settings);
    const saving = { inputs: inputsOf(path, model), force: shell.force };
    if (flags.report !== undefined) checkOutput(flags.report, saving);
    const found = await inspect(model, settings);
    if (flags.report !== undefined && found.sensitivity) {
      const { commandLine } = shell;
      const about = { commandLine, date: new Date().toISOString(), data: flags.data ?? null };
      await saveFile(flags.report, sensitivityPage(found, found.sensitivity, about), saving);
    }
    if (shell.json) shell.print(jsonText(inspectJson(found)));
    else {
      const { sensitivity: layers } = found;
      const parts = [layerTable(found, shell.table)];
      if (layers) parts.push(sensitivityTable(layers, shell.table));
      shell.print(parts.join("\n\n"));
    }
    return 0;
  },
};

/** Throws TersorError "bad-usage" for flags of a sensitivity that was not asked for. */
function sensitivityOf(flags: InspectFlags): SensitivityOptions | undefined {
  const { sensitivity, recipe, records } = flags;
  if (sensitivity) return { recipes: recipe, records };
  const [flag] = (["recipe", "records", "report", "calib"] as const).filter((name) => flags[name]);
  if (flag === undefined) return undefined;
  throw fail(errors.badUsage(`--${flag}`, "is for --sensitivity", "Add --sensitivity --data DATA"));
}
