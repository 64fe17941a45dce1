/** @file Coupling of operators that change the length of an axis: join, cut, pad, repeat. */
import type { Node } from "../../ir/graph.ts";
import { sliceRange, splitSizes } from "../evaluate/movement.ts";
import { type CouplingRule, type CouplingRules, mod, setInts, type Ties } from "./rule.ts";

/**
 * Ties the axes of the first input to those of an output at the same place, except
 * the axes in `but`.
 */
function through(t: Ties, but: readonly number[] = [], output = 0): void {
  for (let axis = 0; axis < t.rank(0); axis++) {
    if (!but.includes(axis)) t.same(t.in(0, axis), t.out(output, axis));
  }
}

/** Index k of part i is index offset_i + k of the output; all other axes go together. */
const concat: CouplingRule = {
  tie(node, t) {
    const rank = t.rank(0);
    const along = mod(node.int("axis", 0), rank);
    const parts = node.inputs.map((_, i) => t.in(i, along));
    let offset = 0;
    for (const [i, part] of parts.entries()) {
      for (let axis = 0; axis < rank; axis++) {
        if (axis !== along) t.same(t.in(i, axis), t.out(0, axis));
      }
      const start = offset;
      if (!parts.includes(null)) t.part(part, t.out(0, along), (k) => start + k);
      offset += part?.size ?? 0;
    }
  },
};

/** Index k of output i is index offset_i + k of the input; sizes are rewritten after a removal. */
const split: CouplingRule = {
  tie(node, t) {
    const along = mod(node.int("axis", 0), t.rank(0));
    const whole = t.in(0, along);
    const sizes =
      whole && (!node.inputs[1] || t.ints(1))
        ? splitSizes(whole.size, t.ints(1), node.outputs.length)
        : null;
    let offset = 0;
    for (const i of node.outputs.keys()) {
      through(t, [along], i);
      const start = offset;
      if (sizes) t.part(t.out(i, along), whole, (k) => start + k);
      offset += sizes?.[i] ?? 0;
    }
  },
  resize(node, kept) {
    const along = mod(node.int("axis", 0), node.output.shape?.length ?? 0);
    node.set("num_outputs", null);
    setInts(
      node,
      1,
      node.outputs.map((part) => kept.count(part, along)),
    );
  },
};

