/**
 * @file Sites: where methods work, whole layers or the tensors that a file stores.
 *
 * A layer site is a weight matrix with a role; a theta site is a tensor of real numbers that the
 * file stores: a layer's own weight, or a part of the form that computes it.
 */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { areFinite } from "../numeric/finite.ts";
import { build } from "../ops/builder.ts";
import { perByteOf } from "../ops/storage.ts";
import { hasTrait } from "../ops/traits.ts";
import { type WeightRole, type WeightUse, weightsOf } from "../ops/weights.ts";
import { product } from "../util/product.ts";
import { isElementwise } from "./elements.ts";
import { expand } from "./expand.ts";
import type { Part } from "./form.ts";
import { readWeight } from "./read.ts";
import { chosenLayers, type Selection, type Skips } from "./select.ts";
import type { Composed, FloatWeight, Weight } from "./weight.ts";

interface Site {
  /** The first node that reads the weight; its name stands for the layer in reports. */
  readonly node: Node;
  readonly value: Value;
  readonly weight: FloatWeight;
}

export type { Skips } from "./select.ts";

/** A weight matrix that one node reads, or several that share it. */
export interface LayerSite extends Site {
  readonly role: WeightRole;
}

/** A tensor of real numbers that can be stored in another form. */
export interface ThetaSite extends Site {
  /** Null for a part of a form. */
  readonly role: WeightRole | null;
  /** The part of the form that it is; null for a layer's own weight. */
  readonly part: Part | null;
  /** The axis along which each slice may have a scale of its own. */
  readonly channels: number | null;
}

/** Smaller tensors are not worth the bytes of the nodes that rebuild them. */
const SMALLEST = 64;

/**
 * The chosen layers with their weights as matrices, each weight once. Layers are skipped with a
 * reason if the form of their weight stores no number per element of W, or if the weight has fewer
 * than `minSize` elements. Throws TersorError "no-match" for a glob that matches no layer.
 */
export function layersOf(
  model: Model,
  selection: Selection,
  notes: Skips,
  minSize = SMALLEST,
): LayerSite[] {
  return chosenWeights(model, selection, notes).flatMap(({ node, role, value, weight }) => {
    const size = product(weight.shape);
    const reason = isElementwise(weight)
      ? size < minSize
        ? `has only ${size} weights`
        : null
      : `is stored as ${weight.form?.kind}, and the matrix itself is needed`;
    if (reason) notes.skip(node.name, reason);
    return reason ? [] : [{ node, role, value, weight }];
  });
}

/**
 * The tensors of the chosen layers that can be stored in another form, each once. They are
 * the weights themselves or, where a form stores no number per element (a Kronecker product),
 * its parts that learn. Tensors of fewer than `minSize` elements are skipped with a reason.
 * Throws as `layersOf`.
 */
export function thetasOf(
  model: Model,
  selection: Selection,
  notes: Skips,
  minSize = SMALLEST,
): ThetaSite[] {
  const sites = new Map<Value, ThetaSite>();
  for (const { node, role, value, weight } of chosenWeights(model, selection, notes)) {
    if (isElementwise(weight)) {
      const size = product(weight.shape);
      if (size < minSize) notes.skip(node.name, `has only ${size} weights`);
      else sites.set(value, { node, role, value, weight, part: null, channels: scaleAxisOf(role) });
      continue;
    }
    for (const { name, part, weight: inner } of innerOf(weight as Composed)) {
      const at = inner.at as Value;
      const size = product(inner.shape);
      if (sites.has(at)) continue;
      if (size < minSize) notes.skip(node.name, `its ${name} has only ${size} numbers`);
      else {
        const { channels } = part;
        sites.set(at, { node, role: null, value: at, weight: inner, part, channels });
      }
    }
  }
  return [...sites.values()];
}

/**
 * The embedding tables among the chosen layers, each once, with the first node that looks rows of it
 * up. Only these nodes get reasons. Throws as `layersOf`.
 */
export function tablesOf(
  model: Model,
  selection: Selection,
  notes: Skips,
  minSize = SMALLEST,
): (LayerSite & WeightUse)[] {
  const uses = weightsOf(model).filter(({ role }) => role.kind === "embedding");
  const names = new Set(uses.map(({ node }) => node.name));
  const skip: Skips["skip"] = (name, reason) => {
    if (names.has(name)) notes.skip(name, reason);
  };
  const stored = new Map(
    chosenWeights(model, selection, { skip }).map(({ value, weight }) => [value, weight]),
  );
  return uses.flatMap((use) => {
    const weight = stored.get(use.value);
    if (!weight || !stored.delete(use.value)) return [];
    const size = product(weight.shape);
    if (size < minSize) skip(use.node.name, `has only ${size} weights`);
    return size < minSize ? [] : [{ ...use, weight }];
  });
}

/**
 * The axis along which each slice may have a scale of its own: that of the outputs. Groups of a
 * transposed convolution [C, M / groups, kernel] have an output axis in common, though not their
 * outputs; there each input channel, which lies in one group, has its own scale.
 */
export const scaleAxisOf = ({ kind, groups, inputAxis, outputAxis }: WeightRole): number =>
  kind === "convtranspose" && groups > 1 ? inputAxis : outputAxis;

