/** @file tersor train: gradient descent on the user's data, from a model or from scratch. */
import { basename, dirname, join } from "node:path";
import { errors, fail } from "../errors.ts";
import { fileCheckpoints } from "../node/checkpoints.ts";
import { checkOutput, saveFile } from "../node/files.ts";
import { load, train } from "../node.ts";
import { describeOptions, parseOptions } from "../options.ts";
import type { DataSource } from "../recipe/prepare.ts";
import { htmlReport } from "../report/html.ts";
import { jsonText, resultReportJson } from "../report/json.ts";
import { resultLine } from "../report/table.ts";
import { trainOptions } from "../train/options.ts";
import type { Command } from "./command.ts";
import { type DataFlags, dataSettings, evalFlags, type Flag } from "./flags.ts";

interface TrainFlags extends DataFlags, Readonly<Record<string, unknown>> {
  readonly output?: string;
  readonly test?: string;
  readonly teacher?: string;
  readonly report?: string;
  readonly resume?: true;
}

/** On the command line, what is left out is frozen. */
const flagNames: Readonly<Record<string, string>> = { except: "freeze" };

const optionFlags = describeOptions(trainOptions).map(
  ({ name, description, choices, default: standard }): Flag => ({
    flags: `--${flagNames[name] ?? name} <${choices?.join("|") ?? "value"}>`,
    doc:
      standard === "" || Array.isArray(standard)
        ? description
        : `${description.replace(/\.$/, "")} (default ${standard}).`,
  }),
);

export const trainCommand: Command<TrainFlags> = {
  name: "train",
  takes: "<model>",
  summary: "Trains a model on data, perhaps with a teacher; net:<name> begins from scratch.",
  flags: [
    { flags: "-o, --output <file>", doc: "Where the model goes (default: beside the input)." },
    { flags: "--test <data>", doc: "Data to measure on (default: the part that is held out)." },
    { flags: "--teacher <model>", doc: "A model to learn from: distillation." },
    { flags: "--resume", doc: "Go on from the checkpoint of a run that was interrupted." },
    { flags: "--report <file>", doc: "Write an HTML report." },
    ...optionFlags,
    ...evalFlags,
  ],
  examples: [
    "tersor train net:lenet-5 --data mnist:train --test mnist:test --epochs 5 -o lenet5.onnx",
    "tersor train small.onnx --teacher large.onnx --data images:photos/ --epochs 10 -o better.onnx",
  ],
  async run(shell, [path], flags) {
    const { data, calib: _, ...settings } = dataSettings(flags);
    if (!data) throw fail(errors.badUsage("train", "has no data to learn from", "Give --data"));
    const options = optionsOf(flags);
    const test: DataSource | null = flags.test ? { ...data, spec: flags.test } : null;
    const model = await load(path, shell.settings);
    const teacher = flags.teacher === undefined ? null : await load(flags.teacher, shell.settings);
    const name = path.startsWith("net:") ? path.slice(4) : basename(path, ".onnx");
    const file =
      flags.output ?? join(path.startsWith("net:") ? "." : dirname(path), `${name}.trained.onnx`);
    const saving = { inputs: path.startsWith("net:") ? [] : [path], force: shell.force };
    checkOutput(file, saving);
    if (flags.report !== undefined) checkOutput(flags.report, saving);
    const checkpoints = fileCheckpoints(file, flags.resume ?? false);
    const done = await train(model, {
      ...shell.settings,
      ...settings,
      data,
      test,
      teacher,
      options,
      file,
      checkpoints,
    });
    await saveFile(file, done.bytes, saving);
    if (flags.resume && !checkpoints.resumed) {
      shell.warn("--resume: there was no checkpoint, so the run began anew");
    }
    checkpoints.clear();
    if (flags.report !== undefined) {
      const report = { ...done.report, commandLine: shell.commandLine };
      await saveFile(flags.report, htmlReport(report), saving);
    }
    const { result, baseline } = done;
    for (const warning of result.warnings) shell.warn(warning);
    if (shell.json) shell.print(jsonText(resultReportJson("train", done.report.model, result)));
    else {
      shell.print(`${result.recipe} -> ${file}`);
      shell.print(resultLine(result, baseline));
    }
    return 0;
  },
};

/** The step's options, from texts; checked before any file is opened. */
function optionsOf(flags: TrainFlags): Record<string, unknown> {
  const given: Record<string, unknown> = {};
  for (const { name } of describeOptions(trainOptions)) {
    const value = flags[flagNames[name] ?? name];
    if (value !== undefined) given[name] = value;
  }
  parseOptions(trainOptions, given, "train");
  return given;
}
