/** @file Low rank for the layers of a network: observe, decompose, choose ranks, replace, repair. */
import type { Context } from "../context.ts";
import type { Node, Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { keepFaster } from "../layers/faster.ts";
import { type Layer, layerOf } from "../layers/matrix.ts";
import { refitLayers } from "../layers/refit.ts";
import { biasReadBy } from "../ops/bias.ts";
import { layersOf } from "../weights/sites.ts";
import { byEnergy, byShare } from "./choose.ts";
import type { Decompose, Point } from "./decomposition.ts";
import { evidenceOf } from "./evidence.ts";
import { type FactorOptions, type Settled, settle } from "./options.ts";
import { type Cut, type Piece, pieceOf, savings, whyNoSaving, withCuts } from "./piece.ts";
import { pool } from "./pool.ts";
import { tablePieces } from "./tables.ts";

/** Why an embedding table stays: there are rows to look up, and only a pool knows their worth. */
const TABLE = "is an embedding table, which ranks=pool alone factors";
const NO_KERNEL = "is an embedding table: truncated SVD factors it";

/** Smaller layers are left alone: what they would save is less than the nodes that are added. */
const SMALLEST = 1024;

/**
 * Replaces the chosen layers by what `decompose` makes of them, at ranks that the options choose
 * (options.ts): of each layer by itself, or of all together (pool.ts), then with `tables` embedding
 * tables among them (tables.ts). With `isCentred` the whiteners have the inputs' mean. Layers that
 * would cost more than now stay, with the reason. Where work or time is to be saved, so do those that
 * do not make the model faster.
 */
export async function factorLayers<O extends FactorOptions>(
  model: Model,
  given: O,
  context: Context,
  decompose: Decompose<O & Settled>,
  { tables = false, isCentred = false } = {},
): Promise<void> {
  const options = settle(given, context);
  const layers: Layer[] = [];
  for (const site of layersOf(model, options, context, SMALLEST)) {
    const isTable = site.role.kind === "embedding";
    if (isTable && tables && options.ranks === "pool") continue;
    const layer = isTable ? (tables ? TABLE : NO_KERNEL) : layerOf(site);
    if (typeof layer === "string") context.skip(site.node.name, layer);
    else layers.push(layer);
  }
  const evidence = await evidenceOf(model, layers, options, context, isCentred);
  const work = new Work(model, context, options.repair !== "none");
  const pieces: Piece[] = [];
  const cuts: Cut[] = [];
  for (const [i, layer] of layers.entries()) {
    await context.progress(i, layers.length);
    const found = await decompose(layer, evidence(layer), options);
    if (typeof found === "string") context.skip(layer.node.name, found);
    else if (options.ranks === "pool") pieces.push(pieceOf(layer, found));
    else {
      const cut = ownCut(pieceOf(layer, found), options);
      if (typeof cut === "string") context.skip(layer.node.name, cut);
      else if (isForSpeed(options)) cuts.push(cut);
      // One layer after the other, so that one decomposition is in memory at a time.
      else await work.cut(cut);
    }
  }
  if (options.ranks === "pool") {
    if (tables) pieces.push(...(await tablePieces(model, options, context, SMALLEST)));
    cuts.push(...(await pool(model, pieces, options, context)));
  }
  const kept = isForSpeed(options) ? await faster(model, cuts, context) : cuts;
  for (const cut of kept) await work.cut(cut);
  await work.repair(options.records);
}

/** Whether less work is asked for, and not only fewer bytes: then the model has to be faster. */
const isForSpeed = ({ unit, measure }: Settled): boolean =>
  measure && (unit === "macs" || unit === "milliseconds");

/** The cuts that make the whole model faster, and those that take no time at all. */
async function faster(model: Model, cuts: readonly Cut[], context: Context): Promise<Cut[]> {
  const changes = cuts
    .filter(({ piece }) => !piece.isRebuilt)
    .map((cut) => {
      const { piece, point } = cut;
      return { ...cut, names: [piece.node.name], saved: piece.before.macs - point.macs };
    });
  const trial = (kept: readonly Cut[]) => withCuts(model, kept);
  const kept = await keepFaster(model, changes, trial, context, "replaced");
  const pieces = new Set(kept.map(({ piece }) => piece));
  return cuts.filter(({ piece }) => piece.isRebuilt || pieces.has(piece));
}

/** One piece cut to the size that it needs by itself; the reason if it has none that saves work. */
function ownCut(piece: Piece, options: Settled): Cut | string {
  const point = ownPoint(piece, options);
  if (!point) return "has no rank by variational Bayes: choose an energy";
  return savings(piece).includes(point) ? { piece, point } : whyNoSaving(piece, point);
}

/** The size of one piece by itself; null if it has none of the kind that is asked for. */
function ownPoint(piece: Piece, { ranks, energy, budget, unit }: Settled): Point | null {
  if (ranks === "vbmf") return piece.byNoise?.() ?? null;
  return ranks === "share" ? byShare(piece, budget, unit) : byEnergy(piece, energy);
}

/** Makes cuts, and remembers what a repair needs. */
class Work {
  readonly #model: Model;
  readonly #context: Context;
  /** The model before the first cut, and its values by those in their place now. */
  readonly #before: { readonly model: Model; readonly twins: Map<Value, Value> } | null;
  readonly #last: Value[] = [];

  constructor(model: Model, context: Context, repairs: boolean) {
    this.#model = model;
    this.#context = context;
    const twins = new Map<Value, Value>();
    this.#before = repairs
      ? { model: { ...model, graph: cloneGraph(model.graph, twins) }, twins }
      : null;
  }

  async cut({ piece, point }: Cut): Promise<void> {
    const old = piece.node.output;
    const placed = await piece.place(point);
    if (typeof placed === "string") {
      this.#context.skip(piece.node.name, placed);
      return;
    }
    const { output } = placed;
    const twin = this.#before?.twins.get(old);
    if (!output || !twin) return;
    this.#before?.twins.set(output, twin);
    this.#last.push(output);
  }

  /** Fits the last factor of each layer to what the layer gave before, from the inputs it has now. */
  async repair(records: number): Promise<void> {
    if (!this.#before || this.#last.length === 0) return;
    const nodes = new Set(this.#last.flatMap(({ producer }) => producer ?? []));
    // A layer that cannot be fitted is factored all the same, so that there is nothing to tell.
    const quiet = { ...this.#context, skip() {} };
    const isLinear = (node: Node): boolean => biasReadBy(node) === null;
    await refitLayers(this.#model, this.#before, nodes, records, quiet, isLinear);
  }
}