/** A slice along one axis. */
interface Cut {
  readonly axis: number;
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

/** The slices along all axes of a Slice; null if starts, ends or steps are not constant. */
function cutsOf(node: Node, rank: number, ints: Ties["ints"]): Cut[] | null {
  const [starts, ends] = [ints(1), ints(2)];
  const axes = node.inputs[3] ? ints(3) : starts?.map((_, i) => i);
  const steps = node.inputs[4] ? ints(4) : starts?.map(() => 1);
  if (!starts || !ends || !axes || !steps) return null;
  return axes.map((axis, i) => ({
    axis: mod(axis, rank),
    start: starts[i],
    end: ends[i],
    step: steps[i],
  }));
}

/**
 * Index i of the output is index first + i of the input. Axes with a step other than 1 are pinned.
 * After a removal, starts and ends are rewritten to what is left before and inside the slice.
 */
const slice: CouplingRule = {
  tie(node, t) {
    const count = node.inputs[1]?.shape?.[0];
    if (typeof count !== "number") return;
    const axes = node.inputs[3] ? t.ints(3) : [...Array(count).keys()];
    if (!axes) return;
    const touched = axes.map((axis) => mod(axis, t.rank(0)));
    through(t, touched);
    for (const { axis, start, end, step } of cutsOf(node, t.rank(0), t.ints) ?? []) {
      const [from, to] = [t.in(0, axis), t.out(0, axis)];
      if (!from || !to) continue;
      const { first } = sliceRange(from.size, start, end, step);
      if (step === 1) t.part(to, from, (i) => first + i);
    }
  },
  resize(node, kept) {
    const [x] = node.inputs;
    const numbers = (i: number) => {
      const tensor = node.inputs[i]?.tensor;
      return tensor ? Array.from(tensor.numbers()) : null;
    };
    const cuts = x && cutsOf(node, x.shape?.length ?? 0, numbers);
    if (!cuts) return;
    const [starts, ends]: [number[], number[]] = [[], []];
    for (const { axis, start, end, step } of cuts) {
      const { first } = sliceRange(Number(x.shape?.[axis]), start, end, step);
      const before = kept.indices(x, axis).filter((i) => i < first).length;
      const isCut = kept.changes(x, axis);
      starts.push(isCut ? before : start);
      ends.push(isCut ? before + kept.count(node.output, axis) : end);
    }
    setInts(node, 1, starts);
    setInts(node, 2, ends);
  },
};

/**
 * Index k of the input is index begin + k of the output. Added indices are tied to nothing, so they
 * may be removed by themselves; pads are rewritten after a removal.
 */
const pad: CouplingRule = {
  tie(node, t) {
    const pads = t.ints(1);
    const axes = node.inputs[3] ? t.ints(3) : Array.from({ length: t.rank(0) }, (_, axis) => axis);
    if (!pads || !axes) return;
    const padded = axes.map((axis) => mod(axis, t.rank(0)));
    through(t, padded);
    for (const [i, axis] of padded.entries()) {
      const isPlain = pads[i] === 0 && pads[axes.length + i] === 0;
      const isSimple = node.text("mode", "constant") === "constant" && pads[i] >= 0;
      const [from, to] = [t.in(0, axis), t.out(0, axis)];
      if (isPlain) t.same(from, to);
      else if (isSimple && from && to) t.part(from, to, (k) => pads[i] + k);
    }
  },
  resize(node, kept) {
    const [x] = node.inputs;
    const pads = Array.from(node.inputs[1]?.tensor?.numbers() ?? []);
    const given = node.inputs[3]?.tensor?.numbers();
    const rank = x?.shape?.length ?? 0;
    const axes = Array.from(given ?? x?.shape?.keys() ?? [], (axis) => mod(axis, rank));
    for (const [i, axis] of axes.entries()) {
      const begin = pads[i];
      if (!x || !kept.changes(node.output, axis) || (begin === 0 && pads[axes.length + i] === 0))
        continue;
      const left = kept.indices(node.output, axis);
      const end = begin + Number(x.shape?.[axis]);
      pads[i] = left.filter((index) => index < begin).length;
      pads[axes.length + i] = left.filter((index) => index >= end).length;
    }
    setInts(node, 1, pads);
  },
};

/**
 * Copies along new axes, and along axes of size 1, are tied to nothing and may be
 * removed by themselves.
 */
const expand: CouplingRule = {
  tie(node, t) {
    const isGiven = node.inputs[1]?.tensor != null;
    const rank = node.output.shape?.length ?? 0;
    for (let axis = 1; axis <= rank; axis++) {
      const [from, to] = [axis <= t.rank(0) ? t.in(0, -axis) : null, t.out(0, rank - axis)];
      if (from && to && from.size === to.size && (isGiven || from.size === 1)) t.same(from, to);
      else if (isGiven && to && (axis > t.rank(0) || from?.size === 1)) {
        t.free(from);
        t.free(to);
      }
    }
  },
  resize(node, kept) {
    const target = Array.from(node.inputs[1]?.tensor?.numbers() ?? []);
    const rank = node.output.shape?.length ?? 0;
    const at = (i: number): number => rank - target.length + i;
    setInts(
      node,
      1,
      target.map((size, i) => (size > 1 ? kept.count(node.output, at(i)) : size)),
    );
  },
};

/** An axis of r copies is the product (copy, i) of a free axis of r and the input's axis. */
const tile: CouplingRule = {
  tie(_, t) {
    const repeats = t.ints(1);
    for (let axis = 0; axis < t.rank(0); axis++) {
      const [from, to] = [t.in(0, axis), t.out(0, axis)];
      if (repeats && from && to) t.product(to, [t.fresh(repeats[axis]), from]);
    }
  },
  resize(node, kept) {
    const [x] = node.inputs;
    const count = (axis: number): number => (x ? kept.count(x, axis) : 1);
    const repeats = (node.output.shape ?? []).map((dim, axis) =>
      typeof dim === "number" ? kept.count(node.output, axis) / count(axis) : null,
    );
    const old = Array.from(node.inputs[1]?.tensor?.numbers() ?? []);
    setInts(
      node,
      1,
      old.map((r, axis) => repeats[axis] ?? r),
    );
  },
};

export const couplingExtent: CouplingRules = {
  Concat: concat,
  Expand: expand,
  Pad: pad,
  Slice: slice,
  Split: split,
  Tile: tile,
};
