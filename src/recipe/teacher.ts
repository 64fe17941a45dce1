/** @file Teacher: the model whose outputs a distillation loss learns from, with a cache of them. */
import { errors, fail } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { cloneGraph, copyNodes, type Model } from "../ir/model.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { createRandom } from "../numeric/random.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { type Builder, build } from "../ops/builder.ts";
import { isDropout, startDropping } from "../ops/dropout.ts";
import { rewrite } from "../rewrite/index.ts";
import type { Feeds, Session } from "../runtime/runtime.ts";
import { scoresOf } from "../train/objective.ts";
import { membersOf, outputsOfMembers } from "./ensemble.ts";
import { keysOf, type Taught } from "./taught.ts";

/** Computes the outputs that a student learns from. */
export interface Teacher {
  /**
   * The teacher's outputs for one batch: the scores if the loss uses them, then the hints, float32,
   * in the order of `teacherBytes`. `indices` are the records' numbers, `inputs` the batch itself,
   * `lane` the number of the engine that computes them.
   */
  teach(indices: readonly number[], inputs: Feeds, lane: number): Promise<Tensor[]>;
  /** Keeps the scores for later runs. */
  save(): Promise<void>;
}

/** What is asked of a teacher. */
export interface Lesson {
  /** The number of a member's output (see ensemble.ts); null: no output. */
  readonly output: number | null;
  readonly hints: readonly Value[];
  /** The number of classes where probabilities are averaged over members and draws; else null. */
  readonly classes: number | null;
  /** How often the teacher answers with its Dropout at work; 0: once, without. */
  readonly draws: number;
}

/**
 * An ONNX file of the teacher with other outputs: its scores before a softmax, then the inner values
 * `hints`. Where it answers several times (as an ensemble, or with Dropout at work), the scores are
 *   log(mean_k softmax(z_k))                      with classes, else mean_k z_k
 * Hinton et al. 2015, arXiv 1503.02531, section 1 (ensembles); Korattikara et al. 2015, Bayesian dark
 * knowledge, arXiv 1506.04416, eq. 6, with Dropout's masks as the draws (Gal, Ghahramani 2016, arXiv
 * 1506.02142, eq. 6). Throws TersorError "bad-option" for draws of a teacher without Dropout.
 */
export function teacherBytes(
  model: Model,
  { output: index, hints, classes, draws }: Lesson,
): Uint8Array {
  const twins = new Map<Value, Value>();
  const graph = cloneGraph(model.graph, twins);
  const g = build(graph, "teach");
  const answers = index === null ? [] : outputsOfMembers(model).map((own) => own[index]);
  const found =
    draws > 0
      ? Array.from({ length: draws }, (_, i) => drawn(model, graph, twins, i + 1)).flatMap((of) =>
          answers.map((answer) => of.get(answer) as Value),
        )
      : answers.map((answer) => twins.get(answer) as Value);
  const scores = index === null ? [] : [averaged(g, found.map(scoresOf), classes)];
  const wanted = [...scores, ...hints.map((hint) => twins.get(hint) as Value)];
  const outputs = wanted.map((value) => g.Identity(value));
  for (const [i, output] of outputs.entries()) output.name = nameOf(i);
  graph.setOutputs(outputs);
  const teacher: Model = { ...model, graph };
  rewrite(teacher, { rules: ["drop-dead"] });
  return concat(writeModel(teacher));
}

/** The scores that stand for all: see `teacherBytes`. */
function averaged(g: Builder, all: readonly Value[], classes: number | null): Value {
  if (all.length === 1) return all[0];
  if (classes === null) return g.Mean(...all);
  const rows = all.map((scores) => {
    const logs = g.LogSoftmax(g.Reshape(scores, g.ints([-1, classes], "shape")), { axis: -1 });
    return g.Unsqueeze(logs, g.ints([0], "axes"));
  });
  const sum = g.ReduceLogSumExp(g.Concat(...rows, { axis: 0 }), g.ints([0], "axes"), {
    keepdims: 0,
  });
  return g.Sub(sum, g.constant(Math.log(all.length)));
}

/** Adds the teacher's nodes once more, with Dropout at work; the copies of its values. */
function drawn(
  model: Model,
  into: Model["graph"],
  twins: ReadonlyMap<Value, Value>,
  draw: number,
): ReadonlyMap<Value, Value> {
  const { inputs, constants } = model.graph;
  const own = new Map([...inputs, ...constants].map((value) => [value, twins.get(value) as Value]));
  const before = new Set(into.nodes);
  copyNodes(model.graph, into, own);
  const dropouts = [...into.nodes].filter((node) => !before.has(node) && isDropout(node));
  if (dropouts.length === 0) {
    const why = "the teacher has no Dropout, so all its answers would be equal";
    throw fail(errors.badOption("draws", why, "Leave it out, or export the teacher with Dropout"));
  }
  // The engine's masks of seeds that are close to each other are alike, so these are drawn as well.
  const random = createRandom(draw);
  for (const node of dropouts) startDropping(node, random.uint32() >>> 1);
  return own;
}

/** The number of the teacher's output for output `index` of the student: the same, or 0. */
export const taughtOutput = (model: Model, index: number): number =>
  model.graph.outputs.length / membersOf(model) > index ? index : 0;

const nameOf = (i: number): string => `tersor_taught_${i}`;

/**
 * A teacher that runs in `sessions`, one per lane. With `taught` each record's scores are computed
 * once and kept there; allowed only if there are no hints and a record's inputs are the same in every
 * epoch (no augmentation).
 */
export function createTeacher(sessions: readonly Session[], taught: Taught | null): Teacher {
  const keys = new Map<number, string>();
  return {
    async teach(indices, inputs, lane) {
      if (taught && indices.some((index) => !keys.has(index))) {
        const found = await keysOf(inputs, indices.length);
        for (const [i, index] of indices.entries()) keys.set(index, found[i]);
      }
      const rows = taught ? indices.map((index) => taught.get(keys.get(index) as string)) : [];
      const [row] = rows;
      if (row && rows.every((other) => other?.length === row.length)) {
        const all = new Float32Array(row.length * rows.length);
        for (const [i, other] of rows.entries()) all.set(other as Float32Array, i * row.length);
        return [tensor("float32", [rows.length, row.length], all)];
      }
      const session = sessions[lane % sessions.length];
      const outputs = await session.run(renamed(inputs, session));
      const answers = Object.keys(outputs).map((_, i) => outputs[nameOf(i)]);
      if (!taught) return answers;
      const values = answers[0].floats();
      const size = values.length / indices.length;
      for (const [i, index] of indices.entries()) {
        taught.set(keys.get(index) as string, values.slice(i * size, (i + 1) * size));
      }
      return answers;
    },
    save: async () => taught?.save(),
  };
}

/**
 * The inputs under the teacher's input names. A teacher from another source may use other names;
 * then the inputs are matched by their order, if there are equally many.
 */
function renamed(inputs: Feeds, { inputs: ports }: Pick<Session, "inputs">): Feeds {
  const given = Object.entries(inputs);
  if (given.length !== ports.length || ports.every(({ name }) => Object.hasOwn(inputs, name)))
    return inputs;
  return Object.fromEntries(given.map(([, value], i) => [ports[i].name, value]));
}
