/**
 * @file Convolutions whose filters are copies of fewer base filters: the filters or kernels of a
 * layer as vectors, the transforms between them, and the weight that stores them as copies.
 */
import { z } from "zod";
import type { Context } from "../context.ts";
import { type Moments, momentsOf } from "../evidence/moments.ts";
import { calibrationOptions } from "../evidence/options.ts";
import type { Model } from "../ir/model.ts";
import { type Copies, type Copying, similarities, type Vectors } from "../numeric/kmeans-copies.ts";
import { createRandom } from "../numeric/random.ts";
import { median } from "../numeric/statistics.ts";
import type { Shape } from "../weights/form.ts";
import { copies as form } from "../weights/forms/copies.ts";
import { scaled } from "../weights/forms/scaled.ts";
import { siteOptions } from "../weights/select.ts";
import { type LayerSite, layersOf, storeWeight } from "../weights/sites.ts";
import { type Composed, composed, type Leaf, leaf, wholeLeaf } from "../weights/weight.ts";

/** Options of every method that stores filters as copies. */
export const copyOptions = {
  scale: z.boolean().default(true).meta({ description: "Each copy has a scale of its own." }),
  records: calibrationOptions.records.meta({
    description:
      "Calibration records, if there are any, from which errors are weighted by the mean squares of the input channels.",
  }),
  ...siteOptions,
};

/** How copies may differ from their base. */
export interface Transforms {
  readonly negate: boolean;
  /** By quarter turns. */
  readonly turn: boolean;
  readonly mirror: boolean;
  /** By at most so many positions: a base is larger than the kernel by as many rows and columns. */
  readonly shift: number;
}

/** A layer's filters, or the kernels of single channels, as vectors. */
export interface Units {
  readonly site: LayerSite;
  readonly vectors: Vectors;
  readonly copying: Copying;
  /** More bases would take as many bytes as the weight, or more bits than an index has. */
  readonly most: number;
  /** The weight that stores these copies. */
  store(copies: Copies): Composed;
}

/** What the nodes and constants of an expression of copies take in the file, in bytes; and windows. */
const NODES = 800;
const WINDOWS = 400;

interface Options {
  readonly unit: "filter" | "kernel";
  readonly scale: boolean;
  readonly records: number;
  readonly only: readonly string[];
  readonly except: readonly string[];
}

/**
 * Stores every chosen convolution with a square kernel as the copies that `choose` finds; where it
 * gives a reason instead, the layer stays as it is.
 */
export async function storeCopies(
  model: Model,
  options: Options & Transforms,
  context: Context,
  choose: (units: Units) => Copies | string,
): Promise<void> {
  const sites = layersOf(model, options, context).filter((site) => {
    const reason = whyNot(site, options.unit);
    if (reason) context.skip(site.node.name, reason);
    return reason === null;
  });
  const moments = context.hasCalibration
    ? await momentsOf(model, sites, "squares", options.records, context)
    : new Map<LayerSite, string>();
  for (const [i, site] of sites.entries()) {
    await context.progress(i, sites.length);
    const found = moments.get(site);
    const units = unitsOf(site, typeof found === "string" ? null : (found ?? null), options);
    const copies = choose(units);
    if (typeof copies === "string") context.skip(site.node.name, copies);
    else storeWeight(site, units.store(copies));
  }
}

function whyNot({ role, weight: { shape } }: LayerSite, unit: Options["unit"]): string | null {
  if (role.kind !== "conv") return "is no convolution";
  if (shape.length !== 4 || shape[2] !== shape[3]) return "has no square kernel";
  return unit === "kernel" && shape[2] === 1 ? "has kernels of a single number" : null;
}

/** The units of a layer; with `moments`, their errors count by the inputs. */
export function unitsOf(
  site: LayerSite,
  moments: Moments | null,
  { unit, scale, ...transforms }: Pick<Options, "unit" | "scale"> & Transforms,
): Units {
  const { shape, values } = site.weight;
  const [, channels, k] = shape;
  const side = k + transforms.shift;
  const depth = unit === "filter" ? channels : 1;
  const count = values.length / (depth * k * k);
  const { x, weights, roots } = weighted(site, moments, unit);
  const kinds = kindsOf(transforms, k, side);
  const size = depth * side * side;
  const windows = (side - k + 1) ** 2;
  const nodes = NODES + (windows > 1 ? WINDOWS : 0);
  // An index has 16 bits, a scale 32.
  const spare = 4 * values.length - nodes - count * (scale ? 6 : 2);
  return {
    site,
    vectors: { x, length: depth * k * k, weights },
    copying: {
      size,
      places: kinds.map(({ at }) =>
        Uint32Array.from({ length: depth * k * k }, (_, p) => {
          const channel = Math.floor(p / (k * k));
          return channel * side * side + at[p % (k * k)];
        }),
      ),
      signed: transforms.negate,
      scaled: scale,
    },
    most: Math.min(Math.floor(spare / (4 * size)), Math.floor(2 ** 16 / (16 * windows))),
    store(found) {
      const bases = Float32Array.from(found.bases, (b, i) => {
        return b / roots[Math.floor((i % size) / (side * side))];
      });
      const numbers = kinds.map(({ number }) => number);
      const dims = unit === "filter" ? [channels, side, side] : [side, side];
      const weight = stored(
        { ...found, bases: leaf(bases, [bases.length / size, ...dims]) },
        shape,
        {
          numbers,
          negation: 8 * windows,
          each: shape.slice(0, unit === "filter" ? 1 : 2),
        },
      );
      if (!scale) return weight;
      const each = [...weight.theta.index.shape, 1, 1, 1].slice(0, 4);
      const factor = leaf(Float32Array.from(found.scale), each);
      return composed(scaled, shape, { weight, factor });
    },
  };
}

