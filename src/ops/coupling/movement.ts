/** @file Coupling of operators that move elements: join, cut, pick, pad, repeat, turn. */
import type { Node } from "../../ir/graph.ts";
import { sliceRange, splitSizes } from "../evaluate/movement.ts";
import { type CouplingRule, type CouplingRules, mod, setInts, type Ties } from "./rule.ts";

/** Ties the axes of the first input and of output `output` that lie at the same place, but `but`. */
function through(t: Ties, but: readonly number[] = [], output = 0): void {
  for (let axis = 0; axis < t.rank(0); axis++) {
    if (!but.includes(axis)) t.same(t.in(0, axis), t.out(output, axis));
  }
}

const transpose: CouplingRule = {
  tie(node, t) {
    const rank = t.rank(0);
    for (let axis = 0; axis < rank; axis++) {
      t.same(t.in(0, node.ints("perm")?.[axis] ?? rank - 1 - axis), t.out(0, axis));
    }
  },
};

/** The axes of one side that the other does not have are of size one. */
const squeezing = (long: "in" | "out"): CouplingRule => ({
  tie(node, t) {
    const [more, less] =
      long === "in" ? [node.inputs[0], node.output] : [node.output, node.inputs[0]];
    const rank = more?.shape?.length ?? 0;
    const given = node.inputs[1] ? t.ints(1) : more?.shape?.flatMap((d, i) => (d === 1 ? [i] : []));
    const ones = given?.map((axis) => mod(axis, rank));
    if (!ones || rank - ones.length !== less?.shape?.length) return;
    const rest = Array.from({ length: rank }, (_, axis) => axis).filter((a) => !ones.includes(a));
    const other = long === "in" ? "out" : "in";
    for (const axis of ones) t.free(t[long](0, axis));
    for (const [axis, from] of rest.entries()) t.same(t[long](0, from), t[other](0, axis));
  },
});

const concat: CouplingRule = {
  tie(node, t) {
    const rank = t.rank(0);
    const along = mod(node.int("axis", 0), rank);
    let offset = 0;
    for (const i of node.inputs.keys()) {
      for (let axis = 0; axis < rank; axis++) {
        if (axis !== along) t.same(t.in(i, axis), t.out(0, axis));
      }
      const [part, start] = [t.in(i, along), offset];
      t.part(part, t.out(0, along), (k) => start + k);
      offset += part?.size ?? 0;
    }
  },
};

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

interface Cut {
  readonly axis: number;
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

/** Null where starts, ends or steps are computed. */
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

const slice: CouplingRule = {
  tie(node, t) {
    const count = node.inputs[1]?.shape?.[0];
    const axes = node.inputs[3]
      ? t.ints(3)
      : typeof count === "number"
        ? [...Array(count).keys()]
        : null;
    if (!axes) return;
    through(
      t,
      axes.map((axis) => mod(axis, t.rank(0))),
    );
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
    const moved = cuts.map(({ axis, start, end, step }) => {
      if (!kept.shrinks(x, axis)) return { start, end };
      const { first } = sliceRange(Number(x.shape?.[axis]), start, end, step);
      const before = kept.indices(x, axis).filter((i) => i < first).length;
      return { start: before, end: before + kept.count(node.output, axis) };
    });
    setInts(
      node,
      1,
      moved.map(({ start }) => start),
    );
    setInts(
      node,
      2,
      moved.map(({ end }) => end),
    );
  },
};

/** What is added around an axis is tied to nothing: it may go. */
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
      if (!x || !kept.shrinks(node.output, axis) || (begin === 0 && pads[axes.length + i] === 0))
        continue;
      const left = kept.indices(node.output, axis);
      const end = begin + Number(x.shape?.[axis]);
      pads[i] = left.filter((index) => index < begin).length;
      pads[axes.length + i] = left.filter((index) => index >= end).length;
    }
    setInts(node, 1, pads);
  },
};

