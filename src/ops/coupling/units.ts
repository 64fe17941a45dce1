/** @file Units: the smallest sets of slots that can be removed together, in groups. */
import type { Value } from "../../ir/graph.ts";
import type { Axis, Pin, Product, Slots } from "./slots.ts";

/** The indices of one axis that are removed with a unit. */
export interface Member {
  readonly value: Value;
  readonly axis: number;
  readonly indices: readonly number[];
}

/** A channel, a head or a neuron, at all places where it occurs. */
export interface Unit {
  readonly members: readonly Member[];
}

export interface Group {
  readonly id: number;
  /** The first layer that produces its channels, or else the first that reads them. */
  readonly name: string;
  /** Units that occur at the same axes with the same number of indices. */
  readonly units: readonly Unit[];
  /** Why the units have to stay; null if each of them can be removed. */
  readonly pinned: Pin | null;
}

/** How many ways to complete a set are tried before it is pinned. */
const ATTEMPTS = 64;
const hopeless: Pin = { node: "", reason: "there are too many ways to take it apart" };

/** A set of classes (joined slots, by representative) that can be removed together; or a pin. */
interface Closure {
  readonly classes: ReadonlySet<number>;
  readonly pin: Pin | null;
}

/**
 * The smallest set that can be removed, for each class of slots.
 *
 * A slot of a product is removed if and only if a slot of one of its factors is. So the set of a
 * class is found by walking from factors to their products. If a product is removed but none of its
 * factors, one of them has to be added: of all choices, the one with the smallest set is taken.
 */
export function closures(slots: Slots): Closure[] {
  const { find } = slots;
  const [products, factors] = [new Map<number, number[]>(), new Map<number, number[][]>()];
  const seenTerms = new Set<string>();
  for (const product of slots.products) {
    for (const [flat, parts] of terms(product, find)) {
      const key = `${flat}:${parts}`;
      if (parts.includes(flat) || seenTerms.has(key)) continue;
      seenTerms.add(key);
      for (const part of parts) append(products, part, flat);
      append(factors, flat, parts);
    }
  }
  const pins = new Map<number, Pin>();
  for (const [slot, pin] of slots.pins) if (!pins.has(find(slot))) pins.set(find(slot), pin);

  /** The set `from` with `added` and all products that follow. */
  const follow = (from: ReadonlySet<number>, added: number): Set<number> => {
    const classes = new Set(from).add(added);
    // The set grows while it is walked.
    for (const each of classes) for (const flat of products.get(each) ?? []) classes.add(flat);
    return classes;
  };

  const grow = (seed: number): Closure => {
    let attempts = ATTEMPTS;
    let best: Closure | null = null;
    const visit = (classes: ReadonlySet<number>): void => {
      if (best && !best.pin && classes.size >= best.classes.size) return;
      let pin = attempts-- > 0 ? null : hopeless;
      let open: readonly number[] | null = null;
      for (const each of classes) {
        pin ??= pins.get(each) ?? null;
        open ??=
          (factors.get(each) ?? []).find((parts) => !parts.some((p) => classes.has(p))) ?? null;
      }
      if (pin || !open) {
        if (!best || !pin) best = { classes, pin };
        return;
      }
      const ways = open.map((part) => follow(classes, part));
      for (const way of ways.sort((a, b) => a.size - b.size)) visit(way);
    };
    visit(follow(new Set(), seed));
    return best as unknown as Closure;
  };

  const seeds = new Set<number>();
  for (const { first, size } of slots.axes) {
    for (let i = 0; i < size; i++) {
      const each = find(first + i);
      if (!factors.has(each)) seeds.add(each);
    }
  }
  return [...seeds].sort((a, b) => a - b).map(grow);
}

function append<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

/** For each index of the flat axis, its class and the classes of its factors. */
function* terms(
  { flat, factors }: Product,
  find: (slot: number) => number,
): Generator<[number, number[]]> {
  for (let i = 0; i < flat.size; i++) {
    let rest = i;
    const parts = factors.map(() => 0);
    for (let k = factors.length - 1; k >= 0; k--) {
      const { first, size } = factors[k];
      parts[k] = find(first + (rest % size));
      rest = Math.floor(rest / size);
    }
    yield [find(flat.first + i), parts];
  }
}

/**
 * The units that own part of a weight, in groups. `nameOf` returns the name of a unit, or null if
 * it involves no weight.
 */
export function groupsOf(
  slots: Slots,
  nameOf: (members: readonly Member[]) => string | null,
): Group[] {
  const byClass = new Map<number, [Axis, number][]>();
  for (const axis of slots.axes) {
    if (!axis.value) continue;
    for (let i = 0; i < axis.size; i++) append(byClass, slots.find(axis.first + i), [axis, i]);
  }
  const groups = new Map<string, { name: string; units: Unit[]; pinned: Pin | null }>();
  const seen = new Set<string>();
  for (const { classes, pin } of closures(slots)) {
    // Two factors that require each other lead to the same unit.
    const id = [...classes].sort((a, b) => a - b).join();
    if (seen.has(id)) continue;
    seen.add(id);
    const taken = new Map<Axis, number[]>();
    for (const each of classes) {
      for (const [axis, index] of byClass.get(each) ?? []) append(taken, axis, index);
    }
    const sides = [...taken.keys()].sort((a, b) => a.first - b.first);
    const members = sides.map((side) => ({
      value: side.value as Value,
      axis: side.axis,
      indices: (taken.get(side) as number[]).sort((a, b) => a - b),
    }));
    const name = nameOf(members);
    if (name === null) continue;
    const places = sides.map((side) => `${side.first}*${taken.get(side)?.length}`);
    const key = [...places, pin?.node, pin?.reason].join();
    const group = groups.get(key);
    if (group) group.units.push({ members });
    else groups.set(key, { name, units: [{ members }], pinned: pin });
  }
  return [...groups.values()].map((group, id) => ({ id, ...group }));
}
