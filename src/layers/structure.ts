/** @file Shared by structured methods: which matrices are replaced, by how many numbers. */
import { z } from "zod";
import type { Context } from "../context.ts";
import type { Model } from "../ir/model.ts";
import { product } from "../util/product.ts";
import { siteOptions } from "../weights/select.ts";
import { layersOf, storeWeight } from "../weights/sites.ts";
import type { Composed } from "../weights/weight.ts";

/** Smaller matrices are left alone: they would lose more accuracy than their bytes are worth. */
const SMALLEST = 4096;

/** Options of every structured method. */
export const structureOptions = {
  ratio: z
    .number()
    .min(1)
    .max(1024)
    .default(8)
    .meta({
      description: "Weights per stored number; 1 leaves all as they are.",
      search: [4, 8, 16],
    }),
  ...siteOptions,
};

/** A layer's weight as a matrix, as it is stored: its first axis by all others. */
export interface Matrix {
  /** [rows, columns], row-major. */
  readonly values: Float32Array;
  readonly rows: number;
  readonly columns: number;
  /** The shape of the weight itself. */
  readonly shape: readonly number[];
}

/**
 * The nearest structured matrix that takes at most `numbers` numbers, or the reason
 * why there is none.
 */
export type Project = (matrix: Matrix, numbers: number) => Composed | string;

/** Replaces the weight of every chosen layer by its structured matrix; biases stay as they are. */
export async function storeStructured(
  model: Model,
  options: z.output<z.ZodObject<typeof structureOptions>>,
  context: Context,
  project: Project,
): Promise<void> {
  if (options.ratio === 1) return;
  const sites = layersOf(model, options, context, SMALLEST);
  for (const [i, site] of sites.entries()) {
    await context.progress(i, sites.length);
    const { values, shape } = site.weight;
    const [rows, ...others] = shape;
    const columns = product(others);
    const found = project({ values, rows, columns, shape }, values.length / options.ratio);
    if (typeof found === "string") context.skip(site.node.name, found);
    else storeWeight(site, found);
  }
}

/** All divisors of n, ascending. */
export const divisorsOf = (n: number): number[] =>
  Array.from({ length: n }, (_, i) => i + 1).filter((d) => n % d === 0);
