/** @file tersor train: trains a model, or an untrained benchmark network, on the user's data. */
import { errors, fail } from "../errors.ts";
import { load, train } from "../node.ts";
import { describeOptions, parseOptions } from "../options.ts";
import type { DataSource } from "../recipe/prepare.ts";
import { type TrainOptions, trainOptions } from "../train/options.ts";
import type { Command } from "./command.ts";
import { type DataFlags, dataSettings, evalFlags, type Flag } from "./flags.ts";
import { withEnding } from "./paths.ts";
import { planProduct, printProduct, saveProduct } from "./product.ts";
import {
  jobFile,
  type TrainingFlags,
  trainingFlags,
  trainingSettings,
  untilInterrupted,
} from "./training.ts";

interface TrainFlags extends DataFlags, TrainingFlags, Readonly<Record<string, unknown>> {
  readonly output?: string;
  readonly test?: string;
  readonly student?: string;
  readonly report?: string;
}

/** Options whose flag has another name: the layers that training leaves out are "frozen". */
const flagNames: Readonly<Record<string, string>> = { except: "freeze" };

/** Choices that are longer stand in the text, not behind the flag. */
const LONGEST = 36;

/** A flag for each option of the step `train`; their values are checked by its schema. */
const optionFlags = describeOptions(trainOptions).map(
  ({ name, description, choices, default: standard }): Flag => {
    const all = choices?.join("|") ?? "value";
    const isLong = all.length > LONGEST;
    const usual = standard === "" || Array.isArray(standard) ? "" : ` (default ${standard})`;
    const listed = isLong ? ` One of ${choices?.join(", ")}.` : "";
    return {
      flags: `--${flagNames[name] ?? name} <${isLong ? name : all}>`,
      doc: `${usual ? description.replace(/\.$/, "") : description}${usual}${usual ? "." : ""}${listed}`,
    };
  },
);

export const trainCommand: Command<TrainFlags> = {
  name: "train",
  takes: "<model>",
  summary: "Trains a model on data, optionally with a teacher; net:<name> starts from scratch.",
  flags: [
    { flags: "-o, --output <file>", doc: "File for the model (default: beside the input)." },
    { flags: "--test <data>", doc: "Data to measure on (default: the held-out part of --data)." },
    {
      flags: "--student <student>",
      doc: "Who learns from <model>: a copy of it (width=0.5, depth=0.5, start=fresh; several split by commas), or another model (a file or net:<name>).",
    },
    { flags: "--report <file>", doc: "Write an HTML report." },
    ...trainingFlags,
    ...optionFlags,
    ...evalFlags,
  ],
  examples: [
    "tersor train net:lenet-5 --data mnist:train --test mnist:test --epochs 5 -o lenet5.onnx",
    "tersor train small.onnx --teacher large.onnx --data images:photos/ --epochs 10 -o better.onnx",
    "tersor train large.onnx --student width=0.5 --data images:photos/ --epochs 10 -o small.onnx",
  ],
  runFile: ([path], flags) => jobFile(outputOf(path, flags)),
  async run(shell, [path], flags, run) {
    const { data, calib: _, ...settings } = dataSettings(flags);
    if (!data) throw fail(errors.badUsage("train", "has no data to learn from", "Give --data"));
    const { learner, student, teacher } = rolesOf(path, flags);
    const loss = student && flags.loss === undefined ? { loss: "distil" as const } : {};
    const options = { ...optionsOf(flags), ...loss };
    const test: DataSource | null = flags.test ? { ...data, spec: flags.test } : null;
    const model = await load(learner, shell.settings);
    const file = outputOf(path, flags);
    const product = planProduct(shell, path, model, file, flags, run);
    // The job's "data" are those that it is judged on.
    const names = { calib: "data", data: flags.test === undefined ? "data" : "test" };
    const call = { flags: { ...flags, ...teacher }, model: path, file, run, names };
    const training = await trainingSettings(call, shell);
    const around = { ...shell.settings, ...settings, ...training };
    const input = { ...around, data, test, options, file, ...student };
    const work = () => train(model, input);
    const done = await untilInterrupted("train", training, shell, work);
    if (!done) return 130;
    await saveProduct(shell, product, done.write, done, training);
    printProduct(shell, "train", product, done);
    return 0;
  },
};

/** Who learns, and from whom, where `--student` is given: a copy of the model, or another model. */
function rolesOf(path: string, { student, teacher = path }: TrainFlags) {
  if (student === undefined) return { learner: path };
  const isCopy = student.split(",").every((part) => /^(width|depth|start)=/.test(part));
  if (!isCopy) return { learner: student, teacher: { teacher } };
  const options = Object.fromEntries(student.split(",").map((part) => part.split("=")));
  return { learner: path, student: { student: options } };
}

const outputOf = (path: string, { output }: Pick<TrainFlags, "output">): string =>
  output ?? withEnding(path, ".trained.onnx");

/** The options of training from the flags' texts. Throws TersorError "bad-option". */
function optionsOf(flags: TrainFlags): TrainOptions {
  const given: Record<string, unknown> = {};
  for (const { name } of describeOptions(trainOptions)) {
    const value = flags[flagNames[name] ?? name];
    if (value !== undefined) given[name] = value;
  }
  return parseOptions(trainOptions, given, "train");
}
