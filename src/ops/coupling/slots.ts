/** @file Slots: every index of every axis of every value, joined by a union-find structure. */
import type { Node, Value } from "../../ir/graph.ts";

/** An axis of known size; its index i is slot `first + i`. */
export interface Axis {
  /**
   * Null for an axis that belongs to no value: the groups of a convolution, a factor of a Reshape.
   */
  readonly value: Value | null;
  readonly axis: number;
  readonly first: number;
  readonly size: number;
}

/** Why something has to stay, and the node that needs it. */
export interface Pin {
  readonly node: string;
  readonly reason: string;
}

/**
 * Index (i, j, ...) of `flat`, row-major, is removed if and only if index i, or j,
 * ... of a factor is.
 */
export interface Product {
  readonly flat: Axis;
  readonly factors: readonly Axis[];
}

/** An operator that sums over an axis, where removed indices count as zero. */
export interface Sum {
  readonly node: Node;
  /** The axis as each operand has it. */
  readonly sides: readonly Axis[];
}

/** All slots of a model, and what rules have stated about them. */
export interface Slots {
  readonly axes: readonly Axis[];
  readonly products: Product[];
  readonly sums: Sum[];
  readonly pins: ReadonlyMap<number, Pin>;
  /** The axis of a value; null if its size is not a number, or too large for channels. */
  axis(value: Value, axis: number): Axis | null;
  /** An axis that belongs to no value. */
  fresh(size: number): Axis;
  /** States that two slots are removed together. */
  join(a: number, b: number): void;
  /** The representative of all slots that are joined with this one. */
  find(slot: number): number;
  /** States that a slot stays. Of several reasons the first is kept. */
  pin(slot: number, pin: Pin): void;
}

/** Longer axes are data and no channels; slots for them would only take memory. */
const LONGEST = 2 ** 20;

/** No slots yet; axes are added when they are first looked up. */
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
    // The smaller slot becomes the representative, so that results do not depend on
    // the order of joins.
    join(a, b) {
      const [p, q] = [find(a), find(b)];
      if (p !== q) parents[Math.max(p, q)] = Math.min(p, q);
    },
    pin(slot, pin) {
      if (!pins.has(slot)) pins.set(slot, pin);
    },
  };
}
