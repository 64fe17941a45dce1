/** @file tersor inspect: the layers of a model with the bytes, MACs and time of each. */
import { inspect, load } from "../node.ts";
import { inspectJson, jsonText } from "../report/json.ts";
import { layerTable } from "../report/table.ts";
import type { Command } from "./command.ts";
import { type DataFlags, dataSettings, evalFlags } from "./flags.ts";

export const inspectCommand: Command<DataFlags> = {
  name: "inspect",
  takes: "<model>",
  summary: "Lists the layers of a model with their parameters, MACs, bytes and measured time.",
  flags: evalFlags,
  examples: [
    "tersor inspect model.onnx",
    "tersor inspect model.onnx --dims H=224,W=224 --json",
    "tersor inspect net:resnet-20",
  ],
  async run(shell, [path], flags) {
    const model = await load(path, shell.settings);
    const found = await inspect(model, { ...shell.settings, ...dataSettings(flags) });
    shell.print(shell.json ? jsonText(inspectJson(found)) : layerTable(found, shell.table));
    return 0;
  },
};
