/** @file Candidates: groups of channels that may go, and the weights that make and read them. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { constantValue } from "../ops/constant.ts";
import type { Coupling, Group, Sink } from "../ops/coupling.ts";
import { keepsStatistics } from "../ops/norms.ts";
import { type WeightUse, weightsOf } from "../ops/weights.ts";
import { product } from "../util/product.ts";

/** One axis of one weight as a group's units cut it. */
export interface Part {
  readonly use: WeightUse;
  readonly weight: Tensor;
  readonly axis: number;
  /** What unit `unit` takes of it. */
  indices(unit: number): readonly number[];
}

/** A place that adds the group's channels up: the weight they meet there, if it is one. */
export interface Reader {
  readonly sink: Sink;
  readonly part: Part | null;
}

export interface Candidate {
  readonly group: Group;
  /** Weights whose outputs the units are. */
  readonly makers: readonly Part[];
  readonly readers: readonly Reader[];
  /** Whether its channels go through batch normalization, which knows their means. */
  readonly isNormalized: boolean;
  /** Every layer that loses weights. */
  readonly layers: ReadonlySet<Node>;
}

export function candidatesOf(model: Model, { groups, sinks }: Coupling): Candidate[] {
  const uses = weightsOf(model);
  const memo = new Map<Value, Tensor | null>();
  const read = (value: Value): Tensor | null => {
    const known = memo.get(value);
    if (known !== undefined) return known;
    const folded = constantValue(value);
    memo.set(value, folded);
    return folded;
  };
  const usesOf = new Map<Value, WeightUse[]>();
  for (const use of uses) usesOf.set(use.value, [...(usesOf.get(use.value) ?? []), use]);
  const sinksOf = new Map<Value, Sink[]>();
  for (const sink of sinks) {
    for (const { value } of sink.sides) sinksOf.set(value, [...(sinksOf.get(value) ?? []), sink]);
  }
  return groups.map((group) => {
    const { members } = group.units[0];
    const part = (use: WeightUse, axis: number): Part | null => {
      const at = members.findIndex((member) => member.value === use.value && member.axis === axis);
      const weight = at < 0 ? null : read(use.value);
      return (
        weight && { use, weight, axis, indices: (unit) => group.units[unit].members[at].indices }
      );
    };
    const touched = members.flatMap(({ value }) => usesOf.get(value) ?? []);
    const distinct = [...new Set(touched)];
    const found = new Set(members.flatMap(({ value }) => sinksOf.get(value) ?? []));
    const readers = [...found]
      .filter(({ sides }) =>
        sides.some((side) => members.some((m) => m.value === side.value && m.axis === side.axis)),
      )
      .map((sink) => {
        const own = distinct.find(
          ({ node, role, value }) =>
            node === sink.node &&
            sink.sides.some((side) => side.value === value && side.axis === role.inputAxis),
        );
        return { sink, part: own ? part(own, own.role.inputAxis) : null };
      });
    return {
      group,
      makers: distinct.map((use) => part(use, use.role.outputAxis)).filter((each) => each !== null),
      readers,
      isNormalized: members.some(({ value }) => value.consumers.some(keepsStatistics)),
      layers: new Set(distinct.map(({ node }) => node)),
    };
  });
}

/** Why a group keeps its size whatever the method; null where it need not. `chosen` are layers. */
export function whyFixed(
  { group: { pinned }, layers }: Candidate,
  chosen: ReadonlySet<Node>,
): string | null {
  if (pinned) return `${pinned.node} ${pinned.reason}`.trim();
  const outside = [...layers].find((node) => !chosen.has(node));
  return outside ? `${outside.name} reads or makes them and is left out` : null;
}

/** Calls `visit` with every element that the indices of an axis hold, and its place among outputs. */
export function eachElement(
  { weight, axis }: Part,
  indices: readonly number[],
  visit: (element: number) => void,
): void {
  const { shape } = weight;
  const inner = product(shape.slice(axis + 1));
  const outer = product(shape.slice(0, axis));
  for (let i = 0; i < outer; i++) {
    for (const index of indices) {
      const start = (i * shape[axis] + index) * inner;
      for (let j = start; j < start + inner; j++) visit(j);
    }
  }
}

/** Groups that cut the same indices: only one of them can be pruned. */
export function overlaps(candidates: readonly Candidate[]): Map<Candidate, Set<Candidate>> {
  const owners = new Map<Value, Map<string, Candidate[]>>();
  const found = new Map<Candidate, Set<Candidate>>(candidates.map((each) => [each, new Set()]));
  for (const candidate of candidates) {
    for (const { members } of candidate.group.units) {
      for (const { value, axis, indices } of members) {
        const slots = owners.get(value) ?? new Map<string, Candidate[]>();
        owners.set(value, slots);
        for (const index of indices) {
          const key = `${axis}.${index}`;
          const here = slots.get(key) ?? [];
          slots.set(key, here);
          for (const other of here) {
            if (other === candidate) continue;
            found.get(other)?.add(candidate);
            found.get(candidate)?.add(other);
          }
          if (!here.includes(candidate)) here.push(candidate);
        }
      }
    }
  }
  return found;
}

/**
 * Heads, sizes of heads and the like cut the same weights in different ways: the way that reaches
 * the most weights per way it shuts out goes first (the greedy rule for weighted independent sets,
 * Sakai et al. 2003).
 */
export function independent(candidates: readonly Candidate[]): {
  readonly chosen: readonly Candidate[];
  readonly shutOut: ReadonlyMap<Candidate, Candidate>;
} {
  const conflicts = overlaps(candidates);
  const worth = (candidate: Candidate): number => {
    let elements = 0;
    const parts = [...candidate.makers, ...candidate.readers.flatMap(({ part }) => part ?? [])];
    for (const { weight, axis, indices } of parts) {
      const perIndex = weight.size / weight.shape[axis];
      for (const unit of candidate.group.units.keys()) elements += indices(unit).length * perIndex;
    }
    return elements / (1 + (conflicts.get(candidate)?.size ?? 0));
  };
  const ranked = candidates.map((candidate) => ({ candidate, worth: worth(candidate) }));
  ranked.sort((a, b) => b.worth - a.worth || a.candidate.group.id - b.candidate.group.id);
  const shutOut = new Map<Candidate, Candidate>();
  const chosen = new Set<Candidate>();
  for (const { candidate } of ranked) {
    if (shutOut.has(candidate)) continue;
    chosen.add(candidate);
    for (const other of conflicts.get(candidate) ?? []) shutOut.set(other, candidate);
  }
  return { chosen: candidates.filter((each) => chosen.has(each)), shutOut };
}
