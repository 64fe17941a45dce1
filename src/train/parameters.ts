/** @file Parameters: everything that a run of training changes, laid out as one flat vector. */
import type { Node, Value } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";
import type { Shape } from "../weights/form.ts";
import type { Latent } from "../weights/latent.ts";
import type { Learnable } from "../weights/learnable.ts";

/** A constant of the model, or a theta of a weight or activation that was opened for training. */
export interface Parameter {
  /** The constant; null for a theta. */
  readonly value: Value | null;
  readonly latent: Latent | null;
  /** The theta's name; the constant's own name otherwise. */
  readonly name: string;
  /** The layer that it belongs to, for globs and messages. */
  readonly node: Node;
  readonly kind: Learnable["kind"] | "theta";
  readonly shape: Shape;
  readonly start: Float32Array;
  /** Factor of the learning rate. With 0 training does not change it, but checkpoints hold it. */
  readonly rate: number;
  /** Bounds that hold after every update. */
  readonly min: number;
  readonly max: number;
  /** Whether exact zeros stay zero. */
  readonly keepsZeros: boolean;
  /** Its position in the flat vector. */
  readonly offset: number;
  readonly size: number;
}

/** A parameter without its position; `laidOut` adds it. */
export type Unplaced = Omit<Parameter, "offset" | "size">;

/** A constant of the model as a parameter. */
export function ofConstant({ value, node, kind, keepsZeros }: Learnable): Unplaced {
  const shape = value.tensor?.shape ?? [];
  const start = value.tensor?.floats() ?? new Float32Array();
  const free = { rate: 1, min: Number.NEGATIVE_INFINITY, max: Number.POSITIVE_INFINITY };
  return { value, latent: null, name: value.name, node, kind, shape, start, keepsZeros, ...free };
}

/** Places the parameters one after the other. */
export function laidOut(parameters: readonly Unplaced[]): Parameter[] {
  let offset = 0;
  return parameters.map((parameter) => {
    const size = parameter.start.length;
    offset += size;
    return { ...parameter, offset: offset - size, size };
  });
}

export const sizeOf = (parameters: readonly Parameter[]): number =>
  parameters.reduce((sum, { size }) => sum + size, 0);

/** The flat vector of all parameters' start values. */
export function flatten(parameters: readonly Parameter[]): Float32Array {
  const flat = new Float32Array(sizeOf(parameters));
  for (const { start, offset } of parameters) flat.set(start, offset);
  return flat;
}

/**
 * Sets the model's constants to the values of a flat vector; `of` maps them to another copy of the
 * model. Thetas are closed elsewhere.
 */
export function unflatten(
  parameters: readonly Parameter[],
  flat: Float32Array,
  of: (value: Value) => Value = (value) => value,
): void {
  for (const { value, shape, offset, size } of parameters) {
    if (!value) continue;
    const twin = of(value);
    twin.graph.setConstant(twin, tensor("float32", shape, flat.slice(offset, offset + size)));
  }
}

/**
 * The range of a flat vector that belongs to a theta, a view; null if the loss does not depend on
 * it.
 */
export function thetaIn(
  parameters: readonly Parameter[],
  latent: Latent,
  name: string,
  flat: Float32Array,
): Float32Array | null {
  const found = parameters.find((own) => own.latent === latent && own.name === name);
  return found ? flat.subarray(found.offset, found.offset + found.size) : null;
}

/**
 * Positions in the flat vector that stay zero: exact zeros of a weight were pruned (Han et al.
 * 2015, arXiv 1506.02626). A tensor that is zero altogether merely starts at zero, and may change.
 */
export function prunedPlaces(parameters: readonly Parameter[], flat: Float32Array): Uint32Array {
  const places: number[] = [];
  for (const { keepsZeros, offset, size } of parameters) {
    if (!keepsZeros) continue;
    const zeros: number[] = [];
    for (let i = offset; i < offset + size; i++) if (flat[i] === 0) zeros.push(i);
    if (zeros.length < size) for (const place of zeros) places.push(place);
  }
  return Uint32Array.from(places);
}

/** Clips parameters with bounds to them, in place. */
export function clampToBounds(parameters: readonly Parameter[], flat: Float32Array): void {
  for (const { min, max, offset, size } of parameters) {
    if (min === Number.NEGATIVE_INFINITY && max === Number.POSITIVE_INFINITY) continue;
    for (let i = offset; i < offset + size; i++) flat[i] = Math.min(max, Math.max(min, flat[i]));
  }
}
