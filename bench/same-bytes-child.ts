/**
 * @file One side of bench/same-bytes.ts: the code below a root, applied to models; sends what it wrote, as hashes.
 *
 * A process of its own for each side, because two versions of the same modules must not meet. Everything
 * is imported from the root it is told, and only from paths that every revision has. Argument: a job file.
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import type { Job, Listed, ModelJob, Row } from "./same-bytes-plan.ts";

process.on("disconnect", () => process.exit(1)); // nobody listens any more
const job: Job = JSON.parse(readFileSync(process.argv[2], "utf8"));
const load = (path: string) => import(new URL(path, job.root).href);

const { environmentOf }: typeof import("../test/support/apply.ts") =
  await load("test/support/apply.ts");
const { feedsOf }: typeof import("../test/support/real-models.ts") = await load(
  "test/support/real-models.ts",
);
const { readModel }: typeof import("../src/onnx/read.ts") = await load("src/onnx/read.ts");
const { concat, writeModel }: typeof import("../src/onnx/write.ts") =
  await load("src/onnx/write.ts");
const { methods }: typeof import("../src/methods/index.ts") = await load("src/methods/index.ts");
const { simplify }: typeof import("../src/recipe/trial.ts") = await load("src/recipe/trial.ts");
const { applyRecipe }: typeof import("../src/recipe/apply.ts") = await load("src/recipe/apply.ts");
const { parseRecipe, formatRecipe, isTraining }: typeof import("../src/recipe/steps.ts") =
  await load("src/recipe/steps.ts");

type Environment = ReturnType<typeof environmentOf>;
type Records = NonNullable<Environment["training"]>;
type Feeds = Environment["feeds"];
type Tensor = Feeds[string];
type Model = ReturnType<typeof readModel>;

// Where tensors are made may move: the module that makes the real models' inputs knows it.
const maker = /import \{[^}]*\btensor\b[^}]*\} from "\.\.\/\.\.\/([^"]+)"/.exec(
  readFileSync(new URL("test/support/real-models.ts", job.root), "utf8"),
)?.[1] as string;
const { tensor }: { tensor(dtype: string, shape: readonly number[], values: unknown): Tensor } =
  await load(maker);

if (job.models === null) send({ listed: settings() });
else for (const model of job.models) await runModel(model);
// All messages are sent by then.
process.send?.({ done: true }, () => process.exit());

function send(message: { listed: Listed } | { row: Row }): void {
  process.send?.(message);
}

/** Every method of this side's table with its defaults and at the survey's settings, as text. */
function settings(): Listed {
  const listed: Listed = { plain: [], training: [] };
  for (const [id, { survey }] of Object.entries(methods)) {
    for (const options of [{}, ...survey]) {
      const steps = parseRecipe(textOf(id, options));
      if (!steps.some(isTraining)) listed.plain.push(formatRecipe(steps));
      else listed.training.push(briefly(id, options) ?? formatRecipe(steps));
    }
  }
  return listed;
}

function textOf(id: string, options: Readonly<Record<string, unknown>>): string {
  const pairs = Object.entries(options).map(
    ([name, value]) => `${name}=${Array.isArray(value) ? value.join("|") : value}`,
  );
  return `${id}:${pairs.join(",")}`;
}

/** A few steps of training tell as much as many. Null where the method has no such option. */
function briefly(id: string, options: Readonly<Record<string, unknown>>): string | null {
  try {
    return formatRecipe(parseRecipe(textOf(id, { ...options, epochs: 2 })));
  } catch {
    return null;
  }
}

async function runModel({ name, path, shapes, records, recipes }: ModelJob): Promise<void> {
  let ready: Ready | string;
  try {
    const model = readModel(new Uint8Array(readFileSync(path)), { name });
    const start = simplify(model);
    ready = { model, start, env: await environmentFor(start, shapes, records) };
  } catch (cause) {
    ready = wordsOf(cause);
  }
  for (const recipe of recipes) {
    const began = process.cpuUsage();
    const row =
      typeof ready === "string"
        ? { state: "refused" as const, hash: ready, bytes: null }
        : await attempt(ready, recipe);
    const { user, system } = process.cpuUsage(began);
    send({ row: { ...row, model: name, recipe, cpuMs: Math.round((user + system) / 1000) } });
  }
}

