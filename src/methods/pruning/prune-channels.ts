/** @file Channel pruning: removes channels, heads and neurons from any graph. */
import { z } from "zod";
import { allocate, hasBlocks, roundUp, type Share } from "../../channels/allocate.ts";
import { whyNarrow } from "../../channels/bottleneck.ts";
import { budgetPattern, ratioFor, tellTime } from "../../channels/budget.ts";
import { type Candidate, candidatesOf, independent } from "../../channels/candidates.ts";
import { coupleChannels } from "../../channels/couple.ts";
import { type Criterion, criteria, criterionIds } from "../../channels/criteria.ts";
import { type Vitality, vitalityOf } from "../../channels/dead.ts";
import { pricesOf } from "../../channels/price.ts";
import { type Removed, repairIds, repairs } from "../../channels/repair.ts";
import { bySensitivity } from "../../channels/sensitivity.ts";
import { spellOut } from "../../channels/spell-out.ts";
import { unshareVectors } from "../../channels/unshare.ts";
import type { Context } from "../../context.ts";
import type { Node } from "../../ir/graph.ts";
import { cloneModel } from "../../ir/model.ts";
import { type Removal, removeUnits } from "../../ops/coupling.ts";
import { inferModel } from "../../ops/infer.ts";
import { chosenLayers, rescueOptions, siteOptions } from "../../weights/select.ts";
import { defineMethod } from "../method.ts";

const options = z.object({
  ratio: z
    .number()
    .min(0)
    .max(0.95)
    .default(0.25)
    .meta({
      description: "Share of channels, heads and neurons to remove; 0 takes only dead ones.",
      search: [0.15, 0.25, 0.5],
    }),
  budget: z
    .union([z.literal(""), z.string().regex(budgetPattern)])
    .default("")
    .meta({
      description:
        "Instead of a ratio, the share that may be left: macs<=0.5, bytes<=0.5, latency<=0.7 (measured on this machine).",
      search: ["macs<=0.5"],
    }),
  criterion: z
    .enum(criterionIds)
    .default("group-l2")
    .meta({
      description: `The channels that go have the least ${Object.entries(criteria)
        .map(([id, { doc }]) => `${id}: ${doc}`)
        .join("; ")}.`,
      search: ["group-l2", "fpgm", "activation", "obs"],
    }),
  allocation: z
    .enum(["uniform", "global", "sensitivity"])
    .default("uniform")
    .meta({
      description:
        "uniform: the same share of every layer; global: one threshold for the whole model; sensitivity: more from layers where it changes the outputs least, for what it saves of the budget.",
      search: ["uniform", "global", "sensitivity"],
    }),
  round: z.int().min(0).max(64).default(0).meta({
    description:
      "Channels left are a multiple of this; 0: of what the target's kernels compute fast.",
  }),
  repair: z.enum(repairIds).default("least-squares").meta({
    description:
      "How layers that read removed channels are corrected: least-squares fits their other weights on calibration records, bias takes the channels' mean into the bias, batchnorm then measures running statistics again.",
  }),
  records: z.int().min(1).default(256).meta({
    description: "Calibration records to look at, at most.",
  }),
  ...siteOptions,
  ...rescueOptions,
});

/** Whether channels are removed that are not dead: those with the lowest scores. */
const isRanked = ({ ratio, budget }: Pick<z.output<typeof options>, "ratio" | "budget">): boolean =>
  ratio > 0 || budget !== "";

const readsNorms = (id: keyof typeof criteria): boolean => {
  const criterion: Criterion = criteria[id];
  return criterion.readsNorms ?? false;
};

/**
 * Channels that have to be removed together form groups of units (ops/coupling.ts). A criterion
 * scores the units, an allocation decides how many each group loses, the units are cut out of all
 * weights, and a repair corrects the layers that read them.
 */
