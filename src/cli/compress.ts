/** @file tersor compress: applies one recipe, measures the result and writes it. */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { errors, fail } from "../errors.ts";
import type { Result } from "../measure/measurement.ts";
import { knownSpeedup } from "../measure/speed.ts";
import { methods } from "../methods/index.ts";
import { isPattern } from "../node/expand-globs.ts";
import { compress, load } from "../node.ts";
import { defaultPreset, type PresetId, presets } from "../recipe/presets.ts";
import { isPacked, parseRecipe } from "../recipe/steps.ts";
import { missedTargets, parseTargets } from "../recipe/target.ts";
import { skippedLines } from "../report/findings.ts";
import { bytes, ratio } from "../report/format.ts";
import { plainText } from "../report/span.ts";
import { speedup } from "../report/speed.ts";
import type { Command } from "./command.ts";
import { eachModel, refuseForMany } from "./each-model.ts";
import { dataSettings, measureFlag } from "./flags.ts";
import {
  compressLayout,
  dataOf,
  LAYOUT,
  type LayoutFlags,
  layoutFlags,
  refuseAlone,
} from "./layout.ts";
import { isPackedName, withEnding } from "./paths.ts";
import { planProduct, printProduct, saveProduct } from "./product.ts";
import { readRecipe } from "./recipe-file.ts";
import type { StoredRun } from "./resume.ts";
import type { Shell } from "./shell.ts";
import {
  jobFile,
  type TrainingFlags,
  trainingFlags,
  trainingSettings,
  untilInterrupted,
} from "./training.ts";

interface CompressFlags extends LayoutFlags, TrainingFlags {
  readonly recipe?: string;
  readonly preset?: PresetId;
  readonly target?: string;
  readonly report?: string;
  readonly simplify: boolean;
}

const presetNames = Object.keys(presets);

export const compressCommand: Command<CompressFlags> = {
  name: "compress",
  takes: "<model>",
  summary: "Applies a recipe to a model, measures the result beside the original, writes it.",
  flags: [
    {
      flags: "-o, --output <file>",
      doc: "File for the model (default: beside the input); a folder where a pattern names several models.",
    },
    {
      flags: "--recipe <recipe>",
      doc: 'The steps, as text or in a .json or .mjs file: prune-magnitude:sparsity=0.9 > share-weights:bits=5 (put a value with , or > in it in double quotes: only="a,b")',
      suggests: Object.keys(methods),
    },
    {
      flags: "--preset <name>",
      doc: `A ready-made recipe: ${presetNames.join(", ")} (default ${defaultPreset}).`,
      choices: presetNames,
    },
    {
      flags: "--target <limits>",
      doc: "Limits to meet, else the exit status is 1: size<=1MB, drop<=0.5, speedup>=1.5",
    },
    { flags: "--report <file>", doc: "Write an HTML report." },
    {
      flags: "--no-simplify",
      doc: "Leave out the lossless simplification, both before the recipe and after training.",
    },
    ...trainingFlags,
    measureFlag,
    ...layoutFlags,
  ],
  examples: [
    "tersor compress model.onnx --data images:photos/ --mean .485,.456,.406 --std .229,.224,.225",
    'tersor compress model.onnx --recipe "prune-magnitude:sparsity=0.8 > share-weights:bits=5"',
    'tersor compress model.onnx --preset small --target "size<=1MB, drop<=0.5" --data npz:test.npz',
    "tersor compress 'models/*.onnx' --preset half -o small/",
    "tersor compress my-model/ --layout transformers.js --dtypes fp16,q8,q4 -o my-model-web",
  ],
  runFile: ([path], flags) => runFileOf(path, flags),
  async run(shell, [path], flags, run) {
    if (flags.layout === LAYOUT) return compressLayout(shell, path, flags);
    refuseAlone(flags);
    if (!isPattern(path)) return compressOne(shell, path, flags, run);
    const { output: folder, ...others } = flags;
    const { report, record, replay } = others;
    refuseForMany(path, { resume: run !== null, report, record, replay });
    if (folder !== undefined && /\.(onnx|tersor)$/i.test(folder)) {
      const why = "is one file, and the pattern may match several models";
      throw fail(errors.badUsage(`-o ${folder}`, why, "Name a folder"));
    }
    return eachModel(shell, "compress", path, (own, model) =>
      compressOne(own, model, { ...others, folder }, null),
    );
  },
};

