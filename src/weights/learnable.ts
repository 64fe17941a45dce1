/** @file Which constants of a model training changes. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { normInputsOf, operandOf } from "../ops/norms.ts";
import { biasOf, weightsOf } from "../ops/weights.ts";
import { readWeight } from "./read.ts";
import type { Weight } from "./weight.ts";

/**
 * A constant that learns. weight: a layer multiplies by it, or it is a part of the form that
 * computes such a weight; bias: a layer adds it; norm: scale or shift of a normalization.
 */
export interface Learnable {
  /** A float32 constant of the model. */
  readonly value: Value;
  /** The layer that it belongs to, for globs and messages. */
  readonly node: Node;
  readonly kind: "weight" | "bias" | "norm";
  /** Whether exact zeros stay zero, because pruning made them. */
  readonly keepsZeros: boolean;
}

/**
 * The float32 constants that can learn, in execution order, each once. Layers for which `isTrained`
 * is false are left out, together with what they share with others. Tables of several axes that are
 * added or multiplied (masks, positions, rotations) do not learn, because they cannot be told from
 * constants that have to stay.
 */
export function learnableOf(model: Model, isTrained = (_: Node): boolean => true): Learnable[] {
  const found = new Map<Value, Learnable>();
  /** Constants that a layer reads which is left out; they stay even if other layers read them. */
  const fixed = new Set<Value>();
  const take = (value: Value | null, node: Node, kind: Learnable["kind"]): void => {
    for (const { value: leaf, keepsZeros } of value ? leavesOf(value, kind === "weight") : []) {
      if (!isTrained(node)) fixed.add(leaf);
      if (!found.has(leaf)) found.set(leaf, { value: leaf, node, kind, keepsZeros });
    }
  };
  for (const { value, node } of weightsOf(model)) {
    take(value, node, "weight");
    take(biasOf(node), node, "bias");
  }
  for (const node of model.graph.sorted()) {
    for (const index of normInputsOf(node)) take(node.inputs[index] ?? null, node, "norm");
    const operand = operandOf(node);
    if (operand) takeVector(node, operand === "scale" ? "norm" : "bias", take);
  }
  return [...found.values()].filter(({ value }) => !fixed.has(value));
}

/**
 * Takes the constant operand of an Add, Sub or Mul if it has one axis longer than 1: a bias, or the
 * scale of a normalization.
 */
function takeVector(
  node: Node,
  kind: Learnable["kind"],
  take: (value: Value, node: Node, kind: Learnable["kind"]) => void,
): void {
  const constants = node.inputs.filter((input): input is Value => Boolean(input?.tensor));
  if (constants.length !== 1) return;
  const long = constants[0].tensor?.shape.filter((dim) => dim > 1) ?? [];
  if (long.length === 1) take(constants[0], node, kind);
}

type Leaf = Pick<Learnable, "value" | "keepsZeros">;

/** The float32 constants that an expression is made of and that its form lets learn. */
function leavesOf(value: Value, isWeight: boolean): Leaf[] {
  if (value.tensor) return isReal(value) ? [{ value, keepsZeros: isWeight }] : [];
  const weight = isWeight ? readWeight(value) : null;
  return weight ? partsOf(weight, value, true) : constantsOf(value, isWeight);
}

function partsOf(weight: Weight, at: Value, keepsZeros: boolean): Leaf[] {
  if (weight.form === null) return constantsOf(weight.at ?? at, keepsZeros);
  const { form, theta } = weight;
  return Object.entries(form.theta).flatMap(([name, part]) => {
    const inner = theta[name];
    return part.learns && inner.at ? partsOf(inner, inner.at, part.keepsZeros) : [];
  });
}

/**
 * The float32 constants of plain numbers in any layout. The zeros and positions of sparse layouts
 * are no float32 constants.
 */
function constantsOf(value: Value, keepsZeros: boolean): Leaf[] {
  if (value.tensor) return isReal(value) ? [{ value, keepsZeros }] : [];
  const inputs = value.producer?.inputs ?? [];
  return inputs.flatMap((input) => (input ? constantsOf(input, keepsZeros) : []));
}

function isReal({ tensor, dtype }: Value): boolean {
  return dtype === "float32" && tensor !== null && tensor.size > 0;
}