const gather: CouplingRule = {
  tie(node, t) {
    const [rank, depth] = [t.rank(0), t.rank(1)];
    const along = mod(node.int("axis", 0), rank);
    for (let axis = 0; axis < rank; axis++) {
      if (axis !== along) t.same(t.in(0, axis), t.out(0, axis < along ? axis : axis + depth - 1));
    }
    for (let axis = 0; axis < depth; axis++) t.same(t.in(1, axis), t.out(0, along + axis));
    const [data, picked] = [t.in(0, along), depth === 1 ? t.ints(1) : null];
    // A fixed choice of channels, as a shuffle is; what is not picked stays.
    if (data && picked && isPermutation(picked, data.size)) {
      t.part(t.out(0, along), data, (i) => mod(picked[i], data.size));
    } else t.pin(data, "picks from it by number");
  },
  resize(node, kept) {
    const [data, index] = node.inputs;
    const along = mod(node.int("axis", 0), data?.shape?.length ?? 0);
    if (!data || !index?.tensor || !kept.shrinks(data, along)) return;
    const left = kept.indices(data, along);
    const old = index.tensor.numbers();
    const size = Number(data.shape?.[along]);
    setInts(
      node,
      1,
      kept.indices(node.output, along).map((i) => left.indexOf(mod(old[i], size))),
    );
  },
};

function isPermutation(picked: readonly number[], size: number): boolean {
  return picked.length === size && new Set(picked.map((i) => mod(i, size))).size === size;
}

/** New axes, and those that grow from one, are copies without a tie of their own. */
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

/** r copies one after the other: index (copy, i). */
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

/** Blocks of b x b pixels are channels: (block, channel), or (channel, block) under CRD. */
const blocks = (deep: "in" | "out"): CouplingRule => ({
  tie(node, t) {
    const other = deep === "in" ? "out" : "in";
    t.same(t.in(0, 0), t.out(0, 0));
    const few = t[other](0, 1);
    const block = t.fresh(node.int("blocksize", 1) ** 2);
    for (let i = 0; i < block.size; i++) {
      t.pin({ ...block, first: block.first + i, size: 1 }, "makes whole blocks of it");
    }
    if (few)
      t.product(t[deep](0, 1), node.text("mode", "DCR") === "DCR" ? [block, few] : [few, block]);
  },
});

/** Only the axes that keep their size; `sizes` names them too. */
const resize: CouplingRule = {
  tie(node, t) {
    const isGiven = !node.inputs[3] || (node.inputs[3].tensor != null && !node.ints("axes"));
    for (let axis = 0; axis < t.rank(0); axis++) {
      const [from, to] = [t.in(0, axis), t.out(0, axis)];
      if (isGiven && axis < 2 && from?.size === to?.size) t.same(from, to);
    }
  },
  resize(node, kept) {
    const sizes = node.inputs[3]?.tensor;
    if (!sizes) return;
    const [x] = node.inputs;
    const count = (size: number, axis: number): number =>
      x && kept.shrinks(x, axis) ? kept.count(x, axis) : size;
    setInts(node, 3, Array.from(sizes.numbers(), count));
  },
};

/** Who reads a size must go on reading the same. */
const shape: CouplingRule = {
  tie(node, t) {
    const start = mod(node.int("start", 0), t.rank(0));
    const end = mod(node.int("end", t.rank(0)), t.rank(0));
    const read = new Set<number>();
    for (const user of node.output.consumers) {
      const index = user.op === "Gather" ? user.inputs[1]?.tensor : null;
      const all = Array.from({ length: end - start }, (_, i) => i);
      for (const i of index?.numbers() ?? all) read.add(start + mod(i, end - start));
    }
    if (node.output.isOutput) for (let axis = 0; axis < t.rank(0); axis++) read.add(axis);
    for (let axis = 0; axis < t.rank(0); axis++) {
      if (read.has(axis)) t.pin(t.in(0, axis), "tells its size to other nodes");
      else t.free(t.in(0, axis));
    }
  },
};

export const couplingMovement: CouplingRules = {
  Concat: concat,
  DepthToSpace: blocks("in"),
  Expand: expand,
  Gather: gather,
  Pad: pad,
  Resize: resize,
  Shape: shape,
  Slice: slice,
  SpaceToDepth: blocks("out"),
  Split: split,
  Squeeze: squeezing("in"),
  Tile: tile,
  Transpose: transpose,
  Unsqueeze: squeezing("out"),
};
