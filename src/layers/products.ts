/**
 * @file Structured matrices that stay products at run time: y = W x as a few small MatMuls.
 *
 * A folded form is rebuilt when the engine loads the model, and runs at the speed of the dense matrix.
 * The products of a Monarch or Kronecker matrix are less work, but each passes the activations through
 * memory once more, so that they pay for wide layers only. Layers of the same shapes are timed once,
 * then the whole model; nothing is kept with which that is not faster.
 */
import { z } from "zod";
import type { Context } from "../context.ts";
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Builder } from "../ops/builder.ts";
import { windowOf } from "../ops/window.ts";
import { type LayerSite, layersOf } from "../weights/sites.ts";
import type { Composed } from "../weights/weight.ts";
import { fasterGroups } from "./faster.ts";
import { inputOf, type Layer, layerOf } from "./matrix.ts";
import { replaceLayer } from "./replace.ts";
import {
  type Project,
  SMALLEST,
  type StructureOptions,
  storeStructured,
  structureOptions,
} from "./structure.ts";

/** Options of methods whose matrices can stay products. */
export const productOptions = {
  ...structureOptions,
  compute: z.enum(["folded", "products"]).default("folded").meta({
    description:
      "folded: the engine rebuilds the matrix when it loads the model, which then runs as fast as before. products: the small products run themselves, less work in wide linear layers and 1x1 convolutions; layers in which they are slower stay as they are.",
  }),
};

type Options = StructureOptions & { readonly compute: "folded" | "products" };

/** The small products of a weight W [outputs, inputs] in place of one. */
export interface Products {
  /** y [N, outputs] of x [N, inputs]. */
  readonly run: (g: Builder, x: Value) => Value;
  /** y [N, outputs, positions] of x [N, inputs, ...positions], as 1x1 convolutions have them. */
  readonly convolve: (g: Builder, x: Value) => Value;
  /** Multiply-accumulates for one record. */
  readonly macs: number;
}

/** Stores the structured matrices, or writes them as products. */
export async function applyStructured(
  model: Model,
  options: Options,
  context: Context,
  project: Project,
  productsOf: (weight: Composed) => Products,
): Promise<void> {
  if (options.compute === "folded") return storeStructured(model, options, context, project);
  if (options.ratio === 1) return;
  const sites = layersOf(model, options, context, SMALLEST);
  const groups = new Map<string, Group>();
  for (const [i, site] of sites.entries()) {
    await context.progress(i, sites.length);
    const { name } = site.node;
    const found = productsAt(site, options, context, project, productsOf);
    if (typeof found === "string") context.skip(name, found);
    else joinGroup(groups, found);
  }
  const all = [...groups.values()];
  const ways = all.map((group) => [group]);
  const chosen = await fasterGroups(model, ways, replaceAll, context, "as products");
  replaceAll(model, chosen ?? all, context);
}

/** Layers of one shape, which take the same time. */
interface Group {
  readonly names: string[];
  readonly products: Map<string, Products>;
}

function joinGroup(groups: Map<string, Group>, { layer, products }: Found): void {
  const { node, kind, outputs, inputs, kernel } = layer;
  const key = JSON.stringify([kind, outputs, inputs, kernel, inputOf(layer).shape]);
  const group: Group = groups.get(key) ?? { names: [], products: new Map() };
  group.names.push(node.name);
  group.products.set(node.name, products);
  groups.set(key, group);
}

interface Found {
  readonly layer: Layer;
  readonly products: Products;
}

/** The products of a layer, or the reason why it has none that are less work. */
function productsAt(
  site: LayerSite,
  { ratio }: Options,
  context: Context,
  project: Project,
  productsOf: (weight: Composed) => Products,
): Found | string {
  const layer = linearAt(site);
  if (typeof layer === "string") return layer;
  const { matrix: values, outputs: rows, inputs: columns } = layer;
  const random = context.random.fork(site.node.name);
  const matrix = { values, rows, columns, shape: [rows, columns], random } as const;
  const found = project({ ...matrix, inputs: "columns" }, values.length / ratio);
  if (typeof found === "string") return found;
  const products = productsOf(found);
  if (products.macs < values.length) return { layer, products };
  return `takes ${products.macs} multiply-accumulates as products and ${values.length} as a matrix`;
}

