/** @file The corpus of bad inputs: status 2, one exact line on stderr, nothing on stdout, no file. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeFixtures } from "./fixtures.ts";
import { run, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
/** Paths below are in that folder; messages have it taken out. */
const here = `${folder.path}/`;
beforeAll(() => writeFixtures(folder));
afterAll(() => folder.close());

/** "@" stands for the folder. */
const cases: readonly (readonly [args: readonly string[], message: string])[] = [
  // Models
  [
    ["inspect", "@text.onnx"],
    "not-a-model: @text.onnx: is not an ONNX model (cant skip wire type 4). Give the .onnx file itself, complete.",
  ],
  [
    ["inspect", "@empty.onnx"],
    "not-a-model: @empty.onnx: is not an ONNX model (it has no graph). Give the .onnx file itself, complete.",
  ],
  [
    ["inspect", "@image.onnx"],
    "not-a-model: @image.onnx: is not an ONNX model (illegal tag: field no 0 wire type 0). Give the .onnx file itself, complete.",
  ],
  ...["cut-first", "cut-early", "cut-middle", "cut-last"].map(
    (name) =>
      [
        ["compress", `@${name}.onnx`],
        `not-a-model: @${name}.onnx: is not an ONNX model (premature EOF). Give the .onnx file itself, complete.`,
      ] as const,
  ),
  [["inspect", "@none.onnx"], "no-such-file: @none.onnx: does not exist. Check the path."],
  ...["https://", "file:///a%zz.onnx", "file://host/x.onnx"].map(
    (url) =>
      [
        ["compress", url],
        `cannot-read: ${url}: cannot be read (it is no valid address). Check what it is and its permissions.`,
      ] as const,
  ),
  [
    ["survey", "file://host/x.onnx", "--resume"],
    "bad-resume: file:/host/x.survey/survey.json: does not exist: there is nothing to resume. Leave out --resume, or name with -o what was begun.",
  ],
  [
    ["compress", "file://@model.onnx", "-o", "@model.onnx"],
    "output-is-input: @model.onnx: is the input itself. Name another file with -o; --force overwrites the input.",
  ],
  [
    ["inspect", "@folder"],
    "cannot-read: @folder: cannot be read (it is a folder). Check what it is and its permissions.",
  ],
  [
    ["inspect", "@missing-external.onnx"],
    'missing-external: @missing-external.onnx: its data should be in "weights.bin", which is not there. Put the data file beside the model under that name.',
  ],
  [
    ["inspect", "@outside-external.onnx"],
    'external-outside: @outside-external.onnx: tensor "W": its data path "../weights.bin" leaves the model\'s folder. Do not open this file unless you trust it: save the model again with data beside it.',
  ],
  // Recipes
  [
    ["compress", "@model.onnx", "--recipe", "share-weight"],
    'unknown-method: recipe step 1: there is no method "share-weight". Did you mean "share-weights"? See: tersor methods.',
  ],
  [
    ["compress", "@model.onnx", "--recipe", "simplify", "--no-simplify"],
    "bad-recipe: recipe: only simplifies, which is switched off. Write steps as: method:option=value,option=value > method.",
  ],
  [
    ["compress", "@model.onnx", "--recipe", "store-float16 > share-weights:bit=5"],
    'unknown-option: recipe step 2 (share-weights): there is no option "bit". Did you mean "bits"?',
  ],
  [
    ["compress", "@model.onnx", "--recipe", "share-weights:bits=50"],
    'bad-option: recipe step 1 (share-weights): bits="50" is refused (expected number to be <=16). Give a number from 1 to 16.',
  ],
  [
    ["compress", "@model.onnx", "--recipe", "share-weights:bits=many"],
    'bad-option: recipe step 1 (share-weights): bits="many" is refused (expected number). Give a number from 1 to 16.',
  ],
  [
    ["compress", "@model.onnx", "--recipe", "share-weights:init=best"],
    'bad-option: recipe step 1 (share-weights): init="best" is refused (expected one of linear, random, density, optimal). Give one of: linear, random, density, optimal.',
  ],
  [
    ["compress", "@model.onnx", "--recipe", "share-weights:bits"],
    'bad-recipe: recipe: "bits" has no value. Write steps as: method:option=value,option=value > method.',
  ],
  [
    ["compress", "@model.onnx", "--recipe", "share-weights > > store-float16"],
    "bad-recipe: recipe: step 2 is empty. Write steps as: method:option=value,option=value > method.",
  ],
  [
    ["compress", "@model.onnx", "--recipe", "share-weights:only=conf*"],
    'no-match: only/except: "conf*" matches no layer. See the layer names: tersor inspect.',
  ],
  [
    ["compress", "@model.onnx", "--recipe", "quantize-int8"],
    "needs-data: quantize-int8: needs data to calibrate on. Give --data or --calib (a few hundred unlabelled inputs are enough), or take what needs none: quantize-dynamic, quantize-weights, quantize-embeddings.",
  ],
  [
    ["compress", "@model.onnx", "--recipe", "@object.json"],
    "bad-recipe: @object.json: holds no array of steps and no { recipe }. Write steps as: method:option=value,option=value > method.",
  ],
  [
    ["compress", "@model.onnx", "--recipe", "@none.json"],
    "no-such-file: @none.json: does not exist. Check the path.",
  ],
  [
    ["compress", "@model.onnx", "--recipe", "store-float16", "--preset", "small"],
    "bad-usage: compress: got a recipe and a preset. Give one of them.",
  ],
  [
    ["compress", "@model.onnx", "--recipe", "store-float16", "--recipe", "share-weights"],
    "bad-usage: --recipe: is given twice. Give it once.",
  ],
  [
    ["survey", "@model.onnx", "--recipes", "@empty.onnx"],
    "bad-recipe: @empty.onnx: holds no recipes. Write steps as: method:option=value,option=value > method.",
  ],
  // Usage
  [
    ["compres", "@model.onnx"],
    "bad-usage: tersor: unknown command 'compres'. Did you mean compress?",
  ],
  [["pak", "@model.onnx"], "bad-usage: tersor: unknown command 'pak'. Did you mean pack?"],
  [["help", "bogus"], "bad-usage: tersor: there is no such command. See: tersor --help."],
  [
    ["compress"],
    "bad-usage: compress: missing required argument 'model'. See: tersor compress --help.",
  ],
  [
    ["inspect", "@model.onnx", "--sensitivity"],
    "bad-usage: sensitivity: has no records to measure on, and random inputs say nothing of quality. Give --data.",
  ],
  [
    ["inspect", "@model.onnx", "--records", "8"],
    "bad-usage: --records: is for --sensitivity. Add --sensitivity --data DATA.",
  ],
  [
    ["inspect", "@model.onnx", "--report", "@page.html"],
    "bad-usage: --report: is for --sensitivity. Add --sensitivity --data DATA.",
  ],
  [
    ["inspect", "@model.onnx", "--sensitivity", "--data", "@data.jsonl", "--recipe", "train"],
    "bad-option: train: trains, which would be a run per layer. Give recipes that do not train.",
  ],
  [
    ["inspect", "@model.onnx", "@model.onnx"],
    "bad-usage: inspect: too many arguments for 'inspect'. Expected 1 argument but got 2. See: tersor inspect --help.",
  ],
  [
    ["compress", "@model.onnx", "--recipee", "x"],
    "bad-usage: compress: unknown option '--recipee'. Did you mean --recipe?",
  ],
  [
    ["compress", "@model.onnx", "--preset", "smal"],
    'bad-usage: --preset: "smal" is none of lossless, half, small, fast, deep-compression, smallest. Did you mean "small"?',
  ],
  [
    ["bench", "@model.onnx", "--runtime", "bogus"],
    'bad-usage: --runtime: "bogus" is none of auto, node, web. Give one of: auto, node, web.',
  ],
  [
    ["bench", "@model.onnx", "--threads", "0"],
    'bad-usage: --threads: "0" is no whole number from 1. Give 1 or more.',
  ],
  [
    ["bench", "@model.onnx", "--seed", "-1"],
    'bad-usage: --seed: "-1" is no whole number from 0. Give 0 or more.',
  ],
  [
    ["survey", "@model.onnx", "--budget", "soon"],
    'bad-usage: --budget: "soon" is no time. Give for example 500ms, 90s, 10m or 1h.',
  ],
  [
    ["inspect", "@model.onnx", "--dims", "N"],
    'bad-usage: --dims: "N" is no size. Write it as name=number: --dims H=224,W=224.',
  ],
  [
    ["inspect", "@model.onnx", "--dims", "M=4"],
    'bad-option: --dims: the model has no open axis "M". Did you mean "N"?',
  ],
  // Targets
  [
    ["compress", "@model.onnx", "--target", "sise<=1MB"],
    'bad-target: target "sise<=1MB": "sise" is nothing to aim at. Did you mean "size"?',
  ],
  [
    ["compress", "@model.onnx", "--target", "size>=1MB"],
    'bad-target: target "size>=1MB": needs <=. Write it as: size<=1MB.',
  ],
  [
    ["compress", "@model.onnx", "--target", "size<=1MB, speedup>=fast"],
    'bad-target: target "speedup>=fast": "fast" is no number. Give for example 0.5.',
  ],
  [
    ["compress", "@model.onnx", "--target", "size<=1XB"],
    'bad-target: target "size<=1XB": "1XB" is no size. Give for example 500kB, 1.5MB or 2MiB.',
  ],
  [
    ["compress", "@model.onnx", "--target", "drop<=0.5"],
    'bad-target: target "drop<=0.5": cannot be measured without data. Give --data.',
  ],
  [
    ["compress", "@model.onnx", "--target", "size<=1MB, flips<=1"],
    'bad-target: target "flips<=1": cannot be measured without data. Give --data.',
  ],
  [
    [
      "compress",
      "@model.onnx",
      "--target",
      "size<=1MB,accuracy>=90",
      "--data",
      "jsonl:@unlabelled.jsonl",
    ],
    'bad-target: target "accuracy>=90": cannot be measured on data without labels. Give labelled data, or a limit on flips.',
  ],
  [
    ["eval", "@model.onnx", "--data", "jsonl:@data.jsonl", "--metric", "acuracy"],
    'bad-option: --metric: "acuracy" is no metric. Did you mean "accuracy"?',
  ],
  [
    ["compress", "@model.onnx", "--data", "jsonl:@data.jsonl", "--metric", "detection"],
    "metric-mismatch: --metric detection: cannot judge this: there are no boxes and scores among the outputs y [32,4]. It reads boxes [N, A, 4] and scores [N, A, C]; YOLO's [N, 4 + C, A] and [N, A, 5 + C]; chosen boxes [N, M, 6], [N, M, 7], or boxes, scores and classes.",
  ],
  // Training
  [
    ["train", "@model.onnx", "--data", "jsonl:@data.jsonl", "--loss", "mse"],
    "bad-option: loss mse: needs a target of the output's own shape, and the labels are classes. Give --loss cross-entropy.",
  ],
  [
    ["train", "@model.onnx", "--data", "jsonl:@unlabelled.jsonl"],
    "needs-teacher: train: learns from a teacher, and the only one is the model itself. Give --teacher <model>, labels to learn from, or a step before it that compresses.",
  ],
  // Data
  [["eval", "@model.onnx"], "bad-usage: eval: has no data to measure on. Give --data."],
  [
    ["eval", "@model.onnx", "--data", "jsonl:@short.jsonl"],
    'wrong-shape: jsonl:@short.jsonl: has 10 values a record for "x", the model takes x float32 [N,64]. Give one value per element.',
  ],
  [
    ["eval", "@model.onnx", "--data", "jsonl:@beyond.jsonl"],
    "label-out-of-range: jsonl:@beyond.jsonl, record 1: label 5 is not one of the model's 4 classes (0 to 3). Shift the labels with --label-offset, or use the model's own class order; -100 marks padding.",
  ],
  [
    ["eval", "@model.onnx", "--data", "jsonl:@shuffled.jsonl"],
    "implausible-baseline: jsonl:@shuffled.jsonl: the original scores 26.67 % on 60 records, which is no better than chance (25.00 %). Check the preprocessing: --mean, --std, --scale, --layout, --label-offset.",
  ],
  [
    ["survey", "@model.onnx", "--data", "jsonl:@shuffled.jsonl", "-o", "@new"],
    "implausible-baseline: jsonl:@shuffled.jsonl: the original scores 25.00 % on 48 records, which is no better than chance (25.00 %). Check the preprocessing: --mean, --std, --scale, --layout, --label-offset.",
  ],
  [
    ["eval", "@model.onnx", "--data", "jsonl:@none.jsonl"],
    "no-such-file: @none.jsonl: does not exist. Check the path.",
  ],
  [
    ["eval", "@model.onnx", "--data", "json:@data.jsonl"],
    'unknown-data: json:@data.jsonl: there is no data reader "json". Did you mean jsonl:@data.jsonl?',
  ],
  [
    ["eval", "@model.onnx", "--data", "@data.jsonl"],
    "unknown-data: @data.jsonl: does not say what kind of data it is. Did you mean jsonl:@data.jsonl?",
  ],
  [
    ["eval", "@model.onnx", "--data", "images:@folder"],
    "no-records: @folder: holds no images. Give JPEG, PNG or WebP files, a folder a class or with a labels.csv.",
  ],
  [
    ["eval", "@model.onnx", "--data", "npz:@model.onnx"],
    "bad-data: @model.onnx: is not a complete zip archive. The file is damaged: fetch or write it again.",
  ],
  [
    ["eval", "@model.onnx", "--data", "jsonl:@data.jsonl", "--mean", "grey"],
    'bad-usage: --mean: "grey" is refused (expected number). See: tersor eval --help.',
  ],
  [
    ["eval", "@model.onnx", "--data", "jsonl:@data.jsonl", "--mean", ".5"],
    "bad-option: jsonl:@data.jsonl: --mean is about images, and these records are taken as they are. Leave it out.",
  ],
  [
    ["eval", "@model.onnx", "--data", "jsonl:@data.jsonl", "--limit", "0"],
    'bad-usage: --limit: "0" is refused (expected number to be >0). See: tersor eval --help.',
  ],
  [
    ["eval", "@model.onnx", "--data", "jsonl:@data.jsonl", "--input", "z"],
    'wrong-input: jsonl:@data.jsonl: the model has no input "z" (the model\'s inputs: x float32 [N,64]). Correct --input.',
  ],
  [
    ["inspect", "@model.onnx", "--mean", ".5"],
    "bad-usage: --mean: says how to read data, and there are none. Give --data.",
  ],
  // Outputs
  ...(["@model.onnx", "@./folder/../model.onnx", "@link.onnx"] as const).map(
    (path) =>
      [
        ["compress", "@model.onnx", "-o", path],
        `output-is-input: ${path}: is the input itself. Name another file with -o; --force overwrites the input.`,
      ] as const,
  ),
  [
    ["compress", "@link.onnx", "-o", "@model.onnx"],
    "output-is-input: @model.onnx: is the input itself. Name another file with -o; --force overwrites the input.",
  ],
  [
    ["compress", "@model.onnx", "-o", "@existing.onnx"],
    "output-exists: @existing.onnx: exists already. Name another file with -o; --force overwrites it.",
  ],
  [
    ["compress", "@model.onnx", "-o", "@nowhere/out.onnx"],
    "cannot-write: @nowhere/out.onnx: cannot be written (its folder does not exist). Create it first: mkdir -p @nowhere.",
  ],
  [
    ["compress", "@model.onnx", "-o", "@folder"],
    "cannot-write: @folder: cannot be written (it is a folder). Name a file in it.",
  ],
  [
    ["compress", "@model.onnx", "-o", "@notes.txt/out.onnx"],
    "cannot-write: @notes.txt/out.onnx: cannot be written (@notes.txt is no folder). Name a folder.",
  ],
  [
    ["compress", "@model.onnx", "--report", "@notes.txt"],
    "output-exists: @notes.txt: exists already. Name another file with -o; --force overwrites it.",
  ],
  [
    ["compress", "@model.onnx", "-o", "@x.onnx", "--report", "@x.onnx"],
    "bad-usage: --report @x.onnx: is where the model goes, too. Name another file.",
  ],
  [
    ["survey", "@model.onnx", "-o", "@notes.txt"],
    "cannot-write: @notes.txt: cannot be written (it is a file). Name a folder with -o.",
  ],
  ...(["train", "compress"] as const).map(
    (command) =>
      [
        [command, "@model.onnx", "-o", "@new.onnx", "--resume"],
        "bad-resume: @new.onnx.job.json: does not exist: there is nothing to resume. Leave out --resume, or name with -o what was begun.",
      ] as const,
  ),
  [
    ["survey", "@model.onnx", "-o", "@folder", "--resume"],
    "bad-resume: @folder/survey.json: does not exist: there is nothing to resume. Leave out --resume, or name with -o what was begun.",
  ],
];

