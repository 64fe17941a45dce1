/** @file tersor bench: models side by side, interleaved. */
import { bench, load } from "../node.ts";
import { benchJson, jsonText } from "../report/json.ts";
import { benchTable } from "../report/table.ts";
import type { Command } from "./command.ts";
import { type DataFlags, dataSettings, evalFlags, seconds } from "./flags.ts";

interface BenchFlags extends DataFlags {
  readonly budget?: number;
}

export const benchCommand: Command<BenchFlags> = {
  name: "bench",
  takes: "<models...>",
  summary: "Latency of models side by side, interleaved: median, p90, ratio to the first.",
  flags: [
    {
      flags: "--budget <time>",
      doc: "Time for all of them together (default 2s each).",
      parse: seconds,
    },
    ...evalFlags.filter(({ flags }) => !flags.startsWith("--timing")),
  ],
  examples: ["tersor bench model.onnx model.fast.onnx", "tersor bench model.onnx --runtime web"],
  async run(shell, paths, flags) {
    const models = await Promise.all(paths.map((path) => load(path, shell.settings)));
    const settings = { ...shell.settings, ...dataSettings(flags) };
    const each = flags.budget === undefined ? {} : { secondsEach: flags.budget / models.length };
    const runs = await bench(models, { ...settings, ...each });
    shell.print(shell.json ? jsonText(benchJson(runs)) : benchTable(runs, shell.table));
    return 0;
  },
};
