/** @file The studio's command line and program say what the page did: they are parsed back. */
import { expect, test } from "vitest";
import { type Command, dispatch } from "../../src/cli/command.ts";
import { compressCommand } from "../../src/cli/compress.ts";
import { type DataFlags, dataSettings } from "../../src/cli/flags.ts";
import { searchCommand } from "../../src/cli/search.ts";
import { parseDataOptions } from "../../src/data/options.ts";
import { searchOptionInfos } from "../../src/recipe/search/options.ts";
import { commandLine, searchLine, typeScript } from "../../studio/src/parts/as-text.ts";

/** The words of a line for a POSIX shell that has no quotes but '...'. */
const wordsOf = (line: string): string[] =>
  (line.match(/(?:'[^']*'|\\'|[^\s'])+/g) ?? []).map((word) =>
    word.replace(/'([^']*)'|\\'/g, (_, inner) => inner ?? "'"),
  );

/** The line as the command itself understands it. */
async function parsed(line: string, own = compressCommand as Command<Flags>) {
  const [npx, tersor, ...words] = wordsOf(line);
  expect([npx, tersor, words[0]]).toEqual(["npx", "tersor", own.name]);
  let found: Parsed | null = null;
  const command: Command<Flags> = {
    ...own,
    async run(_, [model], flags) {
      found = { model, ...flags, ...dataSettings(flags) };
      return 0;
    },
  };
  const none = { write: () => {} };
  const io = { stdout: none, stderr: none, signal: new AbortController().signal, env: {} };
  await dispatch([command as never], words, io, { version: "", description: "" });
  return found as unknown as Parsed;
}

interface Flags extends DataFlags {
  readonly seed?: number;
  readonly recipe?: string;
  readonly output?: string;
}
type Parsed = { model: string } & Omit<Flags, keyof ReturnType<typeof dataSettings>> &
  ReturnType<typeof dataSettings>;

const run = {
  path: "my models/it's.onnx",
  recipe: "prune-magnitude:sparsity=0.8,only=a*|b > share-weights:bits=4",
  steps: [],
  seed: 7,
  dims: {},
};

const typed = {
  scale: 127.5,
  mean: "-.485,.456,.406",
  std: ".229,.224,.225",
  size: "32x48",
  layout: "nhwc",
  fill: 114,
  bgr: true,
  sampleRate: 16000,
  hop: 160,
  tokenizer: "my tokenizer.json",
  labelOffset: -1,
  limit: 100,
  nonFinite: "keep",
  input: "x,sr=16000,mask=mask",
};

test("each option that was typed means the same on the command line", async () => {
  expect(Object.keys(typed)).toEqual(Object.keys(parseDataOptions(typed)));
  for (const [name, value] of [...Object.entries(typed), ["size", "48"], ["mean", 0.5]] as const) {
    const one = { [name]: value };
    const data = { spec: "images:my pictures.zip", options: parseDataOptions(one), typed: one };
    const line = commandLine({ ...run, data });
    const back = await parsed(line);
    expect(back.data, line).toEqual({ spec: data.spec, options: normal(data.options) });
  }
  const data = { spec: "npz:d.npz", options: parseDataOptions(typed), typed };
  const back = await parsed(commandLine({ ...run, data }));
  expect(back.data?.options).toEqual(normal(data.options));
  expect(back).toMatchObject({
    model: run.path,
    seed: 7,
    recipe: run.recipe,
    output: "it's.small.onnx",
  });
});

/** The flag --input may be given several times, so that its value is a list. */
const normal = ({ input, ...options }: ReturnType<typeof parseDataOptions>) =>
  input === undefined ? options : { ...options, input: [input].flat() };

test("a switch that is off, sizes of open axes, no data", async () => {
  const off = { spec: "npz:d.npz", options: { bgr: false }, typed: { bgr: false } };
  expect((await parsed(commandLine({ ...run, data: off }))).data).toEqual({
    spec: off.spec,
    options: {},
  });
  const dims = { H: 224, "x.3": 32 };
  expect(await parsed(commandLine({ ...run, data: null, dims }))).toMatchObject({
    dims,
    data: null,
  });
  const line = commandLine({
    ...run,
    path: "net:lenet-5",
    recipe: "",
    data: null,
    seed: undefined,
  });
  expect(line).toBe("npx tersor compress net:lenet-5 --recipe simplify -o lenet-5.small.onnx");
});

test("the program has the options as values, and names that are no identifiers in quotes", () => {
  const typed = { size: "32x48", input: "x" };
  const data = { spec: "npz:d.npz", options: parseDataOptions(typed), typed };
  expect(typeScript({ ...run, steps: [{ method: "pack", options: {} }], data })).toContain(
    '  data: { spec: "npz:d.npz", options: { size: [32, 48], input: "x" } },',
  );
  expect(typeScript({ ...run, data: null, dims: { "x.3": 32, H: 1 } })).toContain(
    '  dims: { "x.3": 32, H: 1 },',
  );
});

test("a search means the same on the command line", async () => {
  const { path, seed } = run;
  const data = { spec: "images:my pictures.zip", options: { limit: 9 }, typed: { limit: 9 } };
  const settings = { data, seed, dims: {} };
  const typed = {
    ...{ target: "size<=120KB, drop<=0.5", budget: "2m", goal: "size:1, latency:2" },
    ...{ trials: 3, train: false, strategy: "random" },
  };
  expect(Object.keys(typed)).toEqual(searchOptionInfos().map(({ name }) => name));
  const line = searchLine({ path, typed, settings });
  expect(await parsed(line, searchCommand as unknown as Command<Flags>)).toMatchObject({
    ...{ ...typed, model: path, budget: 120, seed: 7 },
    data: { spec: data.spec, options: data.options },
  });
  const none = { data: null, seed: undefined, dims: {} };
  expect(searchLine({ path: "a.onnx", typed: {}, settings: none })).toBe(
    "npx tersor search a.onnx",
  );
});
