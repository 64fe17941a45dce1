/** @file tersor bench: the latency of several models, timed in turn on the same inputs. */
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
  summary: "Times models in turn on the same inputs: median, p90, speed-up over the first.",
  flags: [
    {
      flags: "--budget <time>",
      doc: "Time for all models together (default 2s for each).",
      parse: seconds,
    },
    ...evalFlags.filter(({ flags }) => !/^--(timing|metric) /.test(flags)),
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
