/** @file Widening: more channels, heads and neurons that compute the same (Net2WiderNet). */
import type { Context } from "../context.ts";
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { resizeUnits } from "../ops/coupling.ts";
import { product } from "../util/product.ts";
import { type Candidate, candidatesOf, independent, type Part, whyFixed } from "./candidates.ts";
import { coupleChannels } from "./couple.ts";
import { spellOut } from "./spell-out.ts";
import { unshareVectors } from "./unshare.ts";

/** How often each unit of a group shall be there, and what each of its copies counts. */
interface Copies {
  readonly candidate: Candidate;
  /** By unit, then by copy: shares of 1. */
  readonly shares: readonly (readonly number[])[];
}

/**
 * Copies units, so that every group has `width` times as many; the outputs stay the same. A layer that
 * reads k copies of unit c multiplies them by shares that add up to its weight (Chen, Goodfellow,
 * Shlens 2016, Net2Net, arXiv 1511.05641, section 2.2, eq. 5, where the shares are 1 / k):
 *   W'[:, copy j of c] = share_j W[:, c],  sum_j share_j = 1
 * The shares are drawn. Equal ones would give all copies one gradient, so that they would stay copies.
 * In place. Reports every group and why others keep their size.
 */
export function widenChannels(
  model: Model,
  width: number,
  chosen: ReadonlySet<Node>,
  { random, skip, group }: Pick<Context, "random" | "skip" | "group">,
): void {
  const packAgain = spellOut(model);
  const reshare = unshareVectors(model);
  const candidates = candidatesOf(model, coupleChannels(model)).filter((candidate) => {
    const own = candidate.makers.find(({ use }) => chosen.has(use.node))?.use.node;
    const why = own && whyKept(candidate, chosen);
    if (why) skip(own.name, `keeps its width: ${why}`);
    return own && !why;
  });
  const grown = independent(candidates).chosen.map((candidate): Copies => {
    const { name, units } = candidate.group;
    const wanted = Math.round(width * units.length);
    group(name, units.length, wanted, `copies, width ${width}`);
    return { candidate, shares: sharesOf(units.length, wanted, random) };
  });
  const kept = resizeUnits(
    model,
    grown.map(({ candidate, shares }) => ({
      group: candidate.group,
      copies: (unit) => shares[unit].length,
    })),
  );
  for (const { candidate, shares } of grown) {
    for (const part of partsOf(candidate)) {
      scale(part, factorsOf(part, shares, kept.indices(part.use.value, part.axis)));
    }
  }
  reshare();
  packAgain();
}

/** The weights that read the units; one that several nodes read only once. */
function partsOf({ readers }: Candidate): Part[] {
  const parts = readers.map(({ part }) => part as Part);
  const isSame = (a: Part, b: Part): boolean => a.use.value === b.use.value && a.axis === b.axis;
  return parts.filter((part, i) => parts.findIndex((other) => isSame(part, other)) === i);
}

/** Why a group keeps its size; null if it can be widened. */
function whyKept(candidate: Candidate, chosen: ReadonlySet<Node>): string | null {
  const fixed = whyFixed(candidate, chosen);
  if (fixed) return fixed;
  const shared = candidate.readers.find(
    ({ part }) => part?.use.role.kind === "convtranspose" && part.use.role.groups > 1,
  );
  // Its weight's first axis counts groups and inputs at once, and a copied group is no longer sum.
  if (shared) return `${shared.sink.node.name} reads it in groups`;
  const isFree = (part: Part | null): boolean =>
    part?.use.value.tensor?.dtype === "float32" || part?.use.value.tensor?.dtype === "float16";
  const stuck = candidate.readers.find(({ part }) => !isFree(part));
  return stuck
    ? `${stuck.sink.node.name} sums over it without a weight of floats of its own`
    : null;
}

/** Copies of units chosen at random, none before all others have as many. */
function sharesOf(units: number, wanted: number, random: Context["random"]): number[][] {
  const counts = new Array<number>(units).fill(1);
  for (let order: number[] = [], more = wanted - units; more > 0; more--) {
    if (order.length === 0) order = random.shuffle(Array.from(counts.keys()));
    counts[order.pop() as number]++;
  }
  return counts.map((count) => {
    if (count === 1) return [1];
    const drawn = Array.from({ length: count }, () => 0.5 + random.float());
    const sum = drawn.reduce((a, b) => a + b);
    return drawn.map((share) => share / sum);
  });
}

/** The factor of each index along the part's axis, given the old indices `order` that are there now. */
function factorsOf(part: Part, shares: Copies["shares"], order: readonly number[]): number[] {
  const unitAt = new Map<number, number>();
  for (const unit of shares.keys()) for (const index of part.indices(unit)) unitAt.set(index, unit);
  const seen = new Map<number, number>();
  return order.map((index) => {
    const unit = unitAt.get(index);
    if (unit === undefined) return 1;
    const copy = seen.get(index) ?? 0;
    seen.set(index, copy + 1);
    return shares[unit][copy];
  });
}

/** Multiplies a weight by a factor for each index along the part's axis. */
function scale({ use: { value }, axis }: Part, factors: readonly number[]): void {
  const weight = value.tensor as Tensor;
  const { shape, dtype } = weight;
  const inner = product(shape.slice(axis + 1));
  const values = Float64Array.from(
    weight.numbers(),
    (w, i) => w * factors[Math.floor(i / inner) % factors.length],
  );
  value.graph.setConstant(value, tensor(dtype, shape, values));
}
