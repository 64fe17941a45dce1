/** @file Parameters: the constants of a model that training moves, laid out as one flat vector. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { tensor } from "../ir/tensor.ts";
import { biasOf, weightsOf } from "../ops/weights.ts";

/**
 * weight: part of what a layer multiplies by, itself or the float end of the expression that stores
 * it (codebook, scale, kept values); bias: what is added; norm: a normalization's scale and shift;
 * extra: what a method adds.
 */
export interface Parameter {
  readonly value: Value;
  /** The layer it belongs to, for globs and messages. */
  readonly node: Node;
  readonly kind: "weight" | "bias" | "norm" | "extra";
  /** Where it lies in the flat vector. */
  readonly offset: number;
  readonly size: number;
}

type Found = Pick<Parameter, "value" | "node" | "kind">;

/** [scale, shift] inputs of normalizations, and PRelu's slope. */
const normInputs: Readonly<Record<string, readonly number[]>> = {
  BatchNormalization: [1, 2],
  LayerNormalization: [1, 2],
  InstanceNormalization: [1, 2],
  GroupNormalization: [1, 2],
  RMSNormalization: [1],
  PRelu: [1],
};

/**
 * The float32 constants of the main graph that can learn, in execution order, each once.
 * `isTrained` leaves layers out. Tables of several axes that are added or multiplied (masks,
 * positions, rotations) are no parameters: nothing tells them from fixed ones.
 */
export function parametersOf(
  model: Model,
  isTrained = (_: Node): boolean => true,
  extra: readonly Value[] = [],
): Parameter[] {
  const found = new Map<Value, Found>();
  /** What a layer that stays reads as well must stay, too. */
  const fixed = new Set<Value>();
  for (const value of extra) {
    const [node] = value.consumers;
    if (node) found.set(value, { value, node, kind: "extra" });
  }
  const take = (value: Value | null, node: Node, kind: Parameter["kind"]): void => {
    for (const leaf of value ? leavesOf(value) : []) {
      if (!isTrained(node)) fixed.add(leaf);
      if (!found.has(leaf)) found.set(leaf, { value: leaf, node, kind });
    }
  };
  for (const { value, node } of weightsOf(model)) {
    take(value, node, "weight");
    take(biasOf(node), node, "bias");
  }
  for (const node of model.graph.sorted()) {
    for (const index of normInputs[node.op] ?? []) take(node.inputs[index] ?? null, node, "norm");
    if (node.op === "Add" || node.op === "Mul" || node.op === "Sub") takeVector(node, take);
  }
  let offset = 0;
  const free = [...found.values()].filter(({ value }) => !fixed.has(value));
  return free.map((entry) => {
    const size = entry.value.tensor?.size ?? 0;
    offset += size;
    return { ...entry, offset: offset - size, size };
  });
}

/** A constant with one long axis, next to something that is computed: a bias, or a norm's scale. */
function takeVector(
  node: Node,
  take: (value: Value, node: Node, kind: Parameter["kind"]) => void,
): void {
  const constants = node.inputs.filter((input): input is Value => Boolean(input?.tensor));
  if (constants.length !== 1) return;
  const long = constants[0].tensor?.shape.filter((dim) => dim > 1) ?? [];
  if (long.length === 1) take(constants[0], node, node.op === "Mul" ? "norm" : "bias");
}

/** The float32 constants that a constant expression is made of; what only makes zeros is none. */
function leavesOf(value: Value): Value[] {
  if (value.tensor) return isLeaf(value) ? [value] : [];
  const node = value.producer;
  if (!node) return [];
  return node.inputs.flatMap((input) => (input ? leavesOf(input) : []));
}

function isLeaf({ tensor, dtype }: Value): boolean {
  return dtype === "float32" && tensor !== null && tensor.size > 0;
}

export const sizeOf = (parameters: readonly Parameter[]): number =>
  parameters.reduce((sum, { size }) => sum + size, 0);

/** All parameters, one after the other. */
export function flatten(parameters: readonly Parameter[]): Float32Array {
  const flat = new Float32Array(sizeOf(parameters));
  for (const { value, offset } of parameters) {
    if (value.tensor) flat.set(value.tensor.floats(), offset);
  }
  return flat;
}

/** Gives the parameters the vector's values; `of` finds their twins in another copy of the model. */
export function unflatten(
  parameters: readonly Parameter[],
  flat: Float32Array,
  of: (value: Value) => Value = (value) => value,
): void {
  for (const { value, offset, size } of parameters) {
    const twin = of(value);
    const shape = value.tensor?.shape ?? [];
    twin.graph.setConstant(twin, tensor("float32", shape, flat.slice(offset, offset + size)));
  }
}

/**
 * Places in the flat vector that stay zero: a weight's exact zeros were pruned (Han et al. 2015),
 * unless the whole tensor is zero and merely starts there.
 */
export function prunedPlaces(parameters: readonly Parameter[], flat: Float32Array): Uint32Array {
  const places: number[] = [];
  for (const { kind, offset, size } of parameters) {
    if (kind !== "weight") continue;
    const zeros: number[] = [];
    for (let i = offset; i < offset + size; i++) if (flat[i] === 0) zeros.push(i);
    if (zeros.length < size) for (const place of zeros) places.push(place);
  }
  return Uint32Array.from(places);
}
