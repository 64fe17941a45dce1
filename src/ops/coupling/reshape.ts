/** @file Coupling of Reshape and Flatten: an axis as a row-major product of other axes. */
import type { Dim } from "../../ir/graph.ts";
import { factor } from "../infer/dims.ts";
import { type CouplingRule, type CouplingRules, setInts, type Ties } from "./rule.ts";
import type { Axis } from "./slots.ts";

type Shape = readonly Dim[];

/**
 * Consecutive axes of both sides whose sizes have the same product, so that they hold
 * the same elements.
 */
interface Block {
  readonly ins: readonly number[];
  readonly outs: readonly number[];
}

/**
 * The finest blocks into which both shapes can be cut, for example [N, 4, 6] and [N, 2, 2, 6]
 * into (N, N), (4, 2 2), (6, 6). A symbolic size only corresponds to itself. Blocks end where
 * sizes are not known.
 */
export function blocksOf(before: Shape, after: Shape): Block[] {
  const [from, to] = solve(before, after);
  const blocks: Block[] = [];
  let [i, j, m, n] = [0, 0, from.length, to.length];
  const meets = (a: Dim, b: Dim): boolean => a !== null && a === b;
  while (i < m && j < n && meets(from[i], to[j])) blocks.push({ ins: [i++], outs: [j++] });
  while (m > i && n > j && meets(from[m - 1], to[n - 1])) blocks.push({ ins: [--m], outs: [--n] });
  while (i < m || j < n) {
    const [ins, outs]: [number[], number[]] = [[], []];
    let [p, q] = [1, 1];
    do {
      const isIn = i < m && (p <= q || j >= n);
      if (!isIn && j >= n) return blocks;
      const dim = isIn ? from[i] : to[j];
      if (typeof dim !== "number" || dim === 0) {
        if (ins.length + outs.length > 0 || !meets(from[i], to[j])) return blocks;
        blocks.push({ ins: [i++], outs: [j++] });
        continue;
      }
      if (isIn) {
        p *= dim;
        ins.push(i++);
      } else {
        q *= dim;
        outs.push(j++);
      }
    } while (p !== q);
    if (ins.length + outs.length > 0) blocks.push({ ins, outs });
  }
  return blocks;
}

/** If each side has one unknown size and all others have the same product, it is the same size. */
function solve(from: Shape, to: Shape): readonly [Shape, Shape] {
  const sides = [from, to].map((shape) => {
    const known = factor(shape.filter((dim) => dim !== null));
    const gaps = shape.filter((dim) => dim === null).length;
    return `${gaps}: ${known?.size} ${known?.symbols.sort()}`;
  });
  if (sides[0] !== sides[1] || !sides[0].startsWith("1:")) return [from, to];
  const fill = (shape: Shape): Shape => shape.map((dim) => dim ?? "?");
  return [fill(from), fill(to)];
}

/**
 * The common refinement of two row-major factorizations of one range, as axes: 4 6 and 2 12 both
 * become 2 2 6. Null if their cuts do not nest. A factor that is an axis of either side is that
 * axis, others are new ones.
 */
function factorsOf(ins: readonly Axis[], outs: readonly Axis[], t: Ties): Axis[] | null {
  const cuts = new Set<number>();
  for (const side of [ins, outs]) {
    side.reduce((product, { size }) => {
      cuts.add(product * size);
      return product * size;
    }, 1);
  }
  cuts.delete(1);
  const sorted = [...cuts].sort((a, b) => a - b);
  const sizes = sorted.map((cut, i) => cut / (sorted[i - 1] ?? 1));
  if (!sizes.every(Number.isInteger)) return null;
  // A factor that is an axis of either side is that axis.
  return sizes.map((size, i) => {
    const from = sorted[i - 1] ?? 1;
    return (
      [...ins, ...outs].find((axis) => axis.size === size && startOf(axis) === from) ??
      t.fresh(size)
    );
  });
  function startOf(axis: Axis): number {
    const side = ins.includes(axis) ? ins : outs;
    return side.slice(0, side.indexOf(axis)).reduce((product, { size }) => product * size, 1);
  }
}

/** Ties every axis to the product of its factors. Axes that have no common factors are pinned. */
function tieBlocks(from: Shape, to: Shape, t: Ties): void {
  for (const block of blocksOf(from, to)) {
    const ins = block.ins.map((axis) => t.in(0, axis)).filter((side) => side !== null);
    const outs = block.outs.map((axis) => t.out(0, axis)).filter((side) => side !== null);
    const isWhole = ins.length + outs.length === block.ins.length + block.outs.length;
    const factors = isWhole ? factorsOf(ins, outs, t) : null;
    for (const side of [ins, outs]) {
      let at = 0;
      for (const axis of side) {
        let size = 1;
        const parts: Axis[] = [];
        while (factors && size < axis.size) {
          parts.push(factors[at]);
          size *= factors[at++].size;
        }
        if (!factors) t.pin(axis, "cuts it in a way that keeps no channel whole");
        else if (axis.size === 1) t.free(axis);
        else if (parts.length !== 1 || parts[0] !== axis) t.product(axis, parts);
        else t.free(axis);
      }
    }
  }
}

/**
 * The constant target of a Reshape, except for fixed numbers (null): 0 copies a
 * size, -1 is solved for.
 */
function targetOf(from: Shape, to: Shape): (number | null)[] {
  return to.map((dim, axis) =>
    typeof dim === "number" ? null : dim !== null && dim === from[axis] ? 0 : -1,
  );
}

/**
 * At most one size can be solved for; otherwise nothing may shrink. The target is
 * rewritten after a removal.
 */
const reshape: CouplingRule = {
  tie(node, t) {
    const [from, to] = [node.inputs[0]?.shape, node.output.shape];
    if (!from || !to) return;
    if (targetOf(from, to).filter((size) => size === -1).length < 2) tieBlocks(from, to, t);
  },
  resize(node, kept) {
    const [from, to] = [node.inputs[0]?.shape ?? [], node.output.shape ?? []];
    const sizes = targetOf(from, to).map((size, axis) => size ?? kept.count(node.output, axis));
    node.set("allowzero", null);
    setInts(node, 1, sizes);
  },
};

const flatten: CouplingRule = {
  tie: (node, t) => tieBlocks(node.inputs[0]?.shape ?? [], node.output.shape ?? [], t),
};

export const couplingReshape: CouplingRules = { Flatten: flatten, Reshape: reshape };
