/** @file Fixed tables of 16 values: weights in 4 bits, scaled block by block. */
import { z } from "zod";
import { groupPlaces } from "../../numeric/quantize.ts";
import { affineLevel, fitAffine, nearestEntry, tables } from "../../numeric/table.ts";
import type { Shape } from "../../weights/form.ts";
import { affine } from "../../weights/forms/affine.ts";
import { blocksOf } from "../../weights/forms/blockwise.ts";
import { grid } from "../../weights/forms/grid.ts";
import { table as tableForm } from "../../weights/forms/table.ts";
import { siteOptions } from "../../weights/select.ts";
import { blockAxisOf, storeWeight, type ThetaSite, thetasOf } from "../../weights/sites.ts";
import { type Composed, composed, leaf, type Weight, wholeLeaf } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

/**
 * W = s t[i], one s per block, the largest magnitude of the block over that of the table. With
 * table=int4 W = s q + m, q from 0 to 15. The scales may be stored as a grid of their own:
 * s = d l, l of 6 bits, one d for `superblock` blocks (llama.cpp's q4_K: int4, blocks of 32, 8 of
 * them in a superblock).
 */
export const quantizeTable = defineMethod({
  title: "4-bit tables",
  equation: "W = s t[i], s = largest |W| of a block / largest |t|; with table=int4 W = s q + m",
  cite: "Dettmers et al. 2023, QLoRA, arXiv 2305.14314, section 3; OCP Microscaling Formats 1.0; ggml-quants.c of llama.cpp",
  summary: "Rounds weights to 16 values of a fixed table, times a scale per block.",
  needs: [],
  options: z.object({
    table: z
      .enum(["nf4", "fp4", "int4"])
      .default("nf4")
      .meta({
        description:
          "nf4: quantiles of the normal distribution; fp4: floats of 4 bits (e2m1); int4: 0 to 15 times a scale plus an offset, which keeps no exact zeros.",
        search: ["nf4", "fp4", "int4"],
      }),
    block: z
      .int()
      .min(2)
      .max(1024)
      .default(32)
      .meta({
        description:
          "Weights per scale along the inputs of a row; the last block of a row may be shorter.",
        search: [16, 32, 64],
      }),
    superblock: z
      .int()
      .min(0)
      .max(1024)
      .default(0)
      .meta({
        description:
          "Blocks whose scales are 6-bit levels of one float scale; 0: every scale is a float.",
        search: [0, 8],
      }),
    ...siteOptions,
  }),
  survey: [{}, { table: "int4", superblock: 8 }],
  neutral: null,
  async apply(model, { table, block, superblock, ...selection }, context) {
    const sites = thetasOf(model, selection, context);
    for (const [i, site] of sites.entries()) {
      await context.progress(i, sites.length);
      const layout = layoutOf(site, block, superblock);
      storeWeight(site, table === "int4" ? toAffine(layout) : toTable(layout, tables[table]));
    }
  },
});

/** A weight and its blocks. */
interface Layout {
  readonly values: Float32Array;
  /** The weight's own shape, and the shape in which blocks run along `axis`. */
  readonly shape: Shape;
  readonly dims: Shape;
  readonly axis: number;
  readonly block: number;
  readonly superblock: number;
  /** The places of the weights of each block. */
  readonly groups: readonly Int32Array[];
}

/** A row of a convolution's weight is all that one output reads: inputs and kernel positions. */
function layoutOf(site: ThetaSite, block: number, superblock: number): Layout {
  const { values, shape } = site.weight;
  const isConv = site.role?.kind === "conv" && site.role.outputAxis === 0;
  const dims = isConv ? [shape[0], values.length / shape[0]] : shape;
  const axis = isConv ? 1 : blockAxisOf(site);
  const groups = groupPlaces(dims, axis, block);
  return { values, shape, dims, axis, block, superblock, groups };
}

function toTable(layout: Layout, table: Float32Array): Composed {
  const { values, shape, groups } = layout;
  const largest = Math.max(...table.map(Math.abs));
  const scales = groups.map((places) => largestOf(places, values) / largest);
  const { elements, spread, stored } = scaled(layout, scales);
  const index = new Uint16Array(values.length);
  for (const [at, places] of groups.entries()) {
    const s = stored.values[at];
    for (const i of places) index[i] = nearestEntry(table, values[i] / s);
  }
  return composed(tableForm, shape, {
    table: leaf(table, [table.length]),
    index: wholeLeaf(index, elements, false, 4),
    scale: spread(stored),
  });
}

function toAffine(layout: Layout): Composed {
  const { values, shape, groups } = layout;
  const fits = groups.map((places) =>
    fitAffine(
      Float32Array.from(places, (i) => values[i]),
      15,
    ),
  );
  const { elements, spread, stored } = scaled(
    layout,
    fits.map(({ scale }) => scale),
  );
  const { stored: offset } = scaled(
    layout,
    fits.map(({ offset }) => offset),
  );
  const levels = new Uint16Array(values.length);
  for (const [at, places] of groups.entries()) {
    const [s, m] = [stored.values[at], offset.values[at]];
    for (const i of places) levels[i] = affineLevel(values[i], 15, s, m);
  }
  return composed(affine, shape, {
    levels: wholeLeaf(levels, elements, false, 4),
    scale: spread(stored),
    offset: spread(offset),
  });
}

const largestOf = (places: Int32Array, numbers: ArrayLike<number>): number =>
  places.reduce((most, i) => Math.max(most, Math.abs(numbers[i])), 0);

/** Levels of the scales in a superblock. */
const SCALE_LEVELS = 63;

/** One number per block, all of one sign, as floats or in 6 bits: how they are stored. */
function scaled({ dims, axis, block, superblock }: Layout, numbers: readonly number[]) {
  const blocks = blocksOf(dims, axis, block);
  const plain = leaf(Float32Array.from(numbers), blocks.scales);
  if (superblock === 0) return { ...blocks, stored: plain as Weight };
  const inner = blocksOf(blocks.scales, axis, superblock);
  const levels = new Uint16Array(numbers.length);
  const steps: number[] = [];
  for (const places of groupPlaces(blocks.scales, axis, superblock)) {
    const step = Math.fround(largestOf(places, numbers) / SCALE_LEVELS);
    // A block of small numbers beside one of large ones must not vanish.
    for (const i of places) {
      levels[i] = numbers[i] === 0 ? 0 : Math.max(1, Math.round(Math.abs(numbers[i]) / step));
    }
    const isNegative = places.some((i) => numbers[i] < 0);
    steps.push(isNegative ? -step : step);
  }
  const stored = composed(grid, blocks.scales, {
    levels: wholeLeaf(levels, inner.elements, false, 6),
    scale: inner.spread(leaf(Float32Array.from(steps), inner.scales)),
  });
  return { ...blocks, stored: stored as Weight };
}
