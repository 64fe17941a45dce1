/** @file Coupling rules: their interface, and the vocabulary in which they are written. */

import type { Node, Value } from "../../ir/graph.ts";
import { tensor } from "../../ir/tensor.ts";
import { axisOf } from "../evaluate/elements.ts";
import type { OpName } from "../schema.ts";
import type { Axis, Slots } from "./slots.ts";

/** An axis; null if its size is not a number. */
export type Side = Axis | null;

/**
 * States how the axes around one node depend on each other. Axes that a rule does not
 * mention are pinned.
 */
export interface Ties {
  /** Axis `axis` of input `index`; negative axes count from the end. */
  in(index: number, axis: number): Side;
  /** Axis `axis` of output `index`. */
  out(index: number, axis: number): Side;
  /** The number of axes of an input; -1 if it is left out. */
  rank(index: number): number;
  /** The elements of an input; null if they are not constant. */
  ints(index: number): readonly number[] | null;
  /** Index i of one axis goes together with index i of the other. */
  same(a: Side, b: Side): void;
  /** The same for broadcasting, where an axis of size 1 fits any other. */
  meet(a: Side, b: Side): void;
  /** Index i of `part` goes together with index at(i) of `whole`; a negative at(i) with nothing. */
  part(part: Side, whole: Side, at: (i: number) => number): void;
  /** `flat` is the row-major product of the factors. */
  product(flat: Side, factors: readonly Axis[]): void;
  /** An axis that belongs to no value, such as the groups of a convolution. */
  fresh(size: number): Axis;
  /** The node sums over this axis, as each operand has it; removed indices count as zero. */
  sum(...sides: readonly Side[]): void;
  /** Indices may be removed by themselves: paddings, repetitions. */
  free(side: Side): void;
  /** No index may be removed. */
  pin(side: Side, reason: string): void;
}

/** What lies along each axis after units were removed or copied. */
export interface Kept {
  /** The indices in the old numbering; one that was copied occurs several times. */
  indices(value: Value, axis: number): readonly number[];
  /** How many indices there are. */
  count(value: Value, axis: number): number;
  /** Whether the axis loses or gains any index. */
  changes(value: Value, axis: number): boolean;
}

/** How the channels around an operator depend on each other. */
export interface CouplingRule {
  tie(node: Node, t: Ties): void;
  /**
   * Rewrites attributes and constants that state sizes. Called only if something
   * around the node changes its size.
   */
  resize?(node: Node, kept: Kept): void;
}

/** Rules by operator. */
export type CouplingRules = { readonly [K in OpName]?: CouplingRule };

export const mod = axisOf;

/** Replaces an input by an int64 constant of its own, since other nodes may read the old one. */
export function setInts(node: Node, index: number, values: readonly number[]): void {
  const old = node.inputs[index];
  const before = old?.tensor?.numbers();
  if (before?.length === values.length && values.every((value, i) => value === before[i])) return;
  const name = old?.name ?? `${node.name}_sizes`;
  const constant = node.graph.addConstant(name, tensor("int64", [values.length], values));
  node.setInput(index, constant);
}

/**
 * The vocabulary for one node. `done` pins every axis that was not mentioned, for the given reason.
 */
export function createTies(
  node: Node,
  slots: Slots,
  ints: (index: number) => readonly number[] | null,
): { readonly ties: Ties; done(reason: string): void } {
  const mentioned = new Set<Axis>();
  const pin = (side: Side, reason: string): void => {
    if (!side) return;
    mentioned.add(side);
    for (let i = 0; i < side.size; i++) slots.pin(side.first + i, { node: node.name, reason });
  };
  const side = (value: Value | null | undefined, axis: number): Side =>
    value ? slots.axis(value, mod(axis, value.shape?.length ?? 0)) : null;
  const part: Ties["part"] = (a, b, at) => {
    if (!a || !b) {
      pin(a ?? b, "meets a size that is not known");
      return;
    }
    mentioned.add(a).add(b);
    for (let i = 0; i < a.size; i++) {
      const j = at(i);
      if (j >= 0 && j < b.size) slots.join(a.first + i, b.first + j);
    }
  };
  const same: Ties["same"] = (a, b) => {
    if (a && b && a.size !== b.size) {
      for (const each of [a, b]) pin(each, "meets another size");
    } else part(a, b, (i) => i);
  };
  const free: Ties["free"] = (a) => {
    if (a) mentioned.add(a);
  };
  const ties: Ties = {
    in: (index, axis) => side(node.inputs[index], axis),
    out: (index, axis) => side(node.outputs[index], axis),
    rank: (index) => node.inputs[index]?.shape?.length ?? -1,
    ints,
    same,
    meet(a, b) {
      if (a?.size === 1 && b?.size !== 1) free(a);
      else if (b?.size === 1 && a?.size !== 1) free(b);
      else same(a, b);
    },
    part,
    product(flat, factors) {
      const wide = factors.filter(({ size }) => size > 1);
      for (const each of factors) free(each);
      if (!flat) for (const each of wide) pin(each, "makes it part of a size that is not known");
      else if (wide.length === 0) free(flat);
      else if (wide.length === 1) same(flat, wide[0]);
      else {
        free(flat);
        slots.products.push({ flat, factors: wide });
      }
    },
    fresh: slots.fresh,
    sum(...sides) {
      const present = sides.filter((each) => each !== null);
      for (const each of present) free(each);
      slots.sums.push({ node, sides: present });
    },
    free,
    pin,
  };
  return {
    ties,
    done(reason) {
      for (const value of [...node.inputs, ...node.outputs]) {
        for (const axis of value?.shape?.keys() ?? []) {
          const each = value && slots.axis(value, axis);
          if (each && !mentioned.has(each)) pin(each, reason);
        }
      }
    },
  };
}
