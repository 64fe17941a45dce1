/** @file Tune: times the forms of every convolution of a training step and chooses the fastest. */
import { Graph, type Value } from "../ir/graph.ts";
import { createModel } from "../ir/model.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { createRandom } from "../numeric/random.ts";
import { OPSET } from "../onnx/upgrade.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { type Builder, build } from "../ops/builder.ts";
import { blockedConv, blockedDomain, fitsBlocked } from "../ops/grad/conv-blocked.ts";
import { endsOf, type Geometry, isDepthwise, padsOf } from "../ops/grad/conv-geometry.ts";
import { type InputForm, inputForms } from "../ops/grad/conv-input.ts";
import { type WeightForm, weightForms } from "../ops/grad/conv-weight.ts";
import { defaultForms, type Forms, type OutputForm } from "../ops/grad/forms.ts";
import { inferNode } from "../ops/infer.ts";
import { product } from "../util/product.ts";

/** A session of the engine that will train, with the same options. */
export interface Opened {
  run(feeds: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>>;
  close(): Promise<void>;
}

/** The engine and a clock. */
export interface Bench {
  readonly open: (bytes: Uint8Array) => Promise<Opened>;
  /** Processor time used so far; wall time if there is no such clock. */
  readonly cpuMs: () => number;
}

type Role = keyof Forms;
/**
 * The chosen form by part and sizes (see `keyOf`): plain data that is saved with a run and
 * given to its replay.
 */
export type Choices = Readonly<Record<string, string>>;

/** A convolution of the step and the part of it whose form is to be chosen. */
interface Question {
  readonly role: Role;
  readonly geometry: Geometry;
}

/** The chosen forms; the default form where none was chosen. */
export function formsOf(choices: Choices): Forms {
  const choose = (role: Role, geometry: Geometry): string =>
    choices[keyOf(role, geometry)] ?? defaultForms[role](geometry);
  return {
    output: (geometry) => choose("output", geometry) as OutputForm,
    input: (geometry) => choose("input", geometry) as InputForm,
    weight: (geometry) => choose("weight", geometry) as WeightForm,
  };
}

/**
 * Chooses the form of each convolution in the step graph that `make` builds. `make` is called once,
 * to collect the convolutions, and its graph is thrown away.
 *
 * Each different convolution is timed once, as a graph of its own on random numbers. A form whose
 * result differs from the default's is dropped (a blocked layout on another processor). Choices in
 * `known` are taken without timing, except blocked ones that do not suit this processor.
 */
export async function tune(
  make: (forms: Forms) => unknown,
  bench: Bench,
  known: Choices = {},
): Promise<Choices> {
  const questions = new Map<string, Question>();
  const note = (role: Role, geometry: Geometry): void => {
    questions.set(keyOf(role, geometry), { role, geometry });
  };
  const noting = <R extends Role>(role: R): Forms[R] =>
    ((geometry: Geometry) => {
      note(role, geometry);
      return defaultForms[role](geometry);
    }) as Forms[R];
  make({ output: noting("output"), input: noting("input"), weight: noting("weight") });
  let probe: Promise<number | null> | null = null;
  const choices: Record<string, string> = {};
  for (const [key, question] of questions) {
    const given = known[key];
    if (given === undefined || isBlocked(given)) {
      probe ??= blockOf(bench);
      const block = await probe;
      const suits = given === `blocked${block}`;
      choices[key] = suits ? given : await fastest(question, candidates(question, block), bench);
    } else choices[key] = given;
  }
  return choices;
}

const isBlocked = (form: string): boolean => form.startsWith("blocked");

/**
 * "weight 128x16x32x32 16x16x3x3 -> 32x32 strides 1,1 ...": everything that a form's speed depends
 * on.
 */
function keyOf(role: Role, geometry: Geometry): string {
  const { batch, filters, depth, kernel, strides, dilations, group, sides, output } = geometry;
  return [
    role,
    [batch ?? "N", depth * group, ...sides].join("x"),
    [filters, depth, ...kernel].join("x"),
    `-> ${output.join("x")}`,
    `strides ${strides}`,
    `dilations ${dilations}`,
    `pads ${[...geometry.begins, ...endsOf(geometry)]}`,
  ].join(" ");
}

/** The forms to compare, the default first; only the default if sizes are not known. */
function candidates({ role, geometry }: Question, block: number | null): string[] {
  const usual = defaultForms[role](geometry);
  if (geometry.batch === null) return [usual];
  const own = block === null ? [] : [`blocked${block}`];
  const all = {
    output: () => own.filter(() => fitsBlocked(geometry, block ?? 1)),
    input: () =>
      ["transpose", "flip", ...own].filter((form) => inputForms[form as InputForm].fits(geometry)),
    weight: () => likely(geometry, own),
  }[role]();
  return [usual, ...all.filter((form) => form !== usual)];
}

/**
 * Forms of the weight gradient that are worth timing. Those that were slower wherever
 * others fit are left out.
 */
function likely(geometry: Geometry, own: readonly string[]): string[] {
  const rest = isDepthwise(geometry) ? ["multiply"] : ["tap"];
  const known = weightForms.weave.fits(geometry) ? ["weave", ...rest] : Object.keys(weightForms);
  return [...known.filter((form) => !isBlocked(form)), ...own].filter((form) =>
    weightForms[form as WeightForm].fits(geometry),
  );
}

/**
 * Rounds of timing, with one run of each candidate, and the ratio to the fastest beyond which a
 * candidate is dropped.
 */
const rounds = 6;
const hopeless = 1.4;
/**
 * A form replaces the default only if it takes at most 0.93 of its time; smaller differences were
 * noise in repeated runs.
 */
const margin = 0.93;

/**
 * The fastest of the forms; the default, which comes first, unless another one is clearly faster.
 */
async function fastest(
  question: Question,
  forms: readonly string[],
  bench: Bench,
): Promise<string> {
  if (forms.length < 2) return forms[0];
  const feeds = feedsOf(question);
  const open: { form: string; session: Opened; best: number; out: Tensor }[] = [];
  try {
    for (const form of forms) {
      const session = await bench.open(modelOf(question, form)).catch(() => null);
      if (!session) continue;
      // The first run also allocates memory, and is not timed.
      const out = await session.run(feeds).catch(() => null);
      const found = out && Object.values(out)[0];
      if (found && (open.length === 0 || agrees(found, open[0].out))) {
        open.push({ form, session, best: Number.POSITIVE_INFINITY, out: found });
      } else await session.close();
    }
    let rest = open;
    for (let round = 0; round < rounds && rest.length > 1; round++) {
      for (const candidate of rest) {
        const before = bench.cpuMs();
        await candidate.session.run(feeds);
        candidate.best = Math.min(candidate.best, bench.cpuMs() - before);
      }
      const limit = hopeless * Math.min(...rest.map(({ best }) => best));
      rest = rest.filter(({ best }) => best <= limit);
    }
    const [usual] = open;
    const winner = rest.reduce((a, b) => (b.best < a.best ? b : a), rest[0] ?? usual);
    const isClear = winner?.form !== usual?.form && winner.best < margin * usual.best;
    return isClear ? winner.form : (usual?.form ?? forms[0]);
  } finally {
    for (const { session } of open) await session.close();
  }
}

/** Whether two results are equal but for rounding. */
function agrees(found: Tensor, expected: Tensor): boolean {
  const [a, b] = [found.numbers(), expected.numbers()];
  let [error, size] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    const difference = Math.abs(a[i] - b[i]);
    if (!(difference <= error)) error = difference;
    size = Math.max(size, Math.abs(b[i]));
  }
  return a.length === b.length && error <= 1e-4 * size;
}

