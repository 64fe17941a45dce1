/** @file Data-free merging: a neuron goes, and a similar one takes its outgoing weights. */
import { z } from "zod";
import {
  type Candidate,
  candidatesOf,
  eachElement,
  type Part,
  whyFixed,
} from "../../channels/candidates.ts";
import { coupleChannels } from "../../channels/couple.ts";
import { spellOut } from "../../channels/spell-out.ts";
import type { Context } from "../../context.ts";
import type { Node, Value } from "../../ir/graph.ts";
import { type Tensor, tensor } from "../../ir/tensor.ts";
import { histogramMode } from "../../numeric/statistics.ts";
import { type Removal, removeUnits } from "../../ops/coupling.ts";
import { hasTrait } from "../../ops/traits.ts";
import { biasOf } from "../../ops/weights.ts";
import { chosenLayers, siteOptions } from "../../weights/select.ts";
import { defineMethod } from "../method.ts";

/**
 * f(w_j x) ~ c f(w_i x) for similar incoming weights w, so neuron j can be left out if its outgoing
 * weights a_j go to neuron i: a_i += c a_j.
 */
export const mergeNeurons = defineMethod({
  title: "merging similar neurons",
  cite: "Srinivas, Babu 2015, arXiv 1507.06149, section 3",
  summary:
    "Removes neurons and filters that resemble another one, which takes over their outgoing weights.",
  needs: [],
  quickens: true,
  options: z.object({
    ratio: z
      .number()
      .min(0)
      .max(0.95)
      .default(0.1)
      .meta({ description: "Share of each layer's neurons to merge away.", search: [0.1, 0.25] }),
    histogram: z.number().min(0).max(1).default(0).meta({
      description:
        "Instead of a ratio: the share to merge away of those neurons that cost less than the mode of the histogram of costs, layer by layer; the paper takes 1, and 0.25 or 0.5 for large networks; 0: the ratio.",
    }),
    ...siteOptions,
  }),
  survey: [{ ratio: 0.25 }],
  neutral: { ratio: 0 },
  async apply(model, { ratio, histogram, ...selection }, context) {
    const chosen = chosenLayers(model, selection);
    if (Math.max(ratio, histogram) === 0 || chosen.size === 0) return;
    const packAgain = spellOut(model);
    const candidates = candidatesOf(model, coupleChannels(model));
    /** Weights as they are after the merging so far. */
    const weights = new Map<Value, Float32Array>();
    const removals: Removal[] = [];
    for (const [i, candidate] of candidates.entries()) {
      await context.progress(i, candidates.length);
      const layer = layerOf(candidate, chosen, context);
      if (!layer) continue;
      const count =
        histogram > 0
          ? Math.round(histogram * countCheap(layer, weights))
          : Math.floor(ratio * layer.units);
      if (count === 0) continue;
      removals.push({ group: candidate.group, units: merge(layer, count, weights).gone });
    }
    for (const [value, values] of weights) {
      const { shape } = value.tensor as Tensor;
      value.graph.setConstant(value, tensor("float32", shape, values));
    }
    if (removals.length > 0) removeUnits(model, removals);
    packAgain();
  },
});

/** Neurons, the layer that makes them and the layers that read them. */
interface Layer {
  readonly units: number;
  readonly maker: Part;
  readonly bias: Value | null;
  readonly readers: readonly Part[];
  /** Whether f(c x) = c f(x) for c > 0 holds for everything between the maker and the readers. */
  readonly scales: boolean;
}

/** Wider layers are skipped: all pairs of neurons are compared. */
const LARGEST = 2048;

/** The neurons of a group; null, perhaps with a reason reported, if they cannot be merged. */
function layerOf(candidate: Candidate, chosen: ReadonlySet<Node>, context: Context): Layer | null {
  const { group, makers, readers, layers } = candidate;
  const own = makers.find(({ use }) => chosen.has(use.node))?.use.node;
  if (!own || group.units.length < 2) return null;
  const refuse = (why: string): null => {
    context.skip(own.name, `keeps its ${group.units.length} neurons: ${why}`);
    return null;
  };
  const fixed = whyFixed(candidate, chosen);
  if (fixed) return refuse(fixed);
  if (makers.length > 1) return refuse("several layers make them");
  if (group.units.length > LARGEST) return refuse(`only ${LARGEST} are compared`);
  const parts = readers.flatMap(({ part }) => (part ? [part] : []));
  if (parts.length < readers.length || parts.length === 0) {
    return refuse("something that is no weight adds them up");
  }
  const [maker] = makers;
  if (maker.indices(0).length > 1) return refuse("they go in blocks");
  const bias = biasOf(own);
  const known = new Set<Value | null>([...makers, ...parts].map(({ use }) => use.value));
  if ([...known].some((value) => value?.tensor?.dtype !== "float32")) {
    return refuse("weights are stored in another form");
  }
  known.add(bias);
  const nodes = new Set<Node>();
  for (const { value } of group.units[0].members) {
    if (known.has(value)) continue;
    if (value.tensor) return refuse("each has a constant of its own on the way");
    for (const node of [...value.consumers, ...(value.producer ? [value.producer] : [])]) {
      if (!layers.has(node)) nodes.add(node);
    }
  }
  const mixing = [...nodes].find((node) => !hasTrait(node, "separate"));
  if (mixing) return refuse(`${mixing.op} may mix them`);
  const scales = [...nodes].every(
    (node) =>
      hasTrait(node, "homogeneous") || (hasTrait(node, "adds") && node.inputs.includes(bias)),
  );
  return { units: group.units.length, maker, bias, readers: parts, scales };
}