export const pruneChannels = defineMethod({
  title: "channel pruning",
  cite: "Li et al. 2017, arXiv 1608.08710; Fang et al. 2023, arXiv 2301.12900",
  summary: "Removes whole channels, heads and neurons: smaller, and faster in every engine.",
  needs: ({ criterion, allocation, repair, ...rest }) => [
    ...(isRanked(rest) ? criteria[criterion].needs : []),
    ...(isRanked(rest) && allocation === "sensitivity" ? (["calibration"] as const) : []),
    // The other repairs do what they can without data; running statistics have to be measured.
    ...(repair === "batchnorm" ? (["calibration"] as const) : []),
  ],
  readsNorms: ({ criterion, repair, ...rest }) =>
    repair === "batchnorm" || (isRanked(rest) && readsNorms(criterion)),
  options,
  survey: [{ ratio: 0.25 }, { ratio: 0.5 }],
  neutral: { ratio: 0 },
  milder: ({ ratio, budget }) => (budget ? [] : [{ ratio: ratio / 2 }, { ratio: ratio / 4 }]),
  together(model) {
    const copy = cloneModel(model);
    inferModel(copy);
    spellOut(copy);
    unshareVectors(copy);
    const free = candidatesOf(copy, coupleChannels(copy)).filter(({ group }) => !group.pinned);
    return free.map(({ layers }) => [...layers].map(({ name }) => name));
  },
  async apply(model, given, context) {
    const chosen = chosenLayers(model, given);
    if (chosen.size === 0) return;
    const criterion: Criterion = criteria[given.criterion];
    // Coupling follows dense weights only, and biases that merely have equal values must
    // not couple layers.
    const packAgain = spellOut(model);
    const reshare = unshareVectors(model);
    const all = candidatesOf(model, coupleChannels(model));
    const candidates = freeGroups(all, chosen, context);
    const vitality: Vitality[][] = [];
    for (const [i, candidate] of candidates.entries()) {
      await context.progress(i, candidates.length);
      vitality.push(vitalityOf(candidate));
    }
    const worth = isRanked(given)
      ? await criterion.score(candidates, model, context, given.records)
      : [];
    if (given.allocation === "uniform") {
      for (const i of worth.keys()) worth[i] = whyNarrow(candidates[i]) ?? worth[i];
    }
    const isBySensitivity = given.allocation === "sensitivity";
    const scores = isBySensitivity
      ? await bySensitivity(model, all, candidates, worth, given, context)
      : worth;
    // Only `allocation=sensitivity` needs the cost of each group. Under a latency budget that is a
    // measurement, so it is skipped otherwise.
    const prices = await pricesOf(isBySensitivity ? given.budget : "", model, candidates, context);
    const isAbsolute = criterion.isAbsolute ?? false;
    const plan = (ratio: number, told: Context): Removed[] =>
      choose(candidates, vitality, scores, prices, { ...given, ratio, isAbsolute }, told);
    const quiet = { ...context, skip() {}, group() {} };
    const ratio = given.budget
      ? await ratioFor(given.budget, model, (share) => plan(share, quiet).map(removalOf), context)
      : given.ratio;
    const removed = plan(ratio, context);
    if (given.budget) await tellTime(given.budget, model, removed.map(removalOf), context);
    if (removed.length > 0) {
      const finish = await repairs[given.repair](model, removed, context, given.records);
      await finish(removeUnits(model, removed.map(removalOf)));
    }
    reshare();
    packAgain();
    if (removed.length > 0) tellRemoved(removed, given, context);
  },
});

/**
 * Reports for every group that shrank how many channels are left, and all of them in one warning.
 */
function tellRemoved(
  removed: readonly Removed[],
  { criterion, allocation }: z.output<typeof options>,
  context: Context,
): void {
  const parts = removed.map(({ candidate, units, vitality }) => {
    const { name, units: all } = candidate.group;
    const left = all.length - units.length;
    const dead = units.filter((unit) => vitality[unit].isDead).length;
    const also = dead > 0 ? `; ${dead} of them dead` : "";
    const chosen = `lowest by ${criterion}, ${allocation}${also}`;
    const why = dead < units.length ? chosen : "dead: they change nothing";
    context.group(name, all.length, left, why);
    return `${name} ${all.length} -> ${left}`;
  });
  context.warn(`channels kept: ${parts.join(", ")}`);
}

const removalOf = ({ candidate, units }: Removed): Removal => ({ group: candidate.group, units });

/**
 * The groups that can be pruned. For every other group that a chosen layer makes, the
 * reason is reported.
 */
function freeGroups(
  candidates: readonly Candidate[],
  chosen: ReadonlySet<Node>,
  context: Context,
): readonly Candidate[] {
  const free = candidates.filter((candidate) => {
    const { group, makers, layers } = candidate;
    const own = makers.find(({ use }) => chosen.has(use.node))?.use.node;
    if (!own || group.units.length < 2) return false;
    const outside = [...layers].find((node) => !chosen.has(node));
    const why = group.pinned
      ? `because ${group.pinned.node} ${group.pinned.reason}`.replace("  ", " ")
      : outside && `because ${outside.name}, which is left out, shares them`;
    if (why) tellKept(candidate, own.name, "", why, context);
    return !why;
  });
  const { chosen: kept, shutOut } = independent(free);
  for (const [candidate, winner] of shutOut) {
    const why = `since it can lose some of its ${unitsOf(winner)}`;
    tellKept(candidate, candidate.group.name, ",", why, context);
  }
  return kept;
}

