/** @file Rounds the weights of a model layer by layer, with or without what the layers read. */
import type { Context, Records } from "../context.ts";
import { type Moments, momentsOf } from "../evidence/moments.ts";
import type { Model } from "../ir/model.ts";
import { matrixIn, type Part, type Rows, rowsOf, storeMatrix } from "../layers/rows.ts";
import { damped } from "../numeric/inverse.ts";
import { product } from "../util/product.ts";
import { asymmetricOf } from "../weights/forms/asymmetric.ts";
import { gridOf, roundToGrid } from "../weights/forms/grid.ts";
import { scaledOf } from "../weights/forms/scaled.ts";
import type { Selection } from "../weights/select.ts";
import { type LayerSite, storeWeight, type ThetaSite, thetasOf } from "../weights/sites.ts";
import {
  type Blocks,
  blocksOf,
  type HessianLayer,
  type Levels,
  type MatrixLayer,
  rangeOf,
  type Scaled,
} from "./matrix.ts";
import type { GridChoice, HessianChoice } from "./options.ts";
import { nearest } from "./scale.ts";

/** Weights that are rounded at once where each row is rounded by itself: 8 MB of float64. */
const TOGETHER = 2 ** 20;

/**
 * Calls `round` for every group of every chosen layer, in order of execution, and stores the levels
 * that it gives. `round` sees some rows at a time and must round each row by itself. A part of a form
 * that has no rows is rounded to the nearest levels.
 */
export async function roundLayers(
  model: Model,
  options: GridChoice & Selection,
  context: Context,
  round: (layer: MatrixLayer) => Levels,
): Promise<void> {
  const sites = thetasOf(model, options, context);
  for (const [i, site] of sites.entries()) {
    await context.progress(i, sites.length);
    store(site, layoutOf(site, options), options, round, TOGETHER);
  }
}

/**
 * The same with the Hessian of every layer, taken of the model whose earlier layers are rounded
 * already, so that a layer makes up for what they changed. Layers whose inputs cannot be observed
 * are rounded to the nearest levels, with a warning.
 */
export async function roundByHessian(
  model: Model,
  options: HessianChoice & Selection,
  context: Context,
  round: (layer: HessianLayer) => Levels | Scaled,
  bitsOf: (site: ThetaSite) => number = () => options.bits,
): Promise<void> {
  const sites = thetasOf(model, options, context);
  const scarce: string[] = [];
  for (const [i, site] of sites.entries()) {
    await context.progress(i, sites.length);
    const moments = await hessiansOf(model, site, options, context);
    const own = { ...options, bits: bitsOf(site) };
    if (typeof moments === "string") {
      context.warn(`${site.node.name} ${moments}: rounded to the nearest levels`);
      store(site, layoutOf(site, own), own, nearest, TOGETHER);
      continue;
    }
    const positions = positionsOf(site);
    const isScarce = positions !== null && moments.records * positions < moments.rows.columns;
    if (isScarce) scarce.push(site.node.name);
    const held = moments.heldOut;
    store(site, layoutOf(site, own), own, (layer, group) =>
      round({
        ...withHessian(layer, moments.groups[group], own.damping),
        ...(held && { heldOut: held[group] }),
      }),
    );
  }
  if (scarce.length > 0) {
    context.warn(
      `${scarce.join(", ")}: fewer inputs were seen than the layer has, so that damping decides: give more records`,
    );
  }
}

const withHessian = (layer: MatrixLayer, gram: Float64Array, damping: number): HessianLayer => ({
  ...layer,
  hessian: damped(gram, layer.columns, damping),
});

/** The layer of every group of a site, with the levels that `round` gives; nothing is stored. */
export function roundMoments(
  site: ThetaSite,
  { groups }: Moments,
  choice: HessianChoice,
  round: (layer: HessianLayer) => Levels,
): { readonly layer: HessianLayer; readonly levels: Levels }[] {
  const layout = layoutOf(site, choice);
  if (!layout) return [];
  return groups.map((gram, group) => {
    const layer = withHessian(layerOf(site, layout, choice, group), gram, choice.damping);
    return { layer, levels: round(layer) };
  });
}

/** One group of a site's weight as a matrix, or some rows of it. */
function layerOf(
  { weight: { values } }: ThetaSite,
  layout: Layout,
  { bits, levels }: GridChoice,
  group: number,
  part: Part = { first: 0, count: layout.rows },
): MatrixLayer {
  const { groups, columns, blocks, depth } = layout;
  const range = rangeOf(bits, levels === "symmetric");
  return {
    ...{ groups, rows: part.count, columns, blocks, range, depth },
    weight: matrixIn(values, layout, group, part),
  };
}

/** Where the rows and blocks of a site's weight lie, and in what order its scales are stored. */
interface Layout extends Rows {
  readonly depth: number;
  readonly blocks: Blocks;
  /** The axis of the input channels of one group. */
  readonly inputAxis: number;
  /** The axis of the blocks, or of the rows where each row has one scale. */
  readonly axis: number;
  readonly block: number | null;
  /** The place of the scale of a row's block among the stored ones. */
  scaleAt(group: number, row: number, block: number): number;
}

