/** @file What a layer can be decomposed into: its sizes, what each costs, and the error it leaves. */
import type { Whitener } from "../evidence/whitener.ts";
import type { Node } from "../ir/graph.ts";
import type { Chain } from "../layers/chain.ts";
import type { Layer } from "../layers/matrix.ts";
import type { Composed } from "../weights/weight.ts";

/** One size that a layer may be cut to. */
export interface Point {
  /** The rank; several for a decomposition that has one for each of several axes. */
  readonly ranks: readonly number[];
  /**
   * The squared error that it leaves, in units of `Decomposition.energy`: of the outputs with a
   * whitener, each output's multiplied by its gain with gains, of the weights without either.
   */
  readonly error: number;
  /** Elements of all weights that take the layer's place, without biases. */
  readonly parameters: number;
  /** Their multiply-accumulates (layers/cost.ts). */
  readonly macs: number;
}

/** The sizes of one layer. */
interface Sizes {
  /** Sizes to choose from, in ascending order of parameters. */
  readonly points: readonly Point[];
  /** The squared size of what is approximated: the error of a layer whose output is 0. */
  readonly energy: number;
  /** The size that variational Bayes gives (`ranks=vbmf`), where the decomposition has one. */
  byNoise?(): Point;
}

/** What one layer can be decomposed into: layers that take its place. */
export interface Decomposition extends Sizes {
  /** The layers of one of `points`, for `replaceLayer`. */
  chainAt(point: Point): Chain | Promise<Chain>;
  /** What the chain's outputs lack on average [outputs], to be added to its bias. */
  shiftAt?(point: Point): Float64Array;
  /** Renames the nodes of the chain, in order of its stages; not in copies that are only measured. */
  name?(nodes: readonly Node[]): void;
}

/** A layer that stays, with its weight in a form that the engine computes when it loads the model. */
export interface Stored extends Sizes {
  /** The weight of one of `points`, of the shape of the layer's own. */
  weightAt(point: Point): Composed;
}

/** What data say about a layer. */
export interface Evidence {
  /** The inputs' second moments, of columns in the order of the layer's matrix; null: none known. */
  readonly whitener: Whitener | null;
  /** g_o [outputs]: what an error of each output costs at the network's outputs; null: all alike. */
  readonly gains: Float64Array | null;
}

/** Decomposes a layer, or gives the reason why it cannot be. */
export type Decompose<O> = (
  layer: Layer,
  evidence: Evidence,
  options: O,
) => Decomposition | Stored | string | Promise<Decomposition | Stored | string>;
