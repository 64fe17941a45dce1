/** @file Units: the smallest sets of slots that can go together, and groups of units that are alike. */
import type { Value } from "../../ir/graph.ts";
import type { Axis, Pin, Product, Slots } from "./slots.ts";

/** Indices of one axis that go with a unit. */
export interface Member {
  readonly value: Value;
  readonly axis: number;
  readonly indices: readonly number[];
}

/** A channel, a head, a neuron: wherever it shows. */
export interface Unit {
  readonly members: readonly Member[];
}

export interface Group {
  readonly id: number;
  /** The first layer that produces it; else the first node that knows it. */
  readonly name: string;
  /** Units that show at the same places. */
  readonly units: readonly Unit[];
  /** Why they stay; null where each of them may go. */
  readonly pinned: Pin | null;
}

/** Ways to explain one slot that are tried before giving up. */
const ATTEMPTS = 64;
const hopeless: Pin = { node: "", reason: "there are too many ways to take it apart" };

/** Sets of classes (representative slots) that can go together, with the reason if they cannot. */
interface Closure {
  readonly classes: ReadonlySet<number>;
  readonly pin: Pin | null;
}

/**
 * A slot of a product goes if and only if one of its factors goes. So what follows from a slot is
 * found by walking up from factors to products; a product that goes without a factor needs one:
 * of the ways to choose, the one that takes the least.
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

  /** `from` and all that follows from it and `added`. */
  const follow = (from: ReadonlySet<number>, added: number): Set<number> => {
    const classes = new Set(from).add(added);
    // Grows while it is walked.
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

/** For each index of the flat axis, the classes of its factors. */
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

/** Groups of the units that take something from a weight. */
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
    // Two factors that need each other lead to one unit.
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
