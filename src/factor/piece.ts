/** @file A piece: one part of a model that can be cut to a size of its own. */
import { Graph, type Node, type Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { type Cost, costOf } from "../layers/cost.ts";
import type { Layer } from "../layers/matrix.ts";
import { replaceLayer } from "../layers/replace.ts";
import { shiftOutputs } from "../layers/shift.ts";
import { storeWeight } from "../weights/sites.ts";
import type { Weight } from "../weights/weight.ts";
import type { Decomposition, Point, Stored } from "./decomposition.ts";

/** Maps the values of a model to those of a copy of it. */
export type Twins = ReadonlyMap<Value, Value>;

export interface Piece {
  /** Stands for the piece in reports. */
  readonly node: Node;
  readonly points: readonly Point[];
  readonly energy: number;
  /** What it costs as it is. */
  readonly before: Cost;
  /** Bytes that its weight takes in the file now. */
  readonly bytes: number;
  /** True: it computes nothing, so that its factors may compute more. */
  readonly isLookUp?: boolean;
  /** True: the engine rebuilds its weight when it loads the model, which then takes as long as before. */
  readonly isRebuilt?: boolean;
  readonly byNoise?: () => Point;
  /**
   * Cuts it, in the model itself or in the copy that `twins` maps to. Returns the nodes that were
   * added, or the reason why nothing was changed.
   */
  place(point: Point, twins?: Twins): Promise<Placed | string>;
}

export interface Placed {
  readonly nodes: readonly Node[];
  /** The value that took the place of the output; null if that has several. */
  readonly output: Value | null;
}

/** A piece and the size that it is cut to. */
export interface Cut {
  readonly piece: Piece;
  readonly point: Point;
}

/** A copy of the model with these cuts made. */
export async function withCuts(model: Model, cuts: readonly Cut[]): Promise<Model> {
  const twins = new Map<Value, Value>();
  const copy = { ...model, graph: cloneGraph(model.graph, twins) };
  for (const { piece, point } of cuts) await piece.place(point, twins);
  return copy;
}

/** The points that take fewer weights and no more multiply-accumulates than the piece itself. */
export const savings = ({ points, before, isLookUp }: Piece): Point[] =>
  points.filter(
    ({ parameters, macs }) => parameters < before.params && (isLookUp || macs <= before.macs),
  );

/** Why a point does not pay, with the figures. */
export function whyNoSaving(piece: Piece, { ranks, parameters, macs }: Point): string {
  const saving = savings(piece).at(-1);
  if (ranks.length > 1) {
    const { params, macs: now } = piece.before;
    return `needs ranks ${ranks.join(" x ")}: ${parameters} weights and ${macs} multiply-accumulates, now ${params} and ${now}`;
  }
  if (!saving) return `needs rank ${ranks}; no rank would save work`;
  return `needs rank ${ranks}; only ${saving.ranks} or less would save work`;
}

/** A layer with what it can be decomposed into. */
export function pieceOf(layer: Layer, decomposition: Decomposition | Stored): Piece {
  const { points, energy, byNoise } = decomposition;
  return {
    ...{
      node: layer.node,
      points,
      energy,
      before: costOf(layer),
      bytes: bytesOf(layer.weight),
      isRebuilt: "weightAt" in decomposition,
      ...(byNoise && { byNoise }),
    },
    async place(point, twins) {
      const own = twins ? twinOf(layer, twins) : layer;
      if ("weightAt" in decomposition) {
        storeWeight(own, decomposition.weightAt(point));
        return { nodes: [own.node], output: null };
      }
      const chain = await decomposition.chainAt(point);
      const reader = readerOf(own.node.output);
      const nodes = replaceLayer(own, chain);
      if (typeof nodes === "string") return nodes;
      const shift = decomposition.shiftAt?.(point);
      if (shift) shiftOutputs(nodes[nodes.length - 1], shift, "float32");
      if (!twins) decomposition.name?.(nodes);
      return { nodes, output: reader() };
    },
  };
}

/** The bytes that a weight is stored in: those of its form's parts. */
export function bytesOf(weight: Weight): number {
  if (weight.form !== null) {
    return Object.values(weight.theta).reduce((total, part) => total + bytesOf(part), 0);
  }
  const { coding, values } = weight;
  const bits = typeof coding === "string" ? Number(/\d+/.exec(coding)) : coding.bits;
  return (bits * values.length) / 8;
}

/** The same layer in a copy of its model. */
function twinOf(layer: Layer, twins: Twins): Layer {
  const node = twins.get(layer.node.output)?.producer as Node;
  return { ...layer, node, value: twins.get(layer.value) as Value };
}

/** A function that gives the value in the place of `value`, whatever replaces it meanwhile. */
export function readerOf(value: Value): () => Value | null {
  const [first] = value.uses;
  return () => {
    if (!first) return null;
    const { user, index } = first;
    return user instanceof Graph ? user.outputs[index] : user.inputs[index];
  };
}