/**
 * The engine's block of channels on this processor, 16 or 8; null if it has no blocked layout. It
 * is found by comparing a small blocked convolution with a plain one.
 */
async function blockOf(bench: Bench): Promise<number | null> {
  const ones = [1, 1];
  const geometry: Geometry = {
    batch: 1,
    filters: 16,
    depth: 16,
    kernel: [3, 3],
    strides: ones,
    dilations: ones,
    group: 1,
    sides: [4, 4],
    output: [4, 4],
    begins: ones,
  };
  const question: Question = { role: "output", geometry };
  const feeds = feedsOf(question);
  const run = async (form: string): Promise<Tensor | null> => {
    const session = await bench.open(modelOf(question, form)).catch(() => null);
    const out = await session?.run(feeds).catch(() => null);
    await session?.close();
    return out ? Object.values(out)[0] : null;
  };
  const plain = await run("plain");
  for (const block of [16, 8]) {
    const found = await run(`blocked${block}`);
    if (found && plain && agrees(found, plain)) return block;
  }
  return null;
}

const shapesOf = ({ batch, filters, depth, group, kernel, sides, output }: Geometry) => ({
  x: [batch ?? 1, depth * group, ...sides],
  w: [filters, depth, ...kernel],
  dy: [batch ?? 1, filters, ...output],
});

const readBy = { output: ["x", "w"], input: ["dy", "w"], weight: ["x", "dy"] } as const;

/** The timed graphs return every 13th element: enough to compare, and quick to copy. */
const stride = 13;

/** A model that computes one part of one convolution in one form. */
function modelOf({ role, geometry }: Question, form: string): Uint8Array {
  const graph = new Graph(form);
  const g = build(graph, "", inferNode);
  const shapes = shapesOf(geometry);
  const [a, b] = readBy[role].map((name) => graph.addInput(name, "float32", shapes[name]));
  const all = g.Reshape(make(g, role, form, [a, b], geometry), g.ints([-1]));
  const some = g.Slice(all, g.ints([0]), g.ints([2 ** 31]), g.ints([0]), g.ints([stride]));
  graph.setOutputs([some]);
  const model = createModel(graph, OPSET);
  if (isBlocked(form)) model.domains.set(blockedDomain, 1);
  return concat(writeModel(model));
}

/** The nodes of one part in one form; `a` and `b` are its inputs in the order of `readBy`. */
function make(
  g: Builder,
  role: Role,
  form: string,
  [a, b]: readonly Value[],
  geometry: Geometry,
): Value {
  if (role === "input") return inputForms[form as InputForm].make(g, a, b, geometry);
  if (role === "weight") return weightForms[form as WeightForm].make(g, a, b, geometry);
  if (isBlocked(form)) return blockedConv(g, a, b, null, geometry, Number(form.slice(7)));
  const { strides, dilations, group } = geometry;
  return g.Conv(a, b, { strides, dilations, group, pads: padsOf(geometry) });
}

function feedsOf({ role, geometry }: Question): Record<string, Tensor> {
  const random = createRandom(1);
  // A prime number of different values, repeated: drawing millions would take longer than timing.
  const pattern = Float32Array.from({ length: 4093 }, () => random.float() - 0.5);
  const shapes = shapesOf(geometry);
  const entries = readBy[role].map((name) => {
    const values = new Float32Array(product(shapes[name]));
    for (let i = 0; i < values.length; i++) values[i] = pattern[i % pattern.length];
    return [name, tensor("float32", shapes[name], values)] as const;
  });
  return Object.fromEntries(entries);
}
