/**
 * @file Chooses the layers that are faster on integers: by the tables of gain.ts, then by measuring.
 *
 * Layers that hand integers to each other form a region: within it nothing is converted. The region,
 * not the layer, is what is faster or slower, so conversions are counted by region, and regions are
 * timed.
 */
import type { Context } from "../context.ts";
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { quantParams } from "../numeric/quantize.ts";
import { product } from "../util/product.ts";
import { expectedGain } from "./gain.ts";
import {
  afterActivation,
  type Choice,
  type Int8Layer,
  isMoving,
  type Plan,
  planInt8,
  rootOf,
} from "./plan.ts";
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
 * The layers of `plan` that make `model` faster on integers. Without `time` the tables decide: layers
 * that are faster themselves, in regions that save more than it takes to convert what they read and
 * give. With it these are timed against no layer, those that are faster without regard to
 * conversions, all layers, and regions apart; the fastest is taken.
 */
export async function worthwhile(
  model: Model,
  plan: Plan,
  choice: Choice,
  context: Context,
  time: Context["time"],
): Promise<Worthwhile> {
  const all = new Set(plan.layers.map(({ node }) => node));
  const regions = regionsOf(model, plan, choice, context);
  const worth = layersOf(regions.filter(({ saved }) => saved > 0));
  if (!time || all.size === 0) return { layers: worth, speedup: null };
  const trial = (layers: ReadonlySet<Node>): Model =>
    trialOf(model, layers, choice, context, anyRounding);
  const quick = layersOf(regions);
  const apart = regions.length > 1 ? regions.slice(0, REGIONS).map(({ layers }) => layers) : [];
  const timed = [worth, quick, all, ...apart].filter(
    (layers, i, list) => layers.size > 0 && list.findIndex((one) => isEqual(one, layers)) === i,
  );
  const [float, ...times] = await time([model, ...timed.map(trial)]);
  const best = timed.map((layers, i) => ({ layers, ratio: times[i] / float }));
  const slow = best.filter(
    ({ layers, ratio }) => apart.some((region) => isEqual(region, layers)) && ratio > 1,
  );
  const rest = new Set([...quick].filter((node) => !slow.some(({ layers }) => layers.has(node))));
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

/** Layers that hand integers to each other. */
interface Region {
  readonly layers: ReadonlySet<Node>;
  /** MACs in float32 that take as long as what the region saves; below 0 where it is slower. */
  readonly saved: number;
}

const layersOf = (regions: readonly Region[]): ReadonlySet<Node> =>
  new Set(regions.flatMap(({ layers }) => [...layers]));

const isEqual = (a: ReadonlySet<Node>, b: ReadonlySet<Node>): boolean =>
  a.size === b.size && [...a].every((node) => b.has(node));

/** The regions of those layers that the tables expect to be faster, the one of most layers first. */
function regionsOf(model: Model, whole: Plan, choice: Choice, context: Context): Region[] {
  const conversion = context.target.int8?.conversion ?? 0;
  const gainOf = gainsOf(whole, context);
  const isFaster = isExpected(whole, gainOf, context);
  const faster = new Set(whole.layers.filter(isFaster).map(({ node }) => node));
  const computes = (node: Node): boolean => faster.has(node);
  const plan = planInt8(model, { ...choice, computes }, { ...context, skip() {} });
  const layers = new Map(plan.layers.map((layer) => [layer.node, layer]));
  const nodes = [...layers.keys(), ...plan.others];
  const makers = new Map(nodes.map((node) => [afterActivation(node), node]));
  const regions = new Map(nodes.map((node) => [node, new Set([node])]));
  const join = (a: Node, b: Node): void => {
    const [into, from] = [regions.get(a), regions.get(b)] as [Set<Node>, Set<Node>];
    if (into === from) return;
    for (const node of from) regions.set(node, into.add(node));
  };
  const readers = new Map<Value, Node>();
  for (const node of nodes) {
    for (const input of node.inputs) {
      const root = input && rootOf(input);
      if (!root || !plan.values.has(root)) continue;
      join(makers.get(root) ?? readers.get(root) ?? node, node);
      readers.set(root, node);
    }
  }
  /** Elements that are converted at the borders of each region. */
  const border = new Map<Set<Node>, number>();
  for (const value of plan.values.keys()) {
    const maker = makers.get(value);
    const inside = maker ?? readers.get(value);
    const region = inside && regions.get(inside);
    if (!region || (maker && !isReadInFloat(value, regions))) continue;
    border.set(region, (border.get(region) ?? 0) + elementsOf(value));
  }
  const found = [...new Set(regions.values())].map((region) => {
    const own = [...region].flatMap((node) => layers.get(node) ?? []);
    const gained = own.reduce((sum, layer) => sum + macsOf(layer) * (1 - 1 / gainOf(layer)), 0);
    return {
      layers: new Set(own.map(({ node }) => node)),
      saved: gained - conversion * (border.get(region) ?? 0),
    };
  });
  return found
    .filter(({ layers }) => layers.size > 0)
    .sort((a, b) => b.layers.size - a.layers.size);
}

/** Whether a value that is rounded is also needed as floats. */
const isReadInFloat = (value: Value, inside: ReadonlyMap<Node, unknown>): boolean =>
  value.isOutput ||
  value.consumers.some((node) =>
    isMoving(node) ? isReadInFloat(node.output, inside) : !inside.has(node),
  );

/** Elements of a value; a size that is not known counts as 1. */
const elementsOf = ({ shape }: Value): number =>
  product((shape ?? []).map((dim) => (typeof dim === "number" ? dim : 1)));

/** Multiply-accumulates of a layer. */
function macsOf({ node, weightIndex, role }: Int8Layer): number {
  const weight = node.inputs[weightIndex] as Value;
  const outputs = Number(weight.shape?.[role.outputAxis] ?? 1);
  return (elementsOf(node.output) * elementsOf(weight)) / outputs;
}

/** float32 time / int8 time of each layer by the tables. */
function gainsOf({ layers }: Plan, { target }: Context): (layer: Int8Layer) => number {
  const gains = new Map(
    layers.map(({ node, role, weightIndex }) => {
      const shape = (node.inputs[weightIndex]?.shape ?? []).map(Number);
      return [node, expectedGain(node, role, shape, target)];
    }),
  );
  return ({ node }) => gains.get(node) as number;
}

/**
 * Whether the tables expect a layer to be faster. On some targets a depthwise convolution between two
 * layers that are is taken with them: to convert its input and its output costs more than it loses.
 */
function isExpected(
  { layers }: Plan,
  ofLayer: (layer: Int8Layer) => number,
  { target }: Context,
): (layer: Int8Layer) => boolean {
  const gains = new Map(layers.map((layer) => [layer.node, ofLayer(layer)]));
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

/** Ranges are made up: they do not change the time. */
const anyRounding: TrialRounding = {
  paramsOf: (_, { absorbed }) => quantParams(absorbed ? 0 : -1, 1),
  means: new Map(),
  weights: { scale: "minmax", reducesRange: () => false },
};
