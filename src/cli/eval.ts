/** @file tersor eval: a model's score on data, alone or compared with the original. */
import { errors, fail } from "../errors.ts";
import { evaluate, load } from "../node.ts";
import { infoOf } from "../recipe/inspect.ts";
import { jsonText, resultReportJson } from "../report/json.ts";
import { evalTable } from "../report/table.ts";
import type { Command } from "./command.ts";
import { type DataFlags, dataSettings, evalFlags } from "./flags.ts";

interface EvalFlags extends DataFlags {
  readonly against?: string;
}

export const evalCommand: Command<EvalFlags> = {
  name: "eval",
  takes: "<model>",
  summary: "Measures the metric on data; with --against also flips, KL, SQNR and speed-up.",
  flags: [{ flags: "--against <model>", doc: "The original to compare with." }, ...evalFlags],
  examples: [
    "tersor eval model.onnx --data mnist:test",
    "tersor eval small.onnx --data npz:test.npz --against model.onnx",
  ],
  async run(shell, [path], flags) {
    if (!flags.data) {
      throw fail(errors.badUsage("eval", "has no data to measure on", "Give --data"));
    }
    const model = await load(path, shell.settings);
    const against =
      flags.against === undefined ? undefined : await load(flags.against, shell.settings);
    const settings = { ...shell.settings, ...dataSettings(flags) };
    const result = await evaluate(model, { ...settings, against });
    if (!result.metric) {
      shell.warn(`${flags.data} has no labels: there is nothing to score (compare with --against)`);
    }
    for (const warning of result.warnings) shell.warn(warning);
    const json = () => jsonText(resultReportJson("eval", infoOf(model, result), result));
    shell.print(shell.json ? json() : evalTable(result, shell.table));
    return 0;
  },
};