/** Reports why a group keeps all its units. */
function tellKept(
  candidate: Candidate,
  node: string,
  mark: "" | "," | ":",
  why: string,
  context: Context,
): void {
  const { name, units } = candidate.group;
  context.skip(node, `keeps its ${unitsOf(candidate)}${mark} ${why}`);
  context.group(name, units.length, units.length, `kept${mark || ","} ${why}`);
}

/** "16 channels", or "4 x 16 channels" for units of several channels (heads). */
function unitsOf({ group, makers }: Candidate): string {
  const width = makers[0]?.indices(0).length ?? 1;
  return width === 1
    ? `${group.units.length} channels`
    : `${group.units.length} x ${width} channels`;
}

/**
 * The units to remove: all dead ones, and of the others those with the lowest scores. `context`
 * receives the reasons of groups that keep everything.
 */
function choose(
  candidates: readonly Candidate[],
  vitality: readonly (readonly Vitality[])[],
  scores: readonly (Float64Array | string)[],
  prices: readonly number[],
  given: Share,
  context: Context,
): Removed[] {
  const ranked = candidates.flatMap((candidate, i) => {
    const score = scores[i];
    if (typeof score === "string") context.skip(candidate.group.name, score);
    return score instanceof Float64Array ? [{ candidate, score, price: prices[i] }] : [];
  });
  const dead = new Map(
    candidates.map((candidate, i) => [
      candidate,
      vitality[i].filter(({ isDead }) => isDead).length,
    ]),
  );
  const counts = allocate(
    ranked.map((each) => ({ ...each, dead: dead.get(each.candidate) ?? 0 })),
    given,
    context.target,
  );
  const keep = new Map(
    ranked.map(({ candidate, score }, i) => [candidate, { score, count: counts[i] }]),
  );
  return candidates.flatMap((candidate, i) => {
    const alive = vitality[i];
    const order = [...alive.keys()];
    const {
      score,
      count = withoutDead(candidate, dead.get(candidate) ?? 0, given.round, context),
    } = keep.get(candidate) ?? {};
    const rank = (unit: number): number => (alive[unit].isDead ? -1 : (score?.[unit] ?? 0));
    order.sort((a, b) => rank(a) - rank(b) || a - b);
    const gone = order.length - Math.max(1, count);
    tellDeaf(candidate, alive, order.slice(gone), context);
    if (gone === 0 && given.ratio > 0 && score) {
      const why = "the share rounds to none of them";
      tellKept(candidate, candidate.group.name, ":", why, context);
    }
    return gone > 0 ? [{ candidate, units: order.slice(0, gone), vitality: alive }] : [];
  });
}

/**
 * How many units a group keeps that has no scores: all but the dead ones, rounded up by `round`.
 */
function withoutDead(
  candidate: Candidate,
  dead: number,
  round: number,
  { target, warn }: Context,
): number {
  const { group } = candidate;
  const size = group.units.length;
  if (round > 0) return Math.min(size, roundUp(size - dead, round));
  if (hasBlocks(candidate, target) && size % 8 === 0 && dead % 8 !== 0) {
    const advice = "other than multiples of 8 may run slower: round=8 keeps some of them";
    warn(
      `${group.name} keeps ${size - dead} of ${size} channels, the others being dead; ${advice}`,
    );
  }
  return size - dead;
}

/** Reports the layers that have zero weights for a channel which other layers still need. */
function tellDeaf(
  { readers }: Candidate,
  alive: readonly Vitality[],
  left: readonly number[],
  context: Context,
): void {
  for (const reader of readers) {
    const ignored = left.filter((unit) => alive[unit].ignored.includes(reader));
    if (ignored.length === 0) continue;
    const others = readers.filter((other) =>
      ignored.some((unit) => !alive[unit].ignored.includes(other)),
    );
    const names = [...new Set(others.map(({ sink }) => sink.node.name))];
    const who =
      names.slice(0, 3).join(", ") + (names.length > 3 ? ` and ${names.length - 3} more` : "");
    const why = who ? `${who} read what it ignores` : "something must be left";
    context.skip(
      reader.sink.node.name,
      `keeps ${ignored.length} input channels with zero weights: ${why}`,
    );
  }
}