interface Ready {
  readonly model: Model;
  /** What recipes start from. */
  readonly start: Model;
  readonly env: Environment;
}

/** TersorErrors begin with their code. Where the code lies is not what it says. */
function wordsOf(cause: unknown): string {
  return (cause as Error).message.replaceAll(job.root, "");
}

/** What a recipe makes; what it throws is a result, too. */
async function attempt(
  { model, start, env }: Ready,
  recipe: string,
): Promise<Omit<Row, "model" | "recipe" | "cpuMs">> {
  let state: Row["state"] = "unparsed";
  try {
    const steps = parseRecipe(recipe);
    state = "refused";
    const own = steps.some(isTraining) ? simplify(model, steps) : start;
    const { bytes, kept } = await applyRecipe(own, steps, env);
    const hash = hashOf(bytes);
    if (job.keep) writeFileSync(new URL(`${hash}.onnx`, job.keep), bytes);
    const isIdle = steps.length > 0 && hash === hashOf(concat(writeModel(own)));
    state = kept.includes(false) ? "undone" : isIdle ? "idle" : "made";
    return { state, hash, bytes: bytes.byteLength };
  } catch (cause) {
    return { state, hash: wordsOf(cause), bytes: null };
  }
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Calibration and training records that never change; labels where the outputs are classes' scores. */
async function environmentFor(
  start: Model,
  shapes: ModelJob["shapes"],
  records: number,
): Promise<Environment> {
  const feeds = feedsOf(shapes);
  const net = { name: start.graph.name, model: start, feeds: () => feeds };
  const env = environmentOf(net, { feeds });
  const classes = await classesOf(start, env);
  return {
    ...env,
    calibration: recordsOf(shapes, records, 0, null),
    training: recordsOf(shapes, records, 1, classes),
  };
}

/** The number of classes where the one output is [N, C]; null: a teacher stands in for labels. */
async function classesOf(model: Model, { runtime, feeds }: Environment): Promise<number | null> {
  const session = await runtime.open({ bytes: concat(writeModel(model)) }, { threads: 1 });
  const outputs = Object.values(await session.run(feeds));
  await session.close();
  const [{ shape, dtype }] = outputs;
  return outputs.length === 1 && shape.length === 2 && dtype === "float32" ? shape[1] : null;
}

/** Rows of the inputs by their index, each other in every record: pixels move by the index. */
function recordsOf(
  shapes: ModelJob["shapes"],
  length: number,
  turn: number,
  classes: number | null,
): Records {
  const wide = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, batched(name, shape, length)]),
  );
  const all = feedsOf(wide);
  const labels = classes ? Array.from({ length }, (_, i) => (i * 7 + turn) % classes) : null;
  return {
    ...{ name: `fixed ${turn}`, length, classes: null, labelled: labels !== null },
    async read(indices) {
      const inputs = Object.entries(all).map(([name, whole]) => [
        name,
        rowsOf(whole, axisOf(name), indices, turn),
      ]);
      const label =
        labels &&
        tensor(
          "int64",
          [indices.length],
          indices.map((i) => labels[i]),
        );
      return { inputs: Object.fromEntries(inputs), label, size: indices.length };
    },
  };
}

/** A recurrent net's state counts its layers first. */
function axisOf(name: string): number {
  return name === "state" ? 1 : 0;
}

function batched(name: string, shape: readonly number[], length: number): readonly number[] {
  return shape.length === 0 ? shape : shape.with(axisOf(name), length);
}

function rowsOf(whole: Tensor, axis: number, indices: readonly number[], turn: number): Tensor {
  const { dtype, shape } = whole;
  if (shape.length === 0) return whole;
  const values = whole.numbers();
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const outer = shape.slice(0, axis).reduce((a, b) => a * b, 1);
  const taken = new Float64Array(outer * indices.length * inner);
  let at = 0;
  for (let o = 0; o < outer; o++) {
    for (const index of indices) {
      const from = (o * shape[axis] + index) * inner;
      const shift = index * 5 + turn * 3;
      for (let i = 0; i < inner; i++) taken[at++] = values[from + ((i + shift) % inner)];
    }
  }
  return tensor(dtype, shape.with(axis, indices.length), Array.from(taken));
}
