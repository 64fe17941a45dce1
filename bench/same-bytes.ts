/**
 * @file Shows that a refactor changed no bytes: every method on every real model, by the code here and by
 * an earlier commit's. Writes results/same-bytes.json. Run: npm run bench:same-bytes [-- --base <revision>]
 * [--only <glob>]; the glob names models or recipes.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { outputsOf, runtime } from "../test/support/apply.ts";
import { relativeError } from "../test/support/error.ts";
import { feedsOf } from "../test/support/real-models.ts";
import { fits, type ModelJob, planOf, type Row } from "./same-bytes-plan.ts";
import {
  cachedRows,
  folderFor,
  openBase,
  openTree,
  rowsOf,
  settingsOf,
} from "./same-bytes-sides.ts";

/** What may differ, and why: named bugs that were mended. Globs; emptied when the base moves on. */
const expected: readonly {
  readonly recipe: string;
  readonly model: string;
  readonly reason: string;
}[] = [
  {
    recipe: "* > *",
    model: "silero_vad_op18_ifless",
    reason: "weights that bodies of If capture are found after a first method, too",
  },
  {
    recipe: "hash-weights*",
    model: "*",
    reason: "seeds of hashes are parts with names of their own; outputs are equal, files smaller",
  },
  ...["share-weights* > quantize-int8", "share-weights* > quantize-dynamic"].map((recipe) => ({
    recipe,
    model: "*",
    reason: "an int8 codebook is a form now, with shorter names of nodes",
  })),
  ...["prune-surgery*", "train-rate*"].map((recipe) => ({
    recipe,
    model: "*",
    reason: "trained as latents: no names of guards are left in the file; outputs are equal",
  })),
  ...["quantize-rate*", "share-weights*", "prune-magnitude* > *"].flatMap((recipe) =>
    ["stories260k", "silero_vad_op18_ifless", "ch_PP-OCRv4_???_infer"].map((model) => ({
      recipe,
      model,
      reason: "scales and codebooks of two weights that happen to be equal stay two tensors",
    })),
  ),
];

interface Difference {
  readonly model: string;
  readonly recipe: string;
  /** Base, then tree: bytes of the files; what was said instead, where there is none. */
  readonly results: readonly [number | string, number | string];
  /** The largest difference of an output as a share of its range; null where a side has no file. */
  readonly outputs: number | null;
  /** False where a second run gave other bytes than the first: then the code is to blame, not the change. */
  readonly repeats: boolean;
  /** Why it is expected. */
  readonly reason: string | null;
}

const { values: flags } = parseArgs({
  options: { base: { type: "string", default: "HEAD" }, only: { type: "string" } },
});
const only = flags.only ?? null;
const tree = openTree();
const base = openBase(flags.base);

const models = planOf([await settingsOf(base), await settingsOf(tree)], only);
const began = performance.now();
const before = await cachedRows(base, models, [runtime.version]);
const after = await rowsOf(tree, models);
const pairs = before.rows.map((row, i) => [row, after[i]] as const);

/** A method or an option that only one side has is no difference: there is nothing to compare with. */
const isAlone = ([b, t]: readonly [Row, Row]): boolean =>
  b.state === "unparsed" || t.hash.startsWith("unknown-method");
const alone = pairs.filter(isAlone);
const common = pairs.filter((pair) => !isAlone(pair));
const equal = common.filter(([b, t]) => b.hash === t.hash);
const differences = await explain(common.filter(([b, t]) => b.hash !== t.hash));
report();

