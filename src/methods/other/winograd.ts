/** @file Winograd: 3x3 convolutions by fewer multiplications, where the engine is faster with them. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { dtypes } from "../../ir/dtype.ts";
import { Graph, type Node, type Value } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { type Change, changed, keepFaster } from "../../layers/faster.ts";
import { type Layer, layerOf } from "../../layers/matrix.ts";
import { multiplicationsOf, replaceByTiles, type Shapes, shapesOf } from "../../layers/winograd.ts";
import type { TileSize } from "../../numeric/winograd.ts";
import { build } from "../../ops/builder.ts";
import { inferNode } from "../../ops/infer.ts";
import { product } from "../../util/product.ts";
import { winograd as form } from "../../weights/forms/winograd.ts";
import { siteOptions } from "../../weights/select.ts";
import { layersOf } from "../../weights/sites.ts";
import { composed } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

/** A layer by itself has to be faster by this factor: less is noise, and not worth the nodes. */
const LEAST_GAIN = 1.05;
/** From this many rows or columns on, tiles of 4 are faster than tiles of 2 (in wasm). */
const LARGE = 12;

/**
 * Convolutions by 3x3 filters with stride 1 become a product of matrices for each position of a tile of
 * m x m outputs, with transforms around them (layers/winograd.ts). The file keeps the 3x3 filters. The
 * native engine convolves at the speed of its products, so that tiles rarely pay there; in wasm
 * they mostly do. Layers of the same shapes are timed once, then the whole model.
 */
export const winograd = defineMethod({
  title: "Winograd convolutions",
  equation: "y = A^T ((G K G^T) . (B^T d B)) A",
  cite: "Lavin, Gray 2015, arXiv 1509.09308",
  summary:
    "Computes 3x3 convolutions in tiles, by 2 to 4 times fewer multiplications, where that is measured to be faster.",
  needs: [],
  simplifyFirst: true,
  grows: true,
  options: z.object({
    tile: z.enum(["auto", "2", "4"]).default("auto").meta({
      description:
        "Outputs of a tile along each axis: 4 saves most multiplications, 2 suits small maps and rounds less; auto: the faster one.",
    }),
    measure: z.boolean().default(true).meta({
      description:
        "Replaces only layers that are faster so, timed on the engine of the run; false: all.",
    }),
    ...siteOptions,
  }),
  survey: [{}],
  neutral: null,
  async apply(model, { tile, measure, ...selection }, context) {
    const sizes: readonly TileSize[] = tile === "auto" ? [4, 2] : [Number(tile) as TileSize];
    const groups = groupsOf(model, selection, sizes, context);
    await context.progress(0, groups.length);
    const { time } = context;
    const chosen = measure && time ? await faster(model, groups, time, context) : groups.map(usual);
    replaceAll(model, tilesIn(chosen));
  },
});

/** Layers of the same shapes. */
interface Group {
  /** One of them. */
  readonly layer: Layer;
  readonly shapes: Shapes;
  readonly names: readonly string[];
  /** Tiles that take fewer multiplications than the convolution. */
  readonly sizes: readonly TileSize[];
}

