/**
 * @file Chooses the layers that are faster on integers: by the tables of gain.ts, then by measuring.
 *
 * Layers that hand integers to each other form a region: within it nothing is converted. The region,
 * not the layer, is what is faster or slower, so regions are timed.
 */
import type { Context } from "../context.ts";
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { quantParams } from "../numeric/quantize.ts";
import { expectedGain } from "./gain.ts";
import { type Choice, type Int8Layer, type Plan, rootOf } from "./plan.ts";
import { type TrialRounding, trialOf } from "./trial.ts";

/** A model in int8 has to take at most this share of the float model's time. */
const WORTH = 0.97;
/** Regions that are timed one by one, those of the most layers first; the others stay as expected. */
const REGIONS = 6;

/** Which layers are to be computed on integers, and what was measured. */
export interface Worthwhile {
  readonly layers: ReadonlySet<Node>;
  /** Float time / int8 time of the whole model; null if it was not measured. */
  readonly speedup: number | null;
}

/**
 * The layers of `plan` that make `model` faster on integers. Without a clock the tables decide;
 * with one these are timed against each other, and regions of layers apart: no layer, those of
 * which the tables expect it, and all. The fastest is taken.
 */
export async function worthwhile(
  model: Model,
  plan: Plan,
  choice: Choice,
  context: Context,
): Promise<Worthwhile> {
  const all = new Set(plan.layers.map(({ node }) => node));
  const expected = new Set(plan.layers.filter(isExpected(plan, context)).map(({ node }) => node));
  const { time } = context;
  if (!time || all.size === 0) return { layers: expected, speedup: null };
  const trial = (layers: ReadonlySet<Node>): Model =>
    trialOf(model, layers, choice, context, anyRounding);
  const best: { layers: ReadonlySet<Node>; ratio: number }[] = [];
  const regions: readonly ReadonlySet<Node>[] = regionsOf(plan, expected);
  const timed = [expected, all, ...(regions.length > 1 ? regions.slice(0, REGIONS) : [])].filter(
    (layers, i) => layers.size > 0 && (i !== 0 || layers.size < all.size),
  );
  const [float, ...times] = await time([model, ...timed.map(trial)]);
  for (const [i, layers] of timed.entries()) best.push({ layers, ratio: times[i] / float });
  const slow = best.filter(({ layers, ratio }) => regions.includes(layers) && ratio > 1);
  const rest = new Set(
    [...expected].filter((node) => !slow.some(({ layers }) => layers.has(node))),
  );
  if (slow.length > 0 && rest.size > 0) {
    const [before, after] = await time([model, trial(rest)]);
    best.push({ layers: rest, ratio: after / before });
  }
  best.sort((a, b) => a.ratio - b.ratio);
  const [{ layers, ratio }] = best;
  return ratio <= WORTH
    ? { layers, speedup: 1 / ratio }
    : { layers: new Set(), speedup: 1 / ratio };
}

/**
 * Whether the tables expect a layer to be faster. On some targets a depthwise convolution between two
 * layers that are is taken with them: to convert its input and its output costs more than it loses.
 */
function isExpected({ layers }: Plan, { target }: Context): (layer: Int8Layer) => boolean {
  const gains = new Map(
    layers.map(({ node, role, weightIndex }) => {
      const shape = (node.inputs[weightIndex]?.shape ?? []).map(Number);
      return [node, expectedGain(node, role, shape, target)];
    }),
  );
  const makers = new Map<Value, Node>(layers.map(({ node }) => [node.output, node]));
  const gainOf = (node: Node | null | undefined): number => (node ? (gains.get(node) ?? 0) : 0);
  return ({ node, inputIndex, role }) => {
    if (gainOf(node) > 1) return true;
    if (!target.int8?.takesDepthwiseAlong || role.groups === 1) return false;
    const before = makerOf(rootOf(node.inputs[inputIndex] as Value), makers);
    const after = readersOf(node.output).filter((reader) => gains.has(reader));
    return gainOf(before) > 1 && after.length > 0 && after.every((reader) => gainOf(reader) > 1);
  };
}

/** The layer that makes a value, through an activation of one input or a gate. */
function makerOf(value: Value, makers: ReadonlyMap<Value, Node>): Node | null {
  const known = makers.get(value);
  if (known) return known;
  const from = value.producer?.inputs[0];
  return from ? (makers.get(from) ?? null) : null;
}

/** Nodes that read a value, directly or through what directly reads it. */
const readersOf = (value: Value): Node[] =>
  value.consumers.flatMap((node) => [node, ...node.output.consumers]);

/** The layers of `chosen` in regions that hand integers to each other, the largest first. */
function regionsOf({ layers, others }: Plan, chosen: ReadonlySet<Node>): Set<Node>[] {
  const groups = new Map<Value, Set<Node>>();
  const between = new Set(others);
  const join = (node: Node, values: readonly (Value | null)[]): void => {
    const merged = new Set<Node>(chosen.has(node) ? [node] : []);
    const roots = values.flatMap((value) => (value && !value.tensor ? [rootOf(value)] : []));
    for (const root of roots) for (const known of groups.get(root) ?? []) merged.add(known);
    for (const root of roots) groups.set(root, merged);
    for (const [root, group] of groups) {
      if ([...group].some((known) => merged.has(known))) groups.set(root, merged);
    }
  };
  const afterOf = ({ output }: Node): Value[] => [
    output,
    ...output.consumers.map((next) => next.output),
  ];
  for (const { node, inputIndex } of layers) {
    if (chosen.has(node)) join(node, [node.inputs[inputIndex], ...afterOf(node)]);
  }
  for (const node of between) join(node, [...node.inputs, ...afterOf(node)]);
  const found = [...new Set(groups.values())].filter(({ size }) => size > 0);
  return found.sort((a, b) => b.size - a.size);
}

/** Ranges are made up: they do not change the time. */
const anyRounding: TrialRounding = {
  paramsOf: (_, { absorbed }) => quantParams(absorbed ? 0 : -1, 1),
  means: new Map(),
  weights: { scale: "minmax", reducesRange: () => false },
};
