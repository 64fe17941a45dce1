/** @file What structured methods share: which matrices get a structure, and how many numbers it may have. */
import { z } from "zod";
import type { Context } from "../context.ts";
import type { Model } from "../ir/model.ts";
import { product } from "../util/product.ts";
import { siteOptions } from "../weights/select.ts";
import { layersOf, storeWeight } from "../weights/sites.ts";
import type { Composed } from "../weights/weight.ts";

/** Smaller matrices lose more than their bytes are worth. */
const SMALLEST = 4096;

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

/** A layer's weight as a matrix: its first axis against all others, as it is stored. */
export interface Matrix {
  /** [rows, columns], row-major. */
  readonly values: Float32Array;
  readonly rows: number;
  readonly columns: number;
  /** Of the weight itself. */
  readonly shape: readonly number[];
}

/** The nearest matrix of a structure of at most `numbers` numbers; a reason where there is none. */
export type Project = (matrix: Matrix, numbers: number) => Composed | string;

/** Puts the structured matrix in the place of every chosen layer's weight, bias and all else as it was. */
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

/** All numbers that divide n, smallest first. */
export const divisorsOf = (n: number): number[] =>
  Array.from({ length: n }, (_, i) => i + 1).filter((d) => n % d === 0);
