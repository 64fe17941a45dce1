/** @file Net: a benchmark network of the survey, and how one is declared. */
import { type Preprocess, preprocessKey } from "../data/options.ts";
import { Graph, type Value } from "../ir/graph.ts";
import { createModel, type Model } from "../ir/model.ts";
import type { Random } from "../numeric/random.ts";
import { OPSET } from "../onnx/upgrade.ts";
import { createLayers, type Filler, type Layers } from "./layers.ts";

/** A benchmark network. */
export interface Net {
  readonly title: string;
  readonly cite: string;
  /** Channels, height and width of one record. */
  readonly input: readonly [number, number, number];
  readonly classes: number;
  /**
   * The untrained network, with the input `image` [N, ...input] and the output `logits` [N,
   * classes]. The same generator gives the same bytes. Weights are drawn when they are first read.
   */
  make(random: Random, options?: { readonly classes?: number }): Model;
}

/** What a network's file declares. */
interface Declaration extends Omit<Net, "make"> {
  readonly filler?: Filler;
  /** What the input expects of pixels; x / 255 by default. */
  readonly preprocess?: Preprocess;
  draw(layers: Layers, image: Value, classes: number): Value;
}

/** ImageNet's mean and standard deviation, which the published CIFAR models use, too. */
export const colour: Preprocess = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/** A network from its declaration, in which `draw` adds the layers. */
export function defineNet({ draw, filler, preprocess, ...about }: Declaration): Net {
  return {
    ...about,
    make(random, { classes = about.classes } = {}) {
      const graph = new Graph("net");
      const image = graph.addInput("image", "float32", ["N", ...about.input]);
      const logits = draw(createLayers(graph, random, filler), image, classes);
      logits.name = "logits";
      graph.setOutputs([logits]);
      const model = createModel(graph, OPSET);
      if (preprocess) model.metadata.set(preprocessKey, JSON.stringify(preprocess));
      return model;
    },
  };
}
