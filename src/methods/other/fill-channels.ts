/** @file Widens layers by copies of channels to widths that kernels compute at no cost. */
import { z } from "zod";
import { hasBlocks, roundUp } from "../../channels/allocate.ts";
import { type Candidate, candidatesOf, whyFixed } from "../../channels/candidates.ts";
import { coupleChannels } from "../../channels/couple.ts";
import { spellOut } from "../../channels/spell-out.ts";
import type { Node } from "../../ir/graph.ts";
import { type Tensor, tensor } from "../../ir/tensor.ts";
import { take } from "../../ops/coupling/remove.ts";
import { couplingRuleOf } from "../../ops/coupling/rules.ts";
import { inferModel } from "../../ops/infer.ts";
import { linearOf } from "../../ops/linear.ts";
import { hasTrait } from "../../ops/traits.ts";
import { product } from "../../util/product.ts";
import { chosenLayers, siteOptions } from "../../weights/select.ts";
import { defineMethod } from "../method.ts";

/**
 * Net2WiderNet: the layer that makes a group of channels repeats some of them, and the weights by
 * which readers multiply the copies are negligible. The function stays the same but for rounding,
 * and further training can use the copies.
 */
export const fillChannels = defineMethod({
  title: "filling up channels",
  cite: "Chen et al. 2016, Net2Net, arXiv 1511.05641 (Net2WiderNet)",
  summary:
    "Adds channels, unread at first, where native convolutions are faster with more: outputs stay the same.",
  needs: [],
  quickens: true,
  options: z.object({
    round: z.int().min(1).max(64).default(4).meta({
      description:
        "Widens to a multiple of this, at least 16; up to the next multiple of 16, native convolutions take no more time.",
    }),
    ...siteOptions,
  }),
  survey: [{}],
  neutral: {},
  async apply(model, { round, ...selection }, context) {
    const chosen = chosenLayers(model, selection);
    if (chosen.size === 0) return;
    const packAgain = spellOut(model);
    const candidates = candidatesOf(model, coupleChannels(model));
    let isFilled = false;
    for (const [i, candidate] of candidates.entries()) {
      await context.progress(i, candidates.length);
      const { group, layers } = candidate;
      const size = group.units.length;
      const count = size < BLOCK ? BLOCK : roundUp(size, round);
      const own = [...layers].find((node) => chosen.has(node));
      if (!own || count === size || !hasBlocks(candidate, context.target)) continue;
      const why = refusal(candidate, chosen);
      if (why) context.skip(own.name, `keeps its ${size} channels: ${why}`);
      else {
        fill(candidate, count);
        isFilled = true;
        context.group(group.name, size, count, "filled up with copies that nobody reads yet");
      }
    }
    packAgain();
    if (isFilled) inferModel(model);
  },
});

/**
 * Convolutions that read fewer channels than this leave the engine's blocked layout for their
 * input.
 */
const BLOCK = 16;
/**
 * The weight of readers for an added channel: lost in any sum, but not exactly 0, which training
 * would keep as if it were pruned.
 */
const TINY = 2 ** -40;

/** Why the channels that a node reads or gives cannot become more; null if they can. */
function whyNoMore(node: Node): string | null {
  if (linearOf(node)) return null;
  if (!hasTrait(node, "separate")) return "may mix them";
  // A Reshape, for one, states sizes that shrink with the channels, and would have
  // to grow with them.
  return couplingRuleOf(node)?.resize ? "spells out how many there are" : null;
}

/** Why a group cannot get more channels without changing the outputs; null if it can. */
function refusal(candidate: Candidate, chosen: ReadonlySet<Node>): string | null {
  const { group, readers } = candidate;
  const fixed = whyFixed(candidate, chosen);
  if (fixed) return fixed;
  if (readers.length === 0 || readers.some(({ part }) => part === null)) {
    return "something that is no weight adds them up";
  }
  const { members } = group.units[0];
  if (members.some(({ indices }) => indices.length > 1)) return "they go in blocks";
  const stored = members.find(({ value: { tensor } }) => tensor && tensor.dtype !== "float32");
  if (stored) return `${stored.value.name} is ${stored.value.tensor?.dtype}`;
  for (const { value } of members) {
    const nodes = [...value.consumers, ...(value.producer ? [value.producer] : [])];
    const other = nodes.find(whyNoMore);
    if (other) return `${other.name} (${other.op}) ${whyNoMore(other)}`;
    const grouped = nodes.find((node) => node.int("group", 1) > 1 && !isDepthwise(node));
    if (grouped) return `${grouped.name} reads them in groups`;
  }
  return null;
}

const isDepthwise = ({ inputs: [, weight] }: Node): boolean => weight?.shape?.[1] === 1;

/**
 * Widens the group to `count` channels. The layers that make them repeat their first channels;
 * readers get weights of next to nothing, which training can change.
 */
function fill({ group, readers }: Candidate, count: number): void {
  const depthwise = new Set<Node>();
  for (const { value, axis } of group.units[0].members) {
    const isRead = readers.some(({ part }) => part?.use.value === value && part.axis === axis);
    const { tensor } = value;
    if (tensor) value.graph.setConstant(value, filled(tensor, axis, count, isRead));
    else value.shape = (value.shape ?? []).with(axis, count);
    for (const node of value.consumers) if (node.int("group", 1) > 1) depthwise.add(node);
  }
  for (const node of depthwise) node.set("group", { type: "int", value: count });
}

/**
 * The tensor with `count` indices along an axis. Added ones repeat the first, or are TINY
 * (`isRead`).
 */
function filled(whole: Tensor, axis: number, count: number, isRead: boolean): Tensor {
  const { shape } = whole;
  const size = shape[axis];
  const indices = Array.from({ length: count }, (_, i) => i % size);
  const longer = take(whole, axis, indices);
  if (!isRead) return longer;
  const inner = product(shape.slice(axis + 1));
  const values = longer.floats().map((x, i) => (Math.floor(i / inner) % count < size ? x : TINY));
  return tensor("float32", longer.shape, values);
}