/** The form `copies` of what was found; `each` is the shape of an index per unit. */
function stored(
  {
    bases,
    base,
    transform,
    negated,
  }: Omit<Copies, "bases"> & { readonly bases: Leaf<Float32Array> },
  shape: Shape,
  how: { readonly numbers: readonly number[]; readonly negation: number; readonly each: Shape },
): Composed {
  const [count] = bases.shape;
  const index = Uint16Array.from(base, (b, i) => {
    return b + count * (how.numbers[transform[i]] + how.negation * negated[i]);
  });
  return composed(form, shape, { base: bases, index: wholeLeaf(index, how.each, false) });
}

/**
 * A layer's numbers x, the weight of the error of each unit, and the root by which the numbers of
 * each channel were multiplied.
 *
 * With moments, the error of a number counts by the mean square of the input channel that it
 * multiplies, averaged over the kernel: turns and shifts leave that alone. (What inputs have in common
 * is left out.) In filters it is multiplied in as its root. It is the weight of a kernel, and,
 * averaged over the channels, of a filter of one of several groups.
 */
function weighted(
  { role: { groups }, weight: { shape, values } }: LayerSite,
  moments: Moments | null,
  unit: Options["unit"],
): { x: Float64Array; weights: Float64Array; roots: Float64Array } {
  const [filters, channels, k] = shape;
  const squares = squaresOf(moments, groups, channels);
  const x = Float64Array.from(values);
  const roots = new Float64Array(channels).fill(1);
  const ofFilter = (filter: number): Float64Array =>
    squares[Math.floor((filter * groups) / filters)];
  if (unit === "kernel") {
    const weights = Float64Array.from({ length: filters * channels }, (_, i) => {
      return ofFilter(Math.floor(i / channels))[i % channels];
    });
    return { x, weights, roots };
  }
  if (groups > 1) {
    const weights = Float64Array.from({ length: filters }, (_, i) => {
      return ofFilter(i).reduce((sum, square) => sum + square, 0) / channels;
    });
    return { x, weights, roots };
  }
  roots.set(squares[0].map(Math.sqrt));
  for (let i = 0; i < x.length; i++) x[i] *= roots[Math.floor(i / (k * k)) % channels];
  return { x, weights: new Float64Array(filters).fill(1), roots };
}

/** Mean squares of inputs that never vary are raised to this share of the average. */
const DAMPING = 0.01;

/** The mean squares of each group's input channels, averaged over the kernel; 1 without moments. */
function squaresOf(moments: Moments | null, groups: number, channels: number): Float64Array[] {
  if (!moments) {
    return Array.from({ length: groups }, () => new Float64Array(channels).fill(1));
  }
  const mean =
    moments.groups.flatMap((group) => [...group]).reduce((a, b) => a + b, 0) /
    (groups * moments.rows.columns);
  return moments.groups.map((group) => {
    const own = new Float64Array(channels);
    const taps = group.length / channels;
    for (const [i, square] of group.entries()) own[i % channels] += square / taps / (mean || 1);
    return own.map((square) => Math.max(square, DAMPING));
  });
}

/** A transform of the form `copies`: its number without the sign, and its places in one channel. */
interface Kind {
  readonly number: number;
  readonly at: Uint32Array;
}

/** Transforms that are numbered transposed + 2 upside down + 4 mirrored, in this order of steps. */
function kindsOf({ turn, mirror }: Transforms, k: number, side: number): Kind[] {
  const wanted = turn
    ? mirror
      ? [0, 3, 6, 5, 1, 2, 4, 7]
      : [0, 3, 6, 5]
    : mirror
      ? [0, 2, 4, 6]
      : [0];
  const across = side - k + 1;
  const all = wanted.flatMap((kind) =>
    Array.from({ length: across * across }, (_, window) => ({
      number: window + across * across * kind,
      at: Uint32Array.from({ length: k * k }, (_, p) => {
        let [y, x] = [Math.floor(p / k), p % k];
        if (kind & 4) x = k - 1 - x;
        if (kind & 2) y = k - 1 - y;
        if (kind & 1) [y, x] = [x, y];
        return (y + Math.floor(window / across)) * side + x + (window % across);
      }),
    })),
  );
  // Turns of a single number are all the same.
  return [...new Map(all.toReversed().map((kind) => [kind.at.join(), kind])).values()].reverse();
}

/** Units that a histogram looks at. */
const SAMPLE = 256;

/** How alike a layer's units are, next to Gaussian noise of the same shape. */
export interface Alike {
  /** How many units have a best copy that explains 0 to 10 %, ..., 90 to 100 % of their energy. */
  readonly tenths: readonly number[];
  readonly median: number;
  /** The median where the numbers are drawn from one Gaussian. */
  readonly noise: number;
}

/** What the best copy of any other unit explains of each. */
export function alike({ vectors, copying }: Units): Alike {
  const found = similarities(vectors, copying, SAMPLE);
  const tenths = new Array<number>(10).fill(0);
  for (const share of found) tenths[Math.min(9, Math.floor(10 * share))]++;
  const random = createRandom(1);
  const drawn = { ...vectors, x: vectors.x.map(() => random.normal()) };
  const noise = median(similarities(drawn, copying, SAMPLE / 4));
  return { tenths, median: median(found), noise };
}
