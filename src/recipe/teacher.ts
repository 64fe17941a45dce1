/** @file Teacher: the model whose outputs a distillation loss learns from, with a cache of them. */
import type { Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { build } from "../ops/builder.ts";
import { rewrite } from "../rewrite/index.ts";
import type { Feeds, Session } from "../runtime/runtime.ts";
import { scoresOf } from "../train/objective.ts";

/** Outputs are cached up to this many bytes. */
const memory = 2 ** 28;

/** Computes the outputs that a student learns from. */
export interface Teacher {
  /**
   * The teacher's outputs for one batch: the scores if the loss uses them, then the hints, float32,
   * in the order of `teacherBytes`. `indices` are the records' numbers, the keys of the cache;
   * `inputs` the batch itself; `lane` the number of the engine that computes them.
   */
  teach(indices: readonly number[], inputs: Feeds, lane: number): Promise<Tensor[]>;
}

/**
 * An ONNX file of the teacher with other outputs: the scores of its output `index` before a softmax
 * (`index` null: no scores), then the inner values `hints`.
 */
export function teacherBytes(
  model: Model,
  index: number | null,
  hints: readonly Value[],
): Uint8Array {
  const twins = new Map<Value, Value>();
  const graph = cloneGraph(model.graph, twins);
  const g = build(graph, "teach");
  const scores = index === null ? [] : [scoresOf(graph.outputs[index])];
  const wanted = [...scores, ...hints.map((hint) => twins.get(hint) as Value)];
  const outputs = wanted.map((value) => g.Identity(value));
  for (const [i, output] of outputs.entries()) output.name = nameOf(i);
  graph.setOutputs(outputs);
  const teacher: Model = { ...model, graph };
  rewrite(teacher, { rules: ["drop-dead"] });
  return concat(writeModel(teacher));
}

/** The teacher's output for output `index` of the student: the same, or 0 where it lacks that. */
export const taughtOutput = ({ graph }: Model, index: number): number =>
  graph.outputs.length > index ? index : 0;

const nameOf = (i: number): string => `tersor_taught_${i}`;

/**
 * A teacher that runs in `sessions`, one per lane. With `remembers` each record's scores are
 * computed once and cached; allowed only if there are no hints and a record's inputs are the same
 * in every epoch (no augmentation).
 */
export function createTeacher(sessions: readonly Session[], remembers: boolean): Teacher {
  const known = new Map<number, Float32Array>();
  let room = memory;
  return {
    async teach(indices, inputs, lane) {
      const rows = indices.map((index) => known.get(index));
      const [row] = rows;
      if (row && rows.every((other) => other !== undefined)) {
        const all = new Float32Array(row.length * rows.length);
        for (const [i, other] of rows.entries()) all.set(other as Float32Array, i * row.length);
        return [tensor("float32", [rows.length, row.length], all)];
      }
      const session = sessions[lane % sessions.length];
      const outputs = await session.run(renamed(inputs, session));
      const taught = Object.keys(outputs).map((_, i) => outputs[nameOf(i)]);
      if (!remembers) return taught;
      const values = taught[0].floats();
      const size = values.length / indices.length;
      for (const [i, index] of indices.entries()) {
        if (room <= 0 || known.has(index)) continue;
        known.set(index, values.slice(i * size, (i + 1) * size));
        room -= 4 * size;
      }
      return taught;
    },
  };
}

/**
 * The inputs under the teacher's input names. A teacher from another source may use other names;
 * then the inputs are matched by their order, if there are equally many.
 */
function renamed(inputs: Feeds, { inputs: ports }: Pick<Session, "inputs">): Feeds {
  const given = Object.entries(inputs);
  if (given.length !== ports.length || ports.every(({ name }) => inputs[name])) return inputs;
  return Object.fromEntries(given.map(([, value], i) => [ports[i].name, value]));
}
