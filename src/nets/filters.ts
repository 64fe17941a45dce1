/**
 * @file Transferred filters: convolutions of full width whose filters are computed from fewer stored
 * numbers (Cheng et al. 2017, arXiv 1710.09282, section IV).
 */
import { z } from "zod";
import { oriented } from "../weights/forms/oriented.ts";
import { windows } from "../weights/forms/windows.ts";
import type { Layers, WeightOf } from "./layers.ts";

/** How the convolutions of a network get their filters. */
type Kind = "plain" | "crelu" | "mba" | "circ" | "dcnn" | "p4" | "p4m";

/** The option of networks that are chains of convolutions, each followed by `norm` and `relu`. */
export const filterOptions = {
  filters: z
    .enum(["plain", "crelu", "mba", "circ", "dcnn", "p4", "p4m"] satisfies Kind[])
    .default("plain")
    .meta({
      description:
        "Filters that share numbers: negated (crelu), with two biases each (mba), in four orientations (circ), windows of larger ones (dcnn), group convolutions of turns (p4) and mirror images (p4m).",
    }),
};

/** The layers in which transferred filters differ from plain ones. Convolutions have no bias. */
type Changed = Pick<Layers, "conv" | "norm" | "relu">;

/**
 * Layers whose convolutions have such filters. As many channels as are asked for, a multiple of 8,
 * leave each `relu`; with crelu and mba, half as many leave the convolution.
 */
export function withFilters(layers: Layers, kind: Kind): Changed {
  return kinds[kind](layers);
}

const kinds: Readonly<Record<Kind, (layers: Layers) => Changed>> = {
  plain: (layers) => layers,

  /** relu(x) and relu(-x) of half the filters (Shang et al. 2016, arXiv 1603.05201, section 2). */
  crelu: (layers) => ({
    ...half(layers),
    relu: (x) => layers.relu(layers.nodes("signs", x, (g) => g.Concat(x, g.Neg(x), { axis: 1 }))),
  }),

  /**
   * Half the filters, each with two biases (Li et al. 2016, arXiv 1604.00676, section 3). They begin
   * half a standard deviation of the normalized map below and above 0, so that the two differ.
   */
  mba: (layers) => ({
    ...half(layers),
    relu: (x) =>
      layers.relu(
        layers.nodes("biases", x, (g) => {
          const channels = x.shape?.[1] as number;
          const start = Array.from({ length: 2 * channels }, (_, c) => (c < channels ? -0.5 : 0.5));
          const shape = [2 * channels, 1, 1];
          const bias = g.constant(start, { dtype: "float32", shape, name: "bias" });
          return g.Add(g.Concat(x, x, { axis: 1 }), bias);
        }),
      ),
  }),

  /** Each filter in four orientations (Dieleman et al. 2016, arXiv 1602.02660, section 2). */
  circ: (layers) =>
    from(layers, (g, draw, [filters, channels, k], shape) =>
      oriented.build(g, { base: draw([filters / 4, channels, 1, k, k]) }, shape),
    ),

  /** Four windows of each filter of one more row and column (Zhai et al. 2016, arXiv 1610.09716). */
  dcnn: (layers) =>
    from(layers, (g, draw, [filters, channels, k], shape) =>
      windows.build(g, { meta: draw([filters / 4, channels, k + 1, k + 1]) }, shape),
    ),

  p4: (layers) => group(layers, 4),
  p4m: (layers) => group(layers, 8),
};

const half = (layers: Layers): Changed => ({
  ...layers,
  conv: (x, channels, kernel, options) => layers.conv(x, channels / 2, kernel, options),
});

const from = (layers: Layers, weight: WeightOf): Changed => ({
  ...layers,
  conv: (x, channels, kernel, options) => layers.conv(x, channels, kernel, { ...options, weight }),
});

/**
 * Group convolutions (Cohen, Welling 2016, arXiv 1602.07576, section 6). The image has no
 * orientations; each layer gives every filter `order` of them, which the next one reads together.
 * What turns into one another has one scale and one shift, so that turning the image turns every
 * map, and moves it on by one orientation.
 */
function group(layers: Layers, order: 4 | 8): Changed {
  return {
    conv(x, channels, kernel, options) {
      const inner = x.producer ? order : 1;
      const weight: WeightOf = (g, draw, [filters, inputs, k], shape) =>
        oriented.build(g, { base: draw([filters / order, inputs / inner, inner, k, k]) }, shape);
      return layers.conv(x, channels, kernel, { ...options, weight });
    },
    norm(x) {
      // [N, filters order, H, W] -> [N, filters, order H, W], whose statistics are the filters' own.
      const [, channels, height, width] = x.shape as readonly number[];
      const shape = [0, channels / order, order * height, width];
      const joined = layers.nodes("join", x, (g) => g.Reshape(x, g.ints(shape, "shape")));
      const y = layers.norm(joined);
      const dims = [0, channels, height, width];
      return layers.nodes("split", y, (g) => g.Reshape(y, g.ints(dims, "shape")));
    },
    relu: layers.relu,
  };
}