/**
 * The axis that the layer sums over, along which blocks run. For a part of a form, the last axis
 * that does not count channels.
 */
export function blockAxisOf({ role, channels, weight: { shape } }: ThetaSite): number {
  return (
    role?.inputAxis ??
    (channels === shape.length - 1 ? Math.max(0, channels - 1) : shape.length - 1)
  );
}

interface Inner {
  readonly name: string;
  readonly part: Part;
  readonly weight: FloatWeight;
}

/** The real-valued parts that learn, followed down to those that store numbers of their own. */
function innerOf({ form, theta }: Composed): Inner[] {
  return Object.entries(form.theta).flatMap(([name, part]) => {
    if (!part.learns || part.integers) return [];
    const inner = theta[name] as FloatWeight;
    if (!isElementwise(inner)) return innerOf(inner as Composed);
    // A scale that an integer kernel reads stays as it is.
    return form.isInteger ? [] : [{ name, part, weight: inner }];
  });
}

/**
 * The weights of the chosen layers, each once. Those that no method may change are
 * skipped with a reason.
 */
function chosenWeights(model: Model, selection: Selection, notes: Skips): LayerSite[] {
  const found = weightsOf(model);
  const chosen = chosenLayers(model, selection, notes, found);
  const seen = new Map<Value, LayerSite>();
  const rootOf = tiedRoots(found);
  const shared = sharedOutside(found, chosen);
  for (const { node, role, value } of found) {
    if (!chosen.has(node) || seen.has(value)) continue;
    const bound = shared(value);
    // A transposed copy changes with the weight itself, which is a site of its own.
    if (!bound && rootOf(value) !== value) continue;
    const weight = bound ? null : readWeight(value);
    const reason = bound ?? refusalOf(value, weight, true);
    if (reason) notes.skip(node.name, reason);
    else if (weight) seen.set(value, { node, role, value, weight });
  }
  return [...seen.values()];
}

/**
 * A function that tells why a chosen layer's weight may not change: a layer that is left out reads
 * it too. Null if no such layer does.
 */
export function sharedOutside(
  found: readonly WeightUse[],
  chosen: ReadonlySet<Node>,
): (value: Value) => string | null {
  const rootOf = tiedRoots(found);
  const outside = found.filter(({ node }) => !chosen.has(node));
  const left = new Map(outside.map(({ node, value }) => [rootOf(value), node]));
  return (value) => {
    const other = left.get(rootOf(value));
    return other ? `shares its weight with ${other.name}, which is left out` : null;
  };
}

/**
 * Maps a weight that is a transposed or reshaped copy to the weight it is computed from.
 * Language models often compute scores from the transposed embedding, which must be stored
 * once and not twice.
 */
function tiedRoots(found: readonly WeightUse[]): (value: Value) => Value {
  const weights = new Set(found.map(({ value }) => value));
  return (value) => {
    for (let at: Value = value; ; ) {
      const node = at.producer;
      if (!node || !hasTrait(node, "rearranges")) return value;
      at = node.inputs[0] as Value;
      if (weights.has(at)) return at;
    }
  };
}

/**
 * Why no method may change a weight; null if methods may. Weights that integer kernels read
 * are refused because the kernel would be lost; with `stores`, only if no part of the form
 * could be stored anew.
 */
export function refusalOf(value: Value, weight: FloatWeight | null, stores = false): string | null {
  if (!weight) return "its weight is not made of constant floats";
  const reader = value.tensor ? null : rowReaderOf(value);
  if (reader)
    return `shares its numbers with ${reader.name}, which looks them up as they are stored`;
  const hasInner = stores && weight.form !== null && innerOf(weight).length > 0;
  if (hasTrait(value.producer, "converts") && !hasInner) {
    return "is quantized for integer kernels already";
  }
  const dtype = value.tensor?.dtype ?? value.dtype;
  if (dtype && dtype !== "float32") return `its weight is ${dtype}; only float32 is compressed`;
  return hasOnlyFinite(value, weight) ? null : "its weight holds infinities or NaNs";
}

function hasOnlyFinite({ tensor }: Value, weight: FloatWeight): boolean {
  if (weight.form || !tensor) return areFinite(weight.values);
  return tensor.counts.nan + tensor.counts.infinite === 0;
}

/** A node that looks rows of the numbers up from which `value` is computed; null if there is none. */
function rowReaderOf(value: Value): Node | null {
  const needed = new Set([value]);
  // The set grows while it is walked: it holds everything that the value depends on.
  for (const { producer, tensor, consumers } of needed) {
    const reader = tensor && consumers.find((node) => perByteOf(node, tensor) !== null);
    if (reader) return reader;
    for (const input of producer?.inputs ?? []) if (input) needed.add(input);
  }
  return null;
}

/** Replaces `value` by the nodes of a new weight, for all its readers. */
export function storeWeight({ value, node }: Pick<Site, "value" | "node">, weight: Weight): void {
  const { graph } = value;
  const stored = expand(build(graph), weight);
  graph.replace(value, stored);
  // Not if it is a graph output by now, which has taken over the output's name.
  if (!stored.isOutput) stored.name = value.name || node.name;
  if (value.tensor) graph.removeConstant(value);
}
