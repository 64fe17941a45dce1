/** @file Candidates: groups of channels that may be removed, and the weights around them. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { constantValue } from "../ops/constant.ts";
import type { Coupling, Group, Sink } from "../ops/coupling.ts";
import { keepsStatistics } from "../ops/norms.ts";
import { type WeightUse, weightsOf } from "../ops/weights.ts";
import { product } from "../util/product.ts";

/** One axis of one weight, cut into the units of a group. */
export interface Part {
  readonly use: WeightUse;
  readonly weight: Tensor;
  readonly axis: number;
  /** The indices along `axis` that belong to unit `unit`. */
  indices(unit: number): readonly number[];
}

/** A node that sums over the group's channels, and the weight that they are multiplied by there. */
export interface Reader {
  readonly sink: Sink;
  /**
   * Null where no constant weight multiplies the channels: a ReduceSum, a product of activations.
   */
  readonly part: Part | null;
}

/** A group of channels with everything that scores, repairs and prices need to know of it. */
export interface Candidate {
  readonly group: Group;
  /** The weights whose output axis is cut by the units: the layers that produce these channels. */
  readonly makers: readonly Part[];
  /** All sums over these channels: the layers that read them. */
  readonly readers: readonly Reader[];
  /** Whether the channels pass a batch normalization, whose shift is then their mean. */
  readonly isNormalized: boolean;
  /** All layers whose weights get smaller when units are removed. */
  readonly layers: ReadonlySet<Node>;
}

/**
 * One candidate for each group of `coupling`, in the same order, so that candidates of a model and
 * of its copy correspond by index.
 */
export function candidatesOf(model: Model, { groups, sinks }: Coupling): Candidate[] {
  const uses = weightsOf(model);
  const memo = new Map<Value, Tensor | null>();
  // A weight stored in a form is evaluated once, however many groups cut it.
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

/**
 * The reason why no method may change the size of a group; null if it may be pruned. A group is
 * fixed if an operator needs all of its channels, or if one of its layers is not `chosen`.
 */
export function whyFixed(
  { group: { pinned }, layers }: Candidate,
  chosen: ReadonlySet<Node>,
): string | null {
  if (pinned) return `${pinned.node} ${pinned.reason}`.trim();
  const outside = [...layers].find((node) => !chosen.has(node));
  return outside ? `${outside.name} reads or makes them and is left out` : null;
}

/**
 * Calls `visit` with the flat position of every element of the weight that lies at one of `indices`
 * along the part's axis, in row-major order for each index.
 */
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

/**
 * For each candidate the candidates that share an index of an axis with it. Of two such groups only
 * one can be pruned: removing a unit of one would cut units of the other.
 */
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
 * Chooses candidates that do not overlap. The same weights of attention can be cut by heads or by
 * positions within a head, and only one of both can be removed.
 *
 * This is the greedy rule for maximum weight independent sets (Sakai et al. 2003): the
 * candidate with the largest w / (1 + d) is chosen first, w being the weight elements that it
 * cuts and d the number of candidates that it excludes. `shutOut` maps an excluded candidate to
 * the one that excluded it.
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
