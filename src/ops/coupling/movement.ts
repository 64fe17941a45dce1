/** @file Coupling of operators that move or pick elements, or tell sizes. */
import { type CouplingRule, type CouplingRules, mod, setInts } from "./rule.ts";

/** Axis perm[i] of the input is axis i of the output. */
const transpose: CouplingRule = {
  tie(node, t) {
    const rank = t.rank(0);
    for (let axis = 0; axis < rank; axis++) {
      t.same(t.in(0, node.ints("perm")?.[axis] ?? rank - 1 - axis), t.out(0, axis));
    }
  },
};

/**
 * Squeeze and Unsqueeze: axes of size 1 that one side has more are free, the others
 * correspond in order.
 */
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

/**
 * Gather: a constant permutation of all indices (a channel shuffle) is followed; any other
 * selection pins the axis, because it names indices by number.
 */
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
    if (!data || !index?.tensor || !kept.changes(data, along)) return;
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

/**
 * DepthToSpace and SpaceToDepth: the deep side's channels are (block, channel), or (channel,
 * block) in mode CRD, with b x b positions of a block. Whole blocks stay, so that only
 * channels can be removed.
 */
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

/**
 * Resize: batch and channels if their size stays the same. Sizes given as an input are rewritten.
 */
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
      x && kept.changes(x, axis) ? kept.count(x, axis) : size;
    setInts(node, 3, Array.from(sizes.numbers(), count));
  },
};

/** Shape: axes whose size other nodes read keep it; the others are free. */
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
  DepthToSpace: blocks("in"),
  Gather: gather,
  Resize: resize,
  Shape: shape,
  SpaceToDepth: blocks("out"),
  Squeeze: squeezing("in"),
  Transpose: transpose,
  Unsqueeze: squeezing("out"),
};