/** `folder` is where the product goes whose file is not named. */
async function compressOne(
  shell: Shell,
  path: string,
  flags: CompressFlags & { readonly folder?: string | undefined },
  run: StoredRun | null,
): Promise<number> {
  const targets = flags.target === undefined ? [] : parseTargets(flags.target);
  const unmeasured = targets.find(({ quantity }) => quantity !== "size");
  if (unmeasured && !flags.measure) {
    const why = "is not known without measuring";
    throw fail(errors.badTarget(unmeasured.text, why, "Leave out --no-measure"));
  }
  if (flags.recipe !== undefined && flags.preset !== undefined) {
    if (run) refuseOther(run);
    throw fail(errors.badUsage("compress", "got a recipe and a preset", "Give one of them"));
  }
  const recipe = flags.recipe === undefined ? undefined : await readRecipe(flags.recipe);
  if (recipe !== undefined) parseRecipe(recipe);
  const model = await load(path, shell.settings);
  const isToPack = recipe !== undefined && isPacked(parseRecipe(recipe));
  const named = withEnding(path, endingOf(flags, isToPack));
  const file =
    flags.output ?? (flags.folder === undefined ? named : join(flags.folder, basename(named)));
  const packs = isPackedName(file);
  if (isToPack && !packs) {
    const why = "is no name for what the recipe ends with, a .tersor file";
    throw fail(errors.badUsage(`-o ${file}`, why, "Name it *.tersor, or leave out the step pack"));
  }
  const product = planProduct(shell, path, model, file, flags, run);
  const training = await trainingSettings({ flags, model: path, file, run }, shell);
  const { preset, simplify } = flags;
  const input = {
    ...{ ...shell.settings, ...dataSettings(dataOf(flags)), ...training },
    measures: flags.measure,
    ...{ recipe, preset, simplify, targets, file, layers: flags.report !== undefined },
  };
  const work = () => compress(model, input);
  const done = await untilInterrupted("compress", training, shell, work);
  if (!done) return 130;
  await saveProduct(shell, product, packs ? done.pack() : done.write, done, training);
  const { result, baseline } = done;
  printProduct(shell, "compress", product, done, () => comment(shell, result, baseline, file));
  const missed = missedTargets(targets, result);
  for (const text of missed) shell.warn(`target missed: ${text}`);
  return missed.length > 0 ? 1 : 0;
}

/** How the name of the output ends where the user names none. */
function endingOf({ recipe, preset }: Partial<CompressFlags>, isToPack: boolean): string {
  if (recipe === undefined) return `.${preset ?? defaultPreset}.onnx`;
  return isToPack ? ".tersor" : ".tersor.onnx";
}

/**
 * The file of the interrupted run. Without -o it is looked for beside all names that the output can
 * have, because the recipe of the run is in that file.
 */
function runFileOf(path: string, flags: Partial<CompressFlags>): string {
  if (flags.output !== undefined) return jobFile(flags.output);
  const endings = [".tersor.onnx", ".tersor", ...presetNames.map((preset) => `.${preset}.onnx`)];
  const files = endings.map((ending) => jobFile(withEnding(path, ending)));
  const [found, ...others] = files.filter((file) => existsSync(file));
  if (others.length === 0) return found ?? jobFile(withEnding(path, endingOf(flags, false)));
  const why = `there are interrupted runs of it in ${[found, ...others].join(" and ")}`;
  throw fail(errors.badResume(path, why, "Name the output of one with -o"));
}

/** Throws for a run that was begun with a recipe and now gets a preset, or the reverse. */
function refuseOther({ file, flags }: StoredRun): never {
  const [begun, given] = flags.recipe === undefined ? ["preset", "recipe"] : ["recipe", "preset"];
  const why = `the run in ${file} was begun with --${begun} ${flags[begun]}`;
  throw fail(errors.badResume(`--${given}`, why, `Leave --${given} out`));
}

/** Prints what the summary leaves out: the packed size, "smaller, not faster", skipped layers. */
function comment(shell: Shell, result: Result, baseline: Result, file: string): void {
  const { packed } = result.bytes;
  if (isPackedName(file) && packed !== null) {
    shell.print(`Packed: ${bytes(packed)} (${ratio(baseline.bytes.raw / packed)}).`);
  }
  const { alpha, delta } = result;
  if (alpha.bytes > 1.05 && (knownSpeedup(delta) ?? 1) < 0.95) {
    const speed = speedup(delta.infer, delta.ci95.infer);
    shell.print(`Smaller, not faster: it runs at ${speed}, of the original's speed here.`);
  }
  for (const text of skippedLines([result])) shell.note(plainText(text));
}