function replaceAll(
  model: Model,
  groups: readonly Group[],
  { skip }: Pick<Context, "skip"> = { skip() {} },
): void {
  const chosen = new Map(groups.flatMap(({ products }) => [...products]));
  for (const site of layersOf(model, { only: [], except: [] }, { skip() {} }, SMALLEST)) {
    const products = chosen.get(site.node.name);
    const layer = products ? linearAt(site) : "";
    if (!products || typeof layer === "string") continue;
    const done = replaceLayer(layer, [asInsert(layer, products)]);
    if (typeof done === "string") skip(site.node.name, done);
  }
}

/** A linear layer or a 1x1 convolution, or the reason why its matrix cannot be written as products. */
function linearAt(site: LayerSite): Layer | string {
  const layer = layerOf(site);
  if (typeof layer === "string") return layer;
  if (layer.kind === "conv") return whyNotPointwise(layer) ?? layer;
  if (layer.use.side === "left") return "has its matrix on the left, which no products replace";
  return layer;
}

function whyNotPointwise({ node, kernel }: Layer): string | null {
  if (kernel.some((size) => size > 1)) {
    return `is a convolution of ${kernel.join(" x ")}; only 1x1 ones and linear layers are written as products`;
  }
  const { strides, pads } = windowOf(node, kernel);
  const isPlain = strides.every((stride) => stride === 1) && pads.every((pad) => pad === 0);
  if (isPlain) return null;
  return "is a convolution with strides or padding; only plain 1x1 ones are written as products";
}

const asInsert = (layer: Layer, products: Products) =>
  layer.kind === "conv" ? asPositions(layer, products) : asRows(products);

/** The products at every position of x [N, inputs, ...positions]. */
const asPositions =
  ({ outputs }: Layer, { convolve }: Products) =>
  (g: Builder, x: Value): Value => {
    const y = convolve(g, x);
    const positions = x.shape?.slice(2) ?? [];
    if (positions.every((dim) => typeof dim === "number")) {
      return g.Reshape(y, g.ints([0, outputs, ...positions]));
    }
    const sizes = g.Slice(g.Shape(x), g.ints([2]), g.ints([x.shape?.length ?? 4]));
    return g.Reshape(y, g.Concat(g.ints([0, outputs]), sizes, { axis: 0 }));
  };

/** The products on x [..., inputs], whatever its leading axes. */
const asRows =
  ({ run }: Products) =>
  (g: Builder, x: Value): Value => {
    if (x.shape?.length === 2) return run(g, x);
    const y = run(g, x);
    const leading = g.Slice(g.Shape(x), g.ints([0]), g.ints([-1]));
    return g.Reshape(y, g.Concat(leading, g.ints([-1]), { axis: 0 }));
  };

/**
 * y = W x of a Monarch matrix. R works on k runs of inputs, L on q runs of what comes of them:
 *   u[i, j, n] = sum_t R[i, j, t] x[i, t, n],   y[l, j, n] = sum_i L[j, l, i] u[i, j, n]
 *
 * Records n come last: the transposition between the products then moves whole runs of records, which
 * the engine copies fast; with records in front, many records took longer than by the matrix. A single
 * record has no runs, and its products are rows.
 */
