/** @file Coupling: which channels, heads and neurons of a model can only be removed together. */
import type { Graph, Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { createTies } from "./coupling/rule.ts";
import { couplingRuleOf } from "./coupling/rules.ts";
import { createSlots, type Pin, type Slots } from "./coupling/slots.ts";
import { type Group, groupsOf, type Member } from "./coupling/units.ts";
import { weightsOf } from "./weights.ts";

export { type Removal, type Resizing, removeUnits, resizeUnits } from "./coupling/remove.ts";
export type { Kept } from "./coupling/rule.ts";
export { couplingRules } from "./coupling/rules.ts";
export type { Group, Member, Unit } from "./coupling/units.ts";
export type { Pin };

/** An operator that sums over an axis, where removed indices count as zero. */
export interface Sink {
  readonly node: Node;
  /** The axis as each operand of the sum has it. */
  readonly sides: readonly { readonly value: Value; readonly axis: number }[];
}

/** All groups of units that can be removed from a model, and the sums that read them. */
export interface Coupling {
  /** Groups of units that own part of at least one weight. */
  readonly groups: readonly Group[];
  readonly sinks: readonly Sink[];
}

/**
 * The coupling of a model's channels (DepGraph, Fang et al. 2023, arXiv 2301.12900, per index
 * instead of per layer).
 *
 * Every index of every axis of every value is a slot. The rule of each operator joins slots
 * that have to be removed together, and pins those that cannot be removed; a unit is a set of
 * joined slots. If a unit is removed, the model computes what it would with zeros wherever
 * the unit is summed.
 *
 * Shapes have to be inferred before. Values in `fixed`, constant expressions, keep all their
 * indices for the reasons given.
 */
export function couple(model: Model, fixed: ReadonlyMap<Value, Pin> = new Map()): Coupling {
  const slots = createSlots();
  for (const [value, pin] of fixed) pinAll(value, pin, slots);
  const inside = computing(fixed.keys());
  for (const graph of model.graph.walk()) {
    pinEnds(graph, graph === model.graph, slots);
    for (const node of graph.sorted()) if (!inside.has(node)) tieNode(node, slots);
  }
  for (const { first, size } of slots.axes) {
    if (size === 1) slots.pin(first, { node: "", reason: "there is only one" });
  }
  const sinks = slots.sums.map(({ node, sides }) => ({
    node,
    sides: sides.flatMap(({ value, axis }) => (value ? [{ value, axis }] : [])),
  }));
  return { groups: groupsOf(slots, namer(model)), sinks };
}

/** Applies the rule of one node. Axes that the rule does not mention are pinned. */
function tieNode(node: Node, slots: Slots): void {
  const rule = couplingRuleOf(node);
  const ends = [...node.inputs, ...node.outputs].filter((value) => value !== null);
  const isKnown = ends.every(({ shape }) => shape !== null);
  const { ties, done } = createTies(node, slots, (index) => {
    const tensor = node.inputs[index]?.tensor;
    return tensor ? Array.from(tensor.numbers()) : null;
  });
  if (rule && isKnown) rule.tie(node, ties);
  done(
    !rule
      ? `has no coupling rule for ${node.op}`
      : isKnown
        ? "needs all of it"
        : "has shapes around it that are not known",
  );
}

/**
 * Pins everything that enters the graph from outside or is returned, whose size must not change.
 */
function pinEnds(graph: Graph, isMain: boolean, slots: Slots): void {
  const ends = [
    [graph.outputs, isMain ? "is an output of the model" : "is returned by a branch"],
    [graph.inputs, isMain ? "is an input of the model" : "is an input of a loop's body"],
  ] as const;
  for (const [values, reason] of ends) {
    for (const value of values) {
      pinAll(value, { node: value.producer?.name ?? value.name, reason }, slots);
    }
  }
}

/** Pins all indices of all axes of a value. */
function pinAll(value: Value, pin: Pin, slots: Slots): void {
  for (const axis of value.shape?.keys() ?? []) {
    const side = slots.axis(value, axis);
    for (let i = 0; i < (side?.size ?? 0); i++) slots.pin(Number(side?.first) + i, pin);
  }
}

/** The nodes that compute the given values. */
function computing(values: Iterable<Value>): Set<Node> {
  const nodes = new Set<Node>();
  const pending = [...values];
  for (let value = pending.pop(); value; value = pending.pop()) {
    const { producer } = value;
    if (!producer || nodes.has(producer)) continue;
    nodes.add(producer);
    for (const input of producer.inputs) if (input) pending.push(input);
  }
  return nodes;
}

/**
 * A function that names a unit after the first layer that produces it, or else the first that reads
 * it; null if no weight is involved.
 */
function namer(model: Model): (members: readonly Member[]) => string | null {
  const [producers, readers] = [new Map<string, number>(), new Map<string, number>()];
  const uses = weightsOf(model);
  const ids = new Map<Value, number>();
  const key = (value: Value, axis: number): string => {
    if (!ids.has(value)) ids.set(value, ids.size);
    return `${ids.get(value)}.${axis}`;
  };
  for (const [i, { value, role }] of uses.entries()) {
    for (const [map, axis] of [
      [producers, role.outputAxis],
      [readers, role.inputAxis],
    ] as const) {
      if (!map.has(key(value, axis))) map.set(key(value, axis), i);
    }
  }
  const first = (map: Map<string, number>, members: readonly Member[]): number =>
    Math.min(...members.map(({ value, axis }) => map.get(key(value, axis)) ?? Infinity));
  return (members) => {
    const at = Math.min(first(producers, members), Infinity);
    const from = at === Infinity ? first(readers, members) : at;
    return from === Infinity ? null : uses[from].node.name;
  };
}