const inFolder = (text: string) => text.replaceAll("@", here);

describe("bad input", () => {
  test.each(cases)("%j", async (args, message) => {
    const before = folder.list();
    const ran = await run(args.map(inFolder));
    expect(ran).toEqual({ status: 2, stdout: "", stderr: `tersor: ${inFolder(message)}\n` });
    expect(folder.list()).toEqual(before);
  });
});

describe("the process itself", () => {
  const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
  const tersor = (...args: string[]) =>
    spawnSync(process.execPath, ["--import", "tsx", main, ...args], { encoding: "utf8" });

  test("exits with 2 and one line", () => {
    const { status, stdout, stderr } = tersor("inspect", inFolder("@none.onnx"));
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toBe(
      inFolder("tersor: no-such-file: @none.onnx: does not exist. Check the path.\n"),
    );
  });

  test("a reader that goes away is no error", () => {
    const command = `"${process.execPath}" --import tsx "${main}" methods | head -n 1`;
    const { status, stdout, stderr } = spawnSync("sh", ["-c", command], { encoding: "utf8" });
    expect({ status, stderr, lines: stdout.split("\n").length }).toEqual({
      status: 0,
      stderr: "",
      lines: 2,
    });
  });

  test("its version is the package's", () => {
    const { version } = JSON.parse(
      readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
    );
    expect(tersor("--version").stdout).toBe(`${version}\n`);
  });
});
