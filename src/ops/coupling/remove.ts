/** @file Removes units from a model: constants shrink, and everything that states sizes follows. */
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
  const gone = new Map<Value, Set<number>[]>();
  for (const { group, units } of removals) {
    if (group.pinned) throw new Error(`${group.name} cannot shrink: ${group.pinned.reason}`);
    for (const unit of units) {
      for (const { value, axis, indices } of group.units[unit].members) {
        const axes = gone.get(value) ?? (value.shape ?? []).map(() => new Set<number>());
        gone.set(value, axes);
        for (const index of indices) axes[axis].add(index);
      }
    }
  }
  const kept = keptOf(gone);
  // Rules see the sizes before the removal; values shrink after all rules have run.
  const nodes = new Set<Node>();
  for (const value of gone.keys()) {
    if (value.producer) nodes.add(value.producer);
    for (const node of value.consumers) nodes.add(node);
  }
  for (const node of nodes) couplingRuleOf(node)?.resize?.(node, kept);
  for (const [value, axes] of gone) {
    const shape = value.shape?.map((dim, axis) =>
      axes[axis].size > 0 ? kept.count(value, axis) : dim,
    );
    if (value.tensor) value.graph.setConstant(value, cut(value, value.tensor, axes, kept));
    else value.shape = shape ?? null;
  }
  inferModel(model);
  return kept;
}

/** What is left of each value's axes, given the removed indices. */
function keptOf(gone: ReadonlyMap<Value, readonly ReadonlySet<number>[]>): Kept {
  const left = new Map<Value, number[][]>();
  for (const [value, axes] of gone) {
    const rest = axes.map((missing, axis) =>
      missing.size === 0 ? [] : range(Number(value.shape?.[axis])).filter((i) => !missing.has(i)),
    );
    if (rest.some((indices, axis) => indices.length === 0 && axes[axis].size > 0)) {
      throw new Error(`nothing would be left of ${value.name}`);
    }
    left.set(value, rest);
  }
  const shrinks: Kept["shrinks"] = (value, axis) => (gone.get(value)?.[axis]?.size ?? 0) > 0;
  const indices: Kept["indices"] = (value, axis) =>
    shrinks(value, axis) ? (left.get(value)?.[axis] ?? []) : range(Number(value.shape?.[axis]));
  const count: Kept["count"] = (value, axis) =>
    shrinks(value, axis) ? (left.get(value)?.[axis].length ?? 0) : Number(value.shape?.[axis]);
  return { shrinks, indices, count };
}

function range(size: number): number[] {
  return Array.from({ length: size }, (_, i) => i);
}

/** A constant without the removed indices of all its axes. */
function cut(
  value: Value,
  whole: Tensor,
  axes: readonly ReadonlySet<number>[],
  kept: Kept,
): Tensor {
  return axes.reduce(
    (part, missing, axis) =>
      missing.size > 0 ? take(part, axis, kept.indices(value, axis)) : part,
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