export function monarchProducts({ theta: { left, right } }: Composed): Products {
  const [q, height, k] = left.shape;
  const width = right.shape[2];
  const [l, r] = [left.values, right.values].map((values) => Float32Array.from(values));
  const macs = k * q * width + q * height * k;
  const single = (g: Builder, x: Value): Value => {
    const runs = g.Reshape(x, g.ints([k, 1, width]));
    const u = g.MatMul(runs, turned(g, r, [k, q, width], "right"));
    const mixed = g.Transpose(g.Reshape(u, g.ints([k, q])), { perm: [1, 0] });
    const y = g.MatMul(g.Reshape(mixed, g.ints([q, 1, k])), turned(g, l, [q, height, k], "left"));
    const columns = g.Transpose(g.Reshape(y, g.ints([q, height])), { perm: [1, 0] });
    return g.Reshape(columns, g.ints([1, height * q]));
  };
  /** y [..., outputs, n] of x [..., inputs, n] with runs of n last, behind the axes that `lead` keeps. */
  const columns = (g: Builder, x: Value, lead: readonly number[]): Value => {
    const at = lead.length;
    const perm = [...lead.keys(), at + 1, at, at + 2];
    const rightOf = g.constant(r, { shape: [k, q, width], name: "right" });
    const u = g.MatMul(rightOf, g.Reshape(x, g.ints([...lead, k, width, -1])));
    const leftOf = g.constant(l, { shape: [q, height, k], name: "left" });
    const y = g.MatMul(leftOf, g.Transpose(u, { perm }));
    return g.Reshape(g.Transpose(y, { perm }), g.ints([...lead, height * q, -1]));
  };
  const many = (g: Builder, x: Value): Value => {
    const turn = { perm: [1, 0] };
    const rows = g.Transpose(g.Reshape(x, g.ints([-1, k * width])), turn);
    return g.Transpose(columns(g, rows, []), turn);
  };
  // Positions are runs already, as they come last in convolutions.
  const convolve = (g: Builder, x: Value): Value => columns(g, x, [0]);
  return {
    macs,
    convolve,
    run: (g, x) => (x.shape?.slice(0, -1).every((dim) => dim === 1) ? single(g, x) : many(g, x)),
  };
}

/**
 * y = W x of a sum of Kronecker products, all records at once:
 *   u[n, b, r, c] = sum_d B[r, c, d] x[n, b, d],   y[n, (a, c)] = sum_(b, r) A[a, b, r] u[n, b, r, c]
 * In a convolution, positions are one more axis, the last one.
 */
export function kroneckerProducts({ theta: { a, b } }: Composed): Products {
  const [m1, n1, terms] = a.shape;
  const [, m2, n2] = b.shape;
  return {
    macs: n1 * n2 * terms * m2 + m2 * n1 * terms * m1,
    run(g, x) {
      const runs = g.Reshape(x, g.ints([-1, n2]));
      const u = g.MatMul(runs, turned(g, b.values, [1, terms * m2, n2], "b", [n2, terms * m2]));
      const mixed = g.Transpose(g.Reshape(u, g.ints([-1, n1, terms, m2])), { perm: [0, 3, 1, 2] });
      const y = g.MatMul(
        g.Reshape(mixed, g.ints([-1, n1 * terms])),
        turned(g, a.values, [1, m1, n1 * terms], "a", [n1 * terms, m1]),
      );
      const columns = g.Transpose(g.Reshape(y, g.ints([-1, m2, m1])), { perm: [0, 2, 1] });
      return g.Reshape(columns, g.ints([-1, m1 * m2]));
    },
    convolve(g, x) {
      const [left, right] = [a.values, b.values].map((values) => Float32Array.from(values));
      const runs = g.Reshape(x, g.ints([0, n1, n2, -1]));
      const u = g.MatMul(g.constant(right, { shape: [terms * m2, n2], name: "b" }), runs);
      const parts = g.Reshape(u, g.ints([0, n1 * terms, m2, -1]));
      const mixed = g.Transpose(parts, { perm: [0, 2, 1, 3] });
      const y = g.MatMul(g.constant(left, { shape: [m1, n1 * terms], name: "a" }), mixed);
      return g.Reshape(g.Transpose(y, { perm: [0, 2, 1, 3] }), g.ints([0, m1 * m2, -1]));
    },
  };
}

/** A constant of values [batch, m, n] with the last two axes exchanged. */
function turned(
  g: Builder,
  values: ArrayLike<number>,
  [batch, m, n]: readonly number[],
  name: string,
  shape: readonly number[] = [batch, n, m],
): Value {
  const t = Float32Array.from({ length: batch * m * n }, (_, at) => {
    const [i, j, k] = [Math.floor(at / (m * n)), Math.floor(at / m) % n, at % m];
    return values[(i * m + k) * n + j];
  });
  return g.constant(t, { shape, name });
}
