/** @file Hints: pairs of inner values that distillation makes alike (FitNets, arXiv 1412.6550). */
import { errors, fail } from "../errors.ts";
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { bindDims } from "../ops/infer.ts";
import { weightsOf } from "../ops/weights.ts";
import type { Likeness } from "../train/hint-losses.ts";
import { globToRegExp } from "../util/glob.ts";
import { nearest } from "../util/nearest.ts";

/** A value of the student and the value of the teacher that it shall resemble, both float32. */
export interface Hint {
  /** Name of the graph input through which the teacher's value enters a training step. */
  readonly port: string;
  readonly student: Value;
  readonly teacher: Value;
  /** Shape of the teacher's value for one batch. */
  readonly shape: readonly number[];
  /** The axis of channels of both, and how many the student has. */
  readonly axis: number;
  readonly ownWidth: number;
}

/**
 * The pairs of layer outputs that `hints` names: `conv3*` for layers of the same name, or
 * `conv3=block2/conv1` where the teacher's layer has another name. With `all` and no `hints`, every
 * layer with weights that has an output of the same name and shape in both models. `shapes` are the
 * inputs' shapes for one batch. Throws TersorError "bad-option" where the teacher lacks a layer,
 * where the two shapes are not as alike as the loss needs them and where no pair is left, "no-match" where a glob matches nothing.
 */
export function hintsOf(
  model: Model,
  guide: Model,
  { hints, all, fits }: HintChoice,
  shapes: Readonly<Record<string, readonly number[]>>,
): Hint[] {
  if (hints.length === 0 && !all) return [];
  const students = outputsOf(model, shapes);
  const teachers = outputsOf(guide, byPlace(guide, shapes));
  const layers = new Set(weightsOf(model).map(({ node }) => node.name));
  const pairs =
    hints.length === 0
      ? [...layers].map((name) => [name, name] as const)
      : hints.flatMap((text) => named(text, [...students.keys()]));
  const found = pairs.flatMap(([own, other]): Omit<Hint, "port">[] => {
    const [student, teacher] = [students.get(own), teachers.get(other)];
    const axis = student && teacher && channelsOf(student.shape, teacher.shape, fits);
    if (typeof axis === "number") {
      const { value, shape } = student as Found;
      const guide = teacher as Found;
      const own = { student: value, ownWidth: shape[axis], axis };
      return [{ ...own, teacher: guide.value, shape: guide.shape }];
    }
    if (hints.length === 0) return [];
    const why = teacher
      ? `${own} gives [${student?.shape}], the teacher's ${other} [${teacher.shape}]`
      : `the teacher has no layer "${other}"`;
    const remedy =
      fits === "same"
        ? "Name layers of one shape: student=teacher, or give hintloss=fitnet or attention"
        : "Name layers whose maps have one size: student=teacher";
    throw fail(errors.badOption("hints", why, remedy));
  });
  if (found.length === 0) {
    const why = "no layer has a twin of its shape in the teacher";
    throw fail(errors.badOption("hints", why, "Give --hints student=teacher"));
  }
  return found.map((hint, i) => ({ ...hint, port: `tersor_hint_${i}` }));
}

export interface HintChoice {
  readonly hints: readonly string[];
  /** Every layer, if no hint is named. */
  readonly all: boolean;
  /** How alike the shapes have to be. */
  readonly fits: Likeness;
}

/**
 * The axis of channels: the one in which shapes differ, else 1 of pictures and the last one of
 * others. Null for shapes that cannot be compared.
 */
function channelsOf(a: readonly number[], b: readonly number[], fits: Likeness): number | null {
  const usual = a.length >= 4 ? 1 : a.length - 1;
  if (fits === "any") return a[0] === b[0] ? usual : null;
  if (a.length !== b.length || a.length === 0) return null;
  const apart = a.flatMap((dim, i) => (dim === b[i] ? [] : [i]));
  if (apart.length === 0) return usual;
  return fits === "same" || apart.length > 1 || apart[0] === 0 ? null : apart[0];
}

interface Found {
  readonly value: Value;
  readonly shape: readonly number[];
}

/** The shapes under the model's own input names: by their order where names differ, as in teacher.ts. */
function byPlace(
  { graph: { inputs } }: Model,
  shapes: Readonly<Record<string, readonly number[]>>,
): Readonly<Record<string, readonly number[]>> {
  const given = Object.entries(shapes);
  const isNamed = inputs.every(({ name }) => Object.hasOwn(shapes, name));
  if (isNamed || given.length !== inputs.length) return shapes;
  return Object.fromEntries(given.map(([, shape], i) => [inputs[i].name, shape]));
}

/** `glob` or `glob=other` -> pairs [student's layer, teacher's layer]. */
function named(text: string, names: readonly string[]): (readonly [string, string])[] {
  const [own, other] = text.split("=");
  const matches = names.filter((name) => globToRegExp(own).test(name));
  if (matches.length === 0) throw fail(errors.noMatch("hints", own, nearest(own, names)));
  return matches.map((name) => [name, other ?? name] as const);
}

/**
 * The first output of each node of the main graph, by the node's name; only those that are float32
 * and whose shape follows from the input `shapes`. The values are the model's own, not copies.
 */
function outputsOf(model: Model, shapes: Readonly<Record<string, readonly number[]>>) {
  const dims = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, shape]));
  const bound = bindDims(model, dims);
  const own = [...model.graph.nodes];
  const found = new Map<string, Found>();
  for (const [i, node] of [...bound.graph.nodes].entries()) {
    const { shape, dtype } = node.output;
    const isKnown = shape?.every((dim) => typeof dim === "number");
    if (!isKnown || dtype !== "float32") continue;
    found.set(node.name, { value: (own[i] as Node).output, shape: shape as number[] });
  }
  return found;
}
