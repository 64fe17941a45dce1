/** @file Shared by structured methods: which matrices are replaced, by how many numbers. */
import { z } from "zod";
import type { Context } from "../context.ts";
import type { Model } from "../ir/model.ts";
import type { Random } from "../numeric/random.ts";
import { product } from "../util/product.ts";
import { siteOptions } from "../weights/select.ts";
import { layersOf, storeWeight } from "../weights/sites.ts";
import type { Composed } from "../weights/weight.ts";

/** Smaller matrices are left alone: they would lose more accuracy than their bytes are worth. */
export const SMALLEST = 4096;

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

export type StructureOptions = z.output<z.ZodObject<typeof structureOptions>>;

/** A layer's weight as a matrix, as it is stored: its first axis by all others. */
export interface Matrix {
  /** [rows, columns], row-major. */
  readonly values: Float32Array;
  readonly rows: number;
  readonly columns: number;
  /** The shape of the weight itself. */
  readonly shape: readonly number[];
  /** Whether the layer's inputs are the rows (x W) or the columns (W x). */
  readonly inputs: "rows" | "columns";
  /** A stream of random numbers of this layer's own. */
  readonly random: Random;
}

/**
 * The nearest structured matrix that takes at most `numbers` numbers, or the reason
 * why there is none.
 */
export type Project = (matrix: Matrix, numbers: number) => Composed | string;

/** Replaces the weight of every chosen layer by its structured matrix; biases stay as they are. */
export async function storeStructured(
  model: Model,
  options: StructureOptions,
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
    const inputs = site.role.inputAxis === 0 ? "rows" : "columns";
    const random = context.random.fork(site.node.name);
    const matrix = { values, rows, columns, shape, inputs, random } as const;
    const found = project(matrix, values.length / options.ratio);
    if (typeof found === "string") context.skip(site.node.name, found);
    else storeWeight(site, found);
  }
}

/** A matrix cut into square blocks [size, size], the last ones of each axis padded with zeros. */
export interface Blocks {
  readonly size: number;
  /** Blocks along the rows of the matrix. */
  readonly down: number;
  /** Blocks along its columns. */
  readonly across: number;
}

export const blocksOf = (
  { rows, columns }: Pick<Matrix, "rows" | "columns">,
  size: number,
): Blocks => ({
  size,
  down: Math.ceil(rows / size),
  across: Math.ceil(columns / size),
});

/** How a structure is cut into blocks. */
export interface Cutting {
  /** What it is, for the reason: "circulant matrix". */
  readonly kind: string;
  /** The size that the user gives; 0: none. */
  readonly given: number;
  /** Sizes that there are, ascending. */
  readonly sizes: readonly number[];
  /** Numbers that a block takes. */
  each(size: number): number;
}

/**
 * Blocks of the given size, or the first of the sizes at which all blocks together take at most
 * `numbers` numbers; the reason if none does.
 */
export function chosenBlocks(
  matrix: Pick<Matrix, "rows" | "columns">,
  numbers: number,
  { kind, given, sizes, each }: Cutting,
): Blocks | string {
  if (given) return blocksOf(matrix, given);
  for (const size of sizes) {
    const blocks = blocksOf(matrix, size);
    if (blocks.down * blocks.across * each(size) <= numbers) return blocks;
  }
  return whyNone(matrix, numbers, kind);
}

/** The reason why a matrix has none of a kind that takes so few numbers. */
export const whyNone = (
  { rows, columns }: Pick<Matrix, "rows" | "columns">,
  numbers: number,
  kind: string,
): string => `has no ${kind} of ${Math.floor(numbers)} numbers: ${rows} x ${columns}`;

/** 1, 2, 3, ... up to the larger side of the matrix, which makes one block of it. */
export const sizesOf = ({ rows, columns }: Pick<Matrix, "rows" | "columns">): number[] =>
  Array.from({ length: Math.max(rows, columns) }, (_, i) => i + 1);

/** A block [size, size] of a matrix, zeros where it stands over, and how much of it does not. */
export interface Block {
  /** Its number, row by row of blocks. */
  readonly at: number;
  readonly values: Float64Array;
  readonly height: number;
  readonly width: number;
}

/** The blocks of the matrix, row by row of blocks. */
export function* eachBlock(
  { values, rows, columns }: Matrix,
  { size, down, across }: Blocks,
): Generator<Block> {
  for (let at = 0; at < down * across; at++) {
    const [i, j] = [Math.floor(at / across), at % across];
    const block = new Float64Array(size * size);
    const height = Math.min(size, rows - i * size);
    const width = Math.min(size, columns - j * size);
    for (let a = 0; a < height; a++) {
      const from = (i * size + a) * columns + j * size;
      block.set(values.subarray(from, from + width), a * size);
    }
    yield { at, values: block, height, width };
  }
}

/** All divisors of n, ascending. */
export const divisorsOf = (n: number): number[] =>
  Array.from({ length: n }, (_, i) => i + 1).filter((d) => n % d === 0);