/** Null for a part of a form that has no rows of inputs. */
function layoutOf(site: ThetaSite, { block }: GridChoice): Layout | null {
  const rows = rowsOf(site);
  if (typeof rows === "string") return null;
  const { shape } = site.weight;
  const isConv = site.role?.kind === "conv";
  const rowAxis = isConv
    ? 0
    : site.role?.kind === "embedding"
      ? site.role.inputAxis
      : (site.role?.outputAxis as number);
  const axis = isConv ? 1 : 1 - rowAxis;
  const depth = shape[axis];
  // A block larger than all inputs would be an output channel of a matrix.
  const size = block <= depth ? block : 0;
  const blocks = blocksOf(rows.columns, depth, size);
  const perRun = size ? Math.ceil(depth / size) : 1;
  const runs = blocks.count / perRun;
  const count = rows.groups * rows.rows;
  return {
    ...rows,
    depth,
    blocks,
    inputAxis: axis,
    axis: size ? axis : rowAxis,
    block: size || null,
    scaleAt(group, row, place) {
      const [b, run] = [place % perRun, Math.floor(place / perRun)];
      const from = group * rows.rows + row;
      return axis === 1 ? (from * perRun + b) * runs + run : b * count + from;
    },
  };
}

/** Rounds one site, group by group and about `together` weights at once, and stores it as a grid. */
function store(
  site: ThetaSite,
  layout: Layout | null,
  choice: GridChoice,
  round: (layer: MatrixLayer, group: number) => Levels | Scaled,
  together = Number.POSITIVE_INFINITY,
): void {
  const { shape, values } = site.weight;
  const { bits, levels } = choice;
  if (!layout) {
    const grid = { bits, block: 0, axis: site.channels, search: "mse" } as const;
    storeWeight(site, roundToGrid(values, shape, grid));
    return;
  }
  const { groups, rows, blocks, scaleAt, axis, block } = layout;
  const q = new Int8Array(values.length);
  const scales = new Float32Array(groups * rows * blocks.count);
  const zeros = new Float32Array(scales.length);
  let factors: Float32Array | null = null;
  const most = Math.min(rows, Math.max(1, Math.floor(together / layout.columns)));
  for (let group = 0; group < groups; group++) {
    for (let first = 0; first < rows; first += most) {
      const part = { first, count: Math.min(most, rows - first) };
      const found = round(layerOf(site, layout, choice, group, part), group);
      storeMatrix(q, layout, group, found.q, part);
      if ("factors" in found) factors = found.factors;
      for (let i = 0; i < found.scales.length; i++) {
        const row = first + Math.floor(i / blocks.count);
        const to = scaleAt(group, row, i % blocks.count);
        scales[to] = found.scales[i];
        zeros[to] = found.zeros[i];
      }
    }
  }
  const grid = { scales, axis, block, bits };
  const rounded =
    levels === "symmetric" ? gridOf(q, shape, grid) : asymmetricOf(q, shape, zeros, grid);
  storeWeight(site, factors ? scaledOf(rounded, factors, layout.inputAxis) : rounded);
}

/** Moments of fewer records than these are not divided. */
const FEWEST = 16;

/**
 * The moments of one site's inputs, or the reason why it has none. With a `holdout` every so many-th
 * record is left out of them; `heldOut` are the moments of these.
 */
async function hessiansOf(
  model: Model,
  site: ThetaSite,
  { records, holdout = 0 }: HessianChoice,
  context: Context,
): Promise<(Moments & { readonly heldOut?: Moments["groups"] }) | string> {
  if (!site.role) return "stores a part of a form, which has no rows of inputs";
  const layer = site as LayerSite;
  const gramOf = async (which: Records) =>
    (await momentsOf(model, [layer], "gram", which, context)).get(layer) as Moments | string;
  const all = await gramOf(records);
  if (typeof all === "string" || holdout === 0 || all.records < FEWEST) return all;
  const held = await gramOf({ from: 0, to: records, step: Math.max(2, Math.round(1 / holdout)) });
  if (typeof held === "string") return all;
  // Moments are means over records: those of the others follow.
  const left = all.records - held.records;
  const groups = all.groups.map((sum, g) =>
    sum.map((x, i) => (all.records * x - held.records * held.groups[g][i]) / left),
  );
  return { ...all, groups, records: left, heldOut: held.groups };
}

/** Input vectors that one record gives; null where sizes are not known. */
function positionsOf({ node, role }: ThetaSite): number | null {
  const shape = node.output.shape;
  const dims = role?.kind === "conv" ? shape?.slice(2) : shape?.slice(1, -1);
  return dims?.every((dim) => typeof dim === "number") ? product(dims as number[]) : null;
}