/** Runs what differs once more, on both sides, for the outputs of the files. */
async function explain(rows: readonly (readonly [Row, Row])[]): Promise<Difference[]> {
  if (rows.length === 0) return [];
  const again: ModelJob[] = models
    .map((model) => ({
      ...model,
      recipes: rows.flatMap(([{ model: name, recipe }]) => (name === model.name ? [recipe] : [])),
    }))
    .filter(({ recipes }) => recipes.length > 0);
  const keep = folderFor("products");
  const first = await rowsOf(base, again, { keep });
  const second = await rowsOf(tree, again, { keep });
  const result: Difference[] = [];
  for (const [i, [b, t]] of rows.entries()) {
    const { model, recipe } = b;
    const { shapes } = models.find(({ name }) => name === model) as ModelJob;
    const run = ({ hash }: Row) =>
      outputsOf(readFileSync(new URL(`${hash}.onnx`, keep)), feedsOf(shapes));
    const files = [first[i], second[i]].every(({ bytes }) => bytes !== null);
    result.push({
      model,
      recipe,
      results: [b.bytes ?? b.hash, t.bytes ?? t.hash],
      outputs: files ? relativeError(await run(first[i]), await run(second[i])) : null,
      repeats: first[i].hash === b.hash && second[i].hash === t.hash,
      reason:
        expected.find((e) => fits(e.recipe, named(recipe)) && fits(e.model, model))?.reason ?? null,
    });
  }
  return result;
}

function report(): void {
  const seconds = (rows: readonly Row[]) =>
    Math.round(rows.reduce((sum, { cpuMs }) => sum + cpuMs, 0) / 1000);
  const unexpected = differences.filter(({ reason }) => reason === null);
  for (const difference of differences) print(difference);
  const counts = Object.fromEntries(
    (["made", "undone", "idle", "refused"] as const).map((state) => [
      state,
      equal.filter(([b]) => b.state === state).length,
    ]),
  );
  const lonely = {
    new: namesOf(alone.filter(([b, t]) => b.state === "unparsed" && t.state !== "unparsed")),
    gone: namesOf(alone.filter(([b, t]) => b.state !== "unparsed" && t.state === "unparsed")),
    unknown: namesOf(alone.filter(([b, t]) => b.state === "unparsed" && t.state === "unparsed")),
  };
  const result = {
    what: "SHA-256 of what every recipe writes, by the code of two commits",
    base: base.commit,
    tree: tree.commit,
    runtime: `onnxruntime-node ${runtime.version}`,
    models: models.length,
    recipes: new Set(pairs.map(([{ recipe }]) => recipe)).size,
    pairs: pairs.length,
    equal: { all: equal.length, ...counts },
    cpuSeconds: { base: seconds(before.rows), tree: seconds(after) },
    ...lonely,
    differences,
    refusals: tally(equal.filter(([b]) => b.state === "refused").map(([b]) => b)),
  };
  for (const [what, recipes] of Object.entries(lonely))
    if (recipes.length > 0) console.log(`${what}: ${recipes.join(", ")}`);
  const states = Object.entries(counts).map(([state, count]) => `${count} ${state}`);
  console.log(`${equal.length} of ${pairs.length} equal (${states.join(", ")})`);
  console.log(`${differences.length} differ, ${unexpected.length} of them unexpected`);
  const wall = Math.round((performance.now() - began) / 1000);
  const { base: first, tree: second } = result.cpuSeconds;
  console.log(
    `CPU time: base ${first} s (${before.fresh} run now), tree ${second} s; ${wall} s passed`,
  );
  if (only === null)
    writeFileSync(
      new URL("results/same-bytes.json", import.meta.url),
      `${JSON.stringify(result, null, 1)}\n`,
    );
  process.exitCode = unexpected.length > 0 ? 1 : 0;
}

function print({ model, recipe, results, outputs, repeats, reason }: Difference): void {
  const notes = [
    outputs === 0 && "outputs equal",
    outputs && `outputs differ by ${outputs.toExponential(1)}`,
    !repeats && "NOT REPEATABLE",
    reason && `expected: ${reason}`,
  ];
  const said = notes.filter(Boolean).join("; ");
  console.log(`${model.padEnd(40)} ${named(recipe).padEnd(50)} ${results.join(" -> ")}  ${said}`);
}

function named(recipe: string): string {
  return recipe || "simplify";
}

function namesOf(rows: readonly (readonly [Row, Row])[]): string[] {
  return [...new Set(rows.map(([{ recipe }]) => named(recipe)))];
}

/** Who was refused, by what was said. */
function tally(rows: readonly Row[]): Record<string, string[]> {
  const groups: Record<string, string[]> = {};
  for (const { hash, model, recipe } of rows) {
    groups[hash] ??= [];
    groups[hash].push(`${model} ${named(recipe)}`);
  }
  return groups;
}