/** The layers that tiles could compute, by their shapes; all others are skipped with the reason. */
function groupsOf(
  model: Model,
  selection: { readonly only: string[]; readonly except: string[] },
  sizes: readonly TileSize[],
  context: Context,
): Group[] {
  const groups = new Map<string, Group & { names: string[] }>();
  for (const site of layersOf(model, selection, context)) {
    const found = tileable(layerOf(site));
    if (typeof found === "string") {
      context.skip(site.node.name, found);
      continue;
    }
    const { layer, shapes } = found;
    const direct = multiplicationsOf(shapes, null);
    const fewer = sizes.filter((m) => multiplicationsOf(shapes, m) < direct);
    if (fewer.length === 0) {
      const least = Math.min(...sizes.map((m) => multiplicationsOf(shapes, m)));
      context.skip(site.node.name, `would take ${least} multiplications in tiles, now ${direct}`);
      continue;
    }
    const key = JSON.stringify(shapes);
    const group = groups.get(key) ?? { layer, shapes, names: [], sizes: fewer };
    group.names.push(site.node.name);
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** Layers, and the tile in which each of them is computed. */
interface Tiled {
  readonly names: readonly string[];
  readonly tile: TileSize;
}

/** The layers of a group with the tile that suits their maps. */
function usual({ names, sizes, shapes: { result } }: Group): Tiled {
  const tile = sizes.find((size) => size === (Math.min(...result) >= LARGE ? 4 : 2)) ?? sizes[0];
  return { names, tile };
}

function tileable(layer: Layer | string): { layer: Layer; shapes: Shapes } | string {
  if (typeof layer === "string") return layer;
  const shapes = shapesOf(layer);
  return typeof shapes === "string" ? shapes : { layer, shapes };
}

/**
 * The groups that are faster in tiles, by themselves and all together, each with its best tile; the
 * layers of others are skipped. Around a layer the engine may have to change the layout of maps, which
 * only the model shows.
 */
async function faster(
  model: Model,
  groups: readonly Group[],
  time: NonNullable<Context["time"]>,
  context: Context,
): Promise<readonly Tiled[]> {
  const chosen: (Tiled & Change)[] = [];
  for (const [i, { layer, shapes, names, sizes }] of groups.entries()) {
    await context.progress(i, groups.length);
    const direct = alone(model, layer, shapes);
    const [before, ...after] = await time([
      direct,
      ...sizes.map((m) => withTiles(direct, () => m)),
    ]);
    const gains = after.map((ms) => before / ms);
    const best = gains.indexOf(Math.max(...gains));
    if (gains[best] >= LEAST_GAIN) {
      chosen.push({ names, tile: sizes[best], saved: names.length * (before - after[best]) });
      continue;
    }
    const told = sizes.map((m, i) => `${gains[i].toFixed(2)}x in tiles of ${m} x ${m}`);
    const reason = `runs at ${told.join(", at ")} on ${context.target.id}: not worth it`;
    for (const name of names) context.skip(name, reason);
  }
  const trial = (kept: readonly Tiled[]) => withTiles(model, tilesIn(kept));
  return keepFaster(model, chosen, trial, context, "in tiles");
}

/** A model of this convolution alone, which has the inputs of the whole model. */
function alone({ graph, domains, ...rest }: Model, layer: Layer, { size, inputs }: Shapes): Model {
  const only = new Graph("layer");
  const given = graph.inputs.map(({ name, dtype, shape }) => only.addInput(name, dtype, shape));
  const g = build(only, "", inferNode);
  // An input's values, or the engine would compute the layer when it loads the model.
  const first = given.find(({ dtype }) => dtype !== "string") as Value;
  const flat = g.Flatten(g.Cast(first, { to: dtypes.float32.code }), { axis: 1 });
  const level = g.ReduceMax(flat, g.ints([1], "axes"), { keepdims: 1 });
  const zeros = g.constant(new Float32Array(inputs * product(size)), {
    shape: [1, inputs, ...size],
  });
  const x = g.Add(g.Reshape(level, g.ints([-1, 1, 1, 1])), zeros);
  const { node, weight, outputs } = layer;
  const w = g.constant(weight.values, { shape: weight.shape });
  const bias = g.constant(new Float32Array(outputs));
  const { attributes } = node;
  const conv = only.add("Conv", [x, w, bias], { name: node.name, attributes });
  inferNode(conv);
  only.setOutputs([g.Relu(conv.output)]);
  return { ...rest, domains, graph: only };
}

type TileOf = (node: Node) => TileSize | undefined;

function tilesIn(chosen: readonly Tiled[]): TileOf {
  const tiles = new Map(chosen.flatMap(({ names, tile }) => names.map((name) => [name, tile])));
  return ({ name }) => tiles.get(name);
}

/** A copy of the model with tiles in the place of the layers that have one. */
const withTiles = (model: Model, tileOf: TileOf): Model =>
  changed(model, (copy) => replaceAll(copy, tileOf));

function replaceAll(model: Model, tileOf: TileOf): void {
  for (const site of layersOf(model, { only: [], except: [] }, { skip() {} })) {
    const m = tileOf(site.node);
    const found = m && tileable(layerOf(site));
    if (!found || typeof found === "string") continue;
    const { layer, shapes } = found;
    const u = composed(form, [(m + 2) ** 2, layer.outputs, layer.inputs], { kernel: layer.weight });
    replaceByTiles(layer, shapes, m, u);
  }
}