/**
 * How many neurons merge before one costs more than the mode of the histogram of the costs of all
 * merges (Srinivas, Babu 2015, "How many neurons to remove?"). From there on costs, and the test error in the paper's
 * experiments, rise quickly.
 */
function countCheap(layer: Layer, weights: ReadonlyMap<Value, Float32Array>): number {
  const copies = new Map(
    [layer.maker, ...layer.readers].flatMap(({ use: { value } }) => {
      const own = weights.get(value);
      return own ? [[value, own.slice()] as const] : [];
    }),
  );
  const { costs } = merge(layer, layer.units - 1, copies);
  const mode = histogramMode(costs);
  const first = costs.findIndex((cost) => cost > mode);
  return first < 0 ? costs.length : first;
}

/** The neurons that were merged away, in order, and what each cost: its s_ij. */
interface Merged {
  readonly gone: readonly number[];
  readonly costs: readonly number[];
}

/**
 * Merges `count` neurons away.
 *
 * Removing j and adding its outgoing weights to those of i, a_i += c a_j, adds at most about
 *   s_ij = |a_j|^2 |w_j - c w_i|^2
 * to the squared output (eq. 5); w are the incoming weights with the bias. c is the best c >= 0,
 * <w_i, w_j> / |w_i|^2, if everything between scales with its input, and 1 otherwise. The cheapest
 * pair is merged first. `weights` holds changed weights by value, and is updated.
 */
function merge(layer: Layer, count: number, weights: Map<Value, Float32Array>): Merged {
  const { units, maker, readers, bias, scales } = layer;
  const valuesOf = ({ use: { value } }: Part): Float32Array => {
    const values = weights.get(value) ?? (value.tensor as Tensor).floats().slice();
    weights.set(value, values);
    return values;
  };
  const elements = (part: Part, unit: number): number[] => {
    const found: number[] = [];
    eachElement(part, part.indices(unit), (element) => found.push(element));
    return found;
  };
  const shifts = bias?.tensor?.size === units ? bias.tensor.floats() : null;
  const incoming = Array.from({ length: units }, (_, unit) => {
    const own = elements(maker, unit).map((element) => valuesOf(maker)[element]);
    return Float64Array.from(shifts ? [...own, shifts[maker.indices(unit)[0]]] : own);
  });
  const places = Array.from({ length: units }, (_, unit) =>
    readers.map((part) => ({ values: valuesOf(part), at: elements(part, unit) })),
  );
  const power = (unit: number): number =>
    places[unit].reduce(
      (sum, { values, at }) => at.reduce((total, e) => total + values[e] ** 2, sum),
      0,
    );
  const powers = Float64Array.from(incoming, (_, unit) => power(unit));
  const products = gram(incoming);
  const factor = (i: number, j: number): number => {
    if (!scales) return 1;
    const own = products[i * units + i];
    return own > 0 ? Math.max(0, products[i * units + j] / own) : 0;
  };
  const distance = (i: number, j: number): number => {
    const c = factor(i, j);
    const [ii, ij, jj] = [i * units + i, i * units + j, j * units + j].map((at) => products[at]);
    return Math.max(0, jj - 2 * c * ij + c * c * ii);
  };
  // For each j the i that replaces it best; searched again when that i is merged away.
  const alive = new Set(incoming.keys());
  const nearest = (j: number): { i: number; d: number } => {
    let best = { i: -1, d: Infinity };
    for (const i of alive) {
      const d = i === j ? Infinity : distance(i, j);
      if (d < best.d) best = { i, d };
    }
    return best;
  };
  const partner = incoming.map((_, j) => nearest(j));
  const gone: number[] = [];
  const costs: number[] = [];
  while (gone.length < count) {
    let [j, least] = [-1, Infinity];
    for (const unit of alive) {
      const cost = powers[unit] * partner[unit].d;
      if (cost < least) [j, least] = [unit, cost];
    }
    const { i } = partner[j];
    const c = factor(i, j);
    for (const [k, { values, at }] of places[j].entries()) {
      for (const [e, element] of at.entries()) {
        values[places[i][k].at[e]] += c * values[element];
        values[element] = 0;
      }
    }
    powers[i] = power(i);
    alive.delete(j);
    gone.push(j);
    costs.push(least);
    for (const unit of alive) if (partner[unit].i === j) partner[unit] = nearest(unit);
  }
  return { gone, costs };
}

/** Dot products of all pairs of rows [n, n]. */
function gram(rows: readonly Float64Array[]): Float64Array {
  const n = rows.length;
  const products = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let k = 0; k < rows[i].length; k++) sum += rows[i][k] * rows[j][k];
      products[i * n + j] = sum;
      products[j * n + i] = sum;
    }
  }
  return products;
}
