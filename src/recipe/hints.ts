/** @file Hints: inner values of a teacher that a student's are to resemble (FitNets, arXiv 1412.6550). */
import { errors, fail } from "../errors.ts";
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { bindDims } from "../ops/infer.ts";
import { weightsOf } from "../ops/weights.ts";
import { globToRegExp } from "../util/glob.ts";
import { nearest } from "../util/nearest.ts";

export interface Hint {
  /** Name of the input that feeds the teacher's value to a step. */
  readonly port: string;
  readonly student: Value;
  readonly teacher: Value;
  /** Of a batch. */
  readonly shape: readonly number[];
}

/**
 * Layers of both that `hints` names: `conv3*`, or `conv3=block2/conv1` where the teacher calls it
 * otherwise. With `all`, every layer with weights whose output has the same shape in both: block by
 * block reconstruction. Throws TersorError "bad-option" for names and shapes that do not fit.
 */
export function hintsOf(
  model: Model,
  guide: Model,
  { hints, all }: { readonly hints: readonly string[]; readonly all: boolean },
  shapes: Readonly<Record<string, readonly number[]>>,
): Hint[] {
  if (hints.length === 0 && !all) return [];
  const [students, teachers] = [outputsOf(model, shapes), outputsOf(guide, shapes)];
  const layers = new Set(weightsOf(model).map(({ node }) => node.name));
  const pairs =
    hints.length === 0
      ? [...layers].map((name) => [name, name] as const)
      : hints.flatMap((text) => named(text, [...students.keys()]));
  const found = pairs.flatMap(([own, other]): Omit<Hint, "port">[] => {
    const [student, teacher] = [students.get(own), teachers.get(other)];
    const fits = student && teacher && student.shape.join() === teacher.shape.join();
    if (fits) return [{ student: student.value, teacher: teacher.value, shape: student.shape }];
    if (hints.length === 0) return [];
    const why = teacher
      ? `${own} gives [${student?.shape}], the teacher's ${other} [${teacher.shape}]`
      : `the teacher has no layer "${other}"`;
    throw fail(errors.badOption("hints", why, "Name layers of one shape: student=teacher"));
  });
  if (found.length === 0) {
    const why = "no layer has a twin of its shape in the teacher";
    throw fail(errors.badOption("hints", why, "Give --hints student=teacher"));
  }
  return found.map((hint, i) => ({ ...hint, port: `tersor_hint_${i}` }));
}

function named(text: string, names: readonly string[]): (readonly [string, string])[] {
  const [own, other] = text.split("=");
  const matches = names.filter((name) => globToRegExp(own).test(name));
  if (matches.length === 0) throw fail(errors.noMatch("hints", own, nearest(own, names)));
  return matches.map((name) => [name, other ?? name] as const);
}

/** First outputs of the main graph's nodes, by the node's name; the values are the model's own. */
function outputsOf(model: Model, shapes: Readonly<Record<string, readonly number[]>>) {
  const dims = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, shape]));
  const bound = bindDims(model, dims);
  const own = [...model.graph.nodes];
  const found = new Map<string, { readonly value: Value; readonly shape: readonly number[] }>();
  for (const [i, node] of [...bound.graph.nodes].entries()) {
    const { shape, dtype } = node.output;
    const isKnown = shape?.every((dim) => typeof dim === "number");
    if (!isKnown || dtype !== "float32") continue;
    found.set(node.name, { value: (own[i] as Node).output, shape: shape as number[] });
  }
  return found;
}
