/** @file The catalogue of every error that tersor raises: a code, what is wrong, where, and the remedy. */
import { recipeErrors } from "./errors-recipe.ts";
import type { ErrorInfo } from "./util/error.ts";

export { type ErrorInfo, fail, isAborted, isRefusal, TersorError } from "./util/error.ts";

/**
 * The catalogue, grouped by the folder that raises the error. docs/errors.md is generated from it
 * and from errors-recipe.ts:
 * the comments between the entries are its headings. Tests quote the messages.
 *
 * Parameters that recur: `where` is the file, node, option or record concerned; `why` a clause that
 * says what is wrong; `near` the known name that is most like the given one; `known` all known
 * names; `without` a further remedy, with the conjunction that joins it.
 */
export const errors = {
  ...recipeErrors,
  // onnx/
  notAModel: (where: string, why: string) => ({
    code: "not-a-model",
    what: `is not an ONNX model (${why})`,
    where,
    remedy: "Give the .onnx file itself, complete",
  }),
  badTensor: (where: string, why: string) => ({
    code: "bad-tensor",
    what: why,
    where,
    remedy: "The file is damaged or was written wrongly: export it again",
  }),
  unsupportedOpset: (where: string, why: string) => ({
    code: "unsupported-opset",
    what: why,
    where,
    remedy: "Export the model for another ai.onnx operator set: 1 to 25 are read",
  }),
  missingExternal: (where: string, path: string) => ({
    code: "missing-external",
    what: `its data should be in "${path}", which is not there`,
    where,
    remedy: "Put the data file beside the model under that name",
  }),
  externalOutside: (where: string, path: string) => ({
    code: "external-outside",
    what: `its data path "${path}" leaves the model's folder`,
    where,
    remedy: "Do not open this file unless you trust it: save the model again with data beside it",
  }),
  // ir/
  badText: (where: string, why: string) => ({
    code: "bad-text",
    what: why,
    where,
    remedy: "Correct the model's text there",
  }),
  // numeric/
  badNumber: (where: string, why: string, remedy: string) => ({
    code: "bad-number",
    what: why,
    where,
    remedy,
  }),
  // ops/
  badOperands: (where: string, why: string) => ({
    code: "bad-operands",
    what: why,
    where,
    remedy: "The model is inconsistent here: check it with tersor inspect, or export it again",
  }),
  noRule: (where: string, op: string, question: string) => ({
    code: "no-rule",
    what: `operator ${op} has no rule for ${question}`,
    where,
    remedy: "Use a runtime that has this operator",
  }),
  noGradient: (where: string, why: string, remedy: string) => ({
    code: "no-gradient",
    what: why,
    where,
    remedy,
  }),
  // train/
  diverged: (step: number, why: string, layer: string, remedy: string) => ({
    code: "diverged",
    what: `${why}; the largest gradient is that of ${layer}`,
    where: `training step ${step}`,
    remedy,
  }),
  badCheckpoint: (where: string, why: string) => ({
    code: "bad-checkpoint",
    what: why,
    where,
    remedy: "Delete the file, or run without --resume",
  }),
  // runtime/
  noRuntime: (where: string, why: string) => ({
    code: "no-runtime",
    what: `cannot be loaded (${why})`,
    where,
    // Without the variable its install script downloads GPU libraries on Linux, which fails behind
    // many firewalls; npm then leaves the whole package out. The CPU engine is in the package.
    remedy:
      "Run: ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node (on Windows without the variable); or use --runtime web",
  }),
  cannotOpen: (where: string, words: string) => ({
    code: "cannot-open",
    what: `refuses the model (${words})`,
    where,
    remedy: "Check the file with: tersor inspect",
  }),
  tooLarge: (where: string, bytes: number) => ({
    code: "too-large",
    what: `opens models of up to 2 GiB, and this one has ${(bytes / 2 ** 30).toFixed(1)}`,
    where,
    remedy: "Use methods that need no data; nothing is run then",
  }),
  runFailed: (where: string, words: string, remedy = "Compare the data with: tersor inspect") => ({
    code: "run-failed",
    what: words,
    where,
    remedy,
  }),
  // measure/
  labelOutOfRange: (where: string, label: number, classes: number) => ({
    code: "label-out-of-range",
    what: `label ${label} is not one of the model's ${classes} classes (0 to ${classes - 1})`,
    where,
    remedy:
      "Shift the labels with --label-offset, or use the model's own class order; -100 marks padding",
  }),
  labelMismatch: (where: string, label: string, outputs: string) => ({
    code: "label-mismatch",
    what: `a label of shape [${label}] fits none of the outputs ${outputs}`,
    where,
    remedy: "Give a class index per record, a token per position, or a target of an output's shape",
  }),
  metricMismatch: (where: string, why: string, remedy: string) => ({
    code: "metric-mismatch",
    what: `cannot judge this: ${why}`,
    where,
    remedy,
  }),
  recordsMixed: (where: string, shape: string, batch: number) => ({
    code: "records-mixed",
    what: `a batch of ${batch} gives shape [${shape}], which is not one row per record`,
    where,
    remedy: "Use --batch 1",
  }),
  implausibleBaseline: (where: string, value: string, chance: string) => ({
    code: "implausible-baseline",
    what: `the original scores ${value}, which is no better than chance (${chance})`,
    where,
    remedy: "Check the preprocessing: --mean, --std, --scale, --layout, --label-offset",
  }),
  // data/
  unknownData: (where: string, what: string, remedy: string) => ({
    code: "unknown-data",
    what,
    where,
    remedy,
  }),
  badData: (
    where: string,
    why: string,
    remedy = "The file is damaged: fetch or write it again",
  ) => ({
    code: "bad-data",
    what: why,
    where,
    remedy,
  }),
  noRecords: (where: string, what: string, remedy: string) => ({
    code: "no-records",
    what,
    where,
    remedy,
  }),
  mixedSizes: (where: string, size: string, others: string) => ({
    code: "mixed-sizes",
    what: `is ${size} pixels, the images before it ${others}`,
    where,
    remedy: "Bring all to one size with --size HxW",
  }),
  wrongChannels: (where: string, got: number, wanted: number) => ({
    code: "wrong-channels",
    what: `has ${got} channels, the model's input ${wanted}`,
    where,
    remedy:
      "Convert the images (which way loses what is your choice), or prepare the input as npz:",
  }),
  wrongInput: (where: string, why: string, inputs: string, remedy: string) => ({
    code: "wrong-input",
    what: `${why} (the model's inputs: ${inputs})`,
    where,
    remedy,
  }),
  wrongShape: (where: string, got: string, input: string, remedy: string) => ({
    code: "wrong-shape",
    what: `${got}, the model takes ${input}`,
    where,
    remedy,
  }),
  labelCount: (where: string, labels: number, records: number) => ({
    code: "label-count",
    what: `has ${labels} labels for ${records} records`,
    where,
    remedy: "Give one label per record",
  }),
  badLabel: (where: string, label: string) => ({
    code: "bad-label",
    what: `label ${label} is not a whole number`,
    where,
    remedy:
      "Number the classes from 0; regression targets go in npz: as an array of 2 or more axes",
  }),
  // nets/
  unknownNet: (
    where: string,
    name: string,
    near: string | undefined,
    known: readonly string[],
  ) => ({
    code: "unknown-net",
    what: `there is no network "${name}"`,
    where,
    remedy: near ? `Did you mean "net:${near}"?` : `Networks: ${known.join(", ")}`,
  }),
  // node/
  noSuchFile: (where: string) => ({
    code: "no-such-file",
    what: "does not exist",
    where,
    remedy: "Check the path",
  }),
  cannotRead: (where: string, why: string) => ({
    code: "cannot-read",
    what: `cannot be read (${why})`,
    where,
    remedy: "Check what it is and its permissions",
  }),
  packageMissing: (where: string, name: string) => ({
    code: "package-missing",
    what: `needs the package ${name}, which is not installed`,
    where,
    remedy: `Run: npm install ${name}`,
  }),
  badImage: (where: string, why: string) => ({
    code: "bad-image",
    what: `cannot be decoded (${why})`,
    where,
    remedy: "Give complete JPEG, PNG or WebP files",
  }),
  badModule: (where: string, why: string, remedy: string) => ({
    code: "bad-module",
    what: why,
    where,
    remedy,
  }),
  noStudio: (where: string) => ({
    code: "no-studio",
    what: "the studio's page is not there",
    where,
    remedy: "In a checkout build it first: npm run build",
  }),
  cannotListen: (where: string, why: string) => ({
    code: "cannot-listen",
    what: `no server can listen there (${why})`,
    where,
    remedy: "Give another --port, or none for a free one",
  }),
  // codec/
  badPacked: (where: string, why: string) => ({
    code: "bad-packed",
    what: `cannot be unpacked (${why})`,
    where,
    remedy: "Fetch or pack it again",
  }),
  needsBase: (where: string) => ({
    code: "needs-base",
    what: "is a delta, which holds only what another model, its base, does not have",
    where,
    remedy: "Unpack it with its base: tersor unpack FILE --base BASE",
  }),
  badBase: (where: string, of: string, why: string) => ({
    code: "bad-base",
    what: `cannot be the base of ${of} (${why})`,
    where,
    remedy: "Give the model that --base named when the delta was packed",
  }),
  foreignBase: (where: string, of: string) => ({
    code: "foreign-base",
    what: `has no tensor that makes ${of} smaller`,
    where,
    remedy: "Give the model that it was fine-tuned from, or pack without --base",
  }),
  // cli/, node/files
  badUsage: (where: string, why: string, remedy: string) => ({
    code: "bad-usage",
    what: why,
    where,
    remedy,
  }),
  outputIsInput: (where: string) => ({
    code: "output-is-input",
    what: "is the input itself",
    where,
    remedy: "Name another file with -o; --force overwrites the input",
  }),
  outputExists: (where: string) => ({
    code: "output-exists",
    what: "exists already",
    where,
    remedy: "Name another file with -o; --force overwrites it",
  }),
  cannotWrite: (where: string, why: string, remedy: string) => ({
    code: "cannot-write",
    what: `cannot be written (${why})`,
    where,
    remedy,
  }),
  badResume: (where: string, why: string, remedy: string) => ({
    code: "bad-resume",
    what: why,
    where,
    remedy,
  }),
  badSurvey: (where: string, why: string, remedy: string) => ({
    code: "bad-survey",
    what: why,
    where,
    remedy,
  }),
} satisfies Record<string, (...args: never[]) => ErrorInfo>;
