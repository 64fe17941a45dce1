/** @file Removes units from a model, or copies them: constants and all that states sizes follow. */
import { dtypes } from "../../ir/dtype.ts";
import type { Node, Value } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { rawTensor, type Tensor, tensor } from "../../ir/tensor.ts";
import { product } from "../../util/product.ts";
import { inferModel } from "../infer.ts";
import type { Kept } from "./rule.ts";
import { couplingRuleOf } from "./rules.ts";
import type { Group } from "./units.ts";

/** Units of a group, by index. */
export interface Removal {
  readonly group: Group;
  readonly units: Iterable<number>;
}

/**
 * Removes units of groups that `couple` found in this very model, in place, and infers its types
 * again. Every axis has to keep at least one index. The result tells what is left of each axis, in
 * the old numbering. Throws an Error for a pinned group, or if nothing would be left of an axis.
 */
export function removeUnits(model: Model, removals: readonly Removal[]): Kept {
  const resizings = removals.map(({ group, units }): Resizing => {
    const gone = new Set(units);
    return { group, copies: (unit) => (gone.has(unit) ? 0 : 1) };
  });
  return resizeUnits(model, resizings);
}

/** How often each unit of a group shall be there: 0 removes it, 2 copies it. */
export interface Resizing {
  readonly group: Group;
  copies(unit: number): number;
}

/**
 * `removeUnits` for units that may also be copied. Copies stand behind their unit: where a unit has
 * consecutive indices along an axis, as a channel has in a flattened map, these are copied together.
 * Whatever sums over copies adds each of them in full.
 */
export function resizeUnits(model: Model, resizings: readonly Resizing[]): Kept {
  const runs = new Map<Value, Map<number, Run>[]>();
  for (const { group, copies } of resizings) {
    if (group.pinned) {
      throw new Error(`${group.name} cannot change its size: ${group.pinned.reason}`);
    }
    for (const [unit, { members }] of group.units.entries()) {
      const count = copies(unit);
      if (count === 1) continue;
      for (const { value, axis, indices } of members) {
        const axes = runs.get(value) ?? (value.shape ?? []).map(() => new Map<number, Run>());
        runs.set(value, axes);
        for (const run of runsOf(indices, count)) axes[axis].set(run.first, run);
      }
    }
  }
  const kept = keptOf(runs);
  // Rules see the sizes before the change; values get theirs after all rules have run.
  const nodes = new Set<Node>();
  for (const value of runs.keys()) {
    if (value.producer) nodes.add(value.producer);
    for (const node of value.consumers) nodes.add(node);
  }
  for (const node of nodes) couplingRuleOf(node)?.resize?.(node, kept);
  for (const value of runs.keys()) {
    const shape = value.shape?.map((dim, axis) =>
      kept.changes(value, axis) ? kept.count(value, axis) : dim,
    );
    if (value.tensor) value.graph.setConstant(value, resized(value, value.tensor, kept));
    else value.shape = shape ?? null;
  }
  inferModel(model);
  return kept;
}

/** Consecutive indices of one unit, and how often they shall be there. */
interface Run {
  readonly first: number;
  readonly size: number;
  readonly count: number;
}

/** The indices in runs as long as there are; those that go are runs of one, as other units may overlap. */
function runsOf(indices: readonly number[], count: number): Run[] {
  if (count === 0) return indices.map((first) => ({ first, size: 1, count }));
  const sorted = [...indices].sort((a, b) => a - b);
  const runs: Run[] = [];
  for (let from = 0, to = 1; from < sorted.length; from = to, to++) {
    while (sorted[to] === sorted[to - 1] + 1) to++;
    runs.push({ first: sorted[from], size: to - from, count });
  }
  return runs;
}

/** What lies along each axis, given the runs of indices that change. */
function keptOf(runs: ReadonlyMap<Value, readonly ReadonlyMap<number, Run>[]>): Kept {
  const orders = new Map<Value, (readonly number[])[]>();
  for (const [value, axes] of runs) {
    const own = axes.map((starts, axis) => orderOf(Number(value.shape?.[axis]), starts));
    if (own.some((order, axis) => order.length === 0 && axes[axis].size > 0)) {
      throw new Error(`nothing would be left of ${value.name}`);
    }
    orders.set(value, own);
  }
  const changes: Kept["changes"] = (value, axis) => (runs.get(value)?.[axis]?.size ?? 0) > 0;
  const indices: Kept["indices"] = (value, axis) =>
    changes(value, axis) ? (orders.get(value)?.[axis] ?? []) : range(Number(value.shape?.[axis]));
  const count: Kept["count"] = (value, axis) =>
    changes(value, axis) ? indices(value, axis).length : Number(value.shape?.[axis]);
  return { changes, indices, count };
}

/** The indices 0 to size - 1, with the runs as often as they shall be there. */
function orderOf(size: number, starts: ReadonlyMap<number, Run>): number[] {
  if (starts.size === 0) return [];
  const order: number[] = [];
  for (let index = 0; index < size; ) {
    const run = starts.get(index) ?? { first: index, size: 1, count: 1 };
    for (let copy = 0; copy < run.count; copy++) {
      for (let i = 0; i < run.size; i++) order.push(index + i);
    }
    index += run.size;
  }
  return order;
}

function range(size: number): number[] {
  return Array.from({ length: size }, (_, i) => i);
}

/** A constant with the indices that its axes shall have. */
function resized(value: Value, whole: Tensor, kept: Kept): Tensor {
  return whole.shape.reduce(
    (part, _, axis) =>
      kept.changes(value, axis) ? take(part, axis, kept.indices(value, axis)) : part,
    whole,
  );
}

/** The elements at `indices` along an axis, in this order; an index may occur several times. */
export function take(whole: Tensor, axis: number, indices: readonly number[]): Tensor {
  const { dtype, shape } = whole;
  const outer = product(shape.slice(0, axis));
  const inner = product(shape.slice(axis + 1));
  const dims = shape.with(axis, indices.length);
  const { bits } = dtypes[dtype];
  // Types of less than a byte are unpacked first.
  const source = bits < 8 ? Uint8Array.from(whole.numbers()) : whole.bytes();
  const step = (inner * Math.max(8, bits)) / 8;
  const bytes = new Uint8Array(outer * indices.length * step);
  for (let i = 0, to = 0; i < outer; i++) {
    for (const index of indices) {
      const from = (i * shape[axis] + index) * step;
      bytes.set(source.subarray(from, from + step), to);
      to += step;
    }
  }
  return bits < 8 ? tensor(dtype, dims, bytes) : rawTensor(dtype, dims, bytes);
}
