/** @file Slots: every index of every axis of every value, and which of them stand and fall together. */
import type { Node, Value } from "../../ir/graph.ts";

/** An axis of known size; its index i is slot `first + i`. */
export interface Axis {
  /** Null for an axis that only exists in thought: the groups of a convolution, a factor of a reshape. */
  readonly value: Value | null;
  readonly axis: number;
  readonly first: number;
  readonly size: number;
}

/** Why something stays: the operator that needs it. */
export interface Pin {
  readonly node: string;
  readonly reason: string;
}

/** Index (i, j, ...) of `flat`, row-major, goes if and only if index i, or j, ... of a factor goes. */
export interface Product {
  readonly flat: Axis;
  readonly factors: readonly Axis[];
}

/** An operator that adds up over an axis: what is absent there counts as zero. */
export interface Sum {
  readonly node: Node;
  /** The axis that is summed over, as each operand has it. */
  readonly sides: readonly Axis[];
}

export interface Slots {
  readonly axes: readonly Axis[];
  readonly products: Product[];
  readonly sums: Sum[];
  readonly pins: ReadonlyMap<number, Pin>;
  /** Null where the size is not a number, or too large to be one of channels. */
  axis(value: Value, axis: number): Axis | null;
  fresh(size: number): Axis;
  join(a: number, b: number): void;
  /** The representative of all slots that are joined with this one. */
  find(slot: number): number;
  /** The first reason for a slot is the one that is told. */
  pin(slot: number, pin: Pin): void;
}

/** Longer axes are data, not channels. */
const LONGEST = 2 ** 20;

export function createSlots(): Slots {
  const parents: number[] = [];
  const axes: Axis[] = [];
  const known = new Map<Value, (Axis | null)[]>();
  const pins = new Map<number, Pin>();

  const add = (value: Value | null, axis: number, size: number): Axis => {
    const made = { value, axis, first: parents.length, size };
    for (let i = 0; i < size; i++) parents.push(made.first + i);
    axes.push(made);
    return made;
  };

  const find = (slot: number): number => {
    let root = slot;
    while (parents[root] !== root) root = parents[root];
    for (let at = slot; at !== root; ) {
      const next = parents[at];
      parents[at] = root;
      at = next;
    }
    return root;
  };

  return {
    axes,
    products: [],
    sums: [],
    pins,
    fresh: (size) => add(null, 0, size),
    axis(value, axis) {
      let all = known.get(value);
      if (!all) {
        all = (value.shape ?? []).map((dim, i) =>
          typeof dim === "number" && dim <= LONGEST ? add(value, i, dim) : null,
        );
        known.set(value, all);
      }
      return all[axis] ?? null;
    },
    find,
    // The smaller slot leads, so that results do not depend on the order of joining.
    join(a, b) {
      const [p, q] = [find(a), find(b)];
      if (p !== q) parents[Math.max(p, q)] = Math.min(p, q);
    },
    pin(slot, pin) {
      if (!pins.has(slot)) pins.set(slot, pin);
    },
  };
}
