/** @file Net: a benchmark network of the survey, and how one is declared. */
import { type Preprocess, preprocessKey } from "../data/options.ts";
import { Graph, type Value } from "../ir/graph.ts";
import { createModel, type Model } from "../ir/model.ts";
import type { Random } from "../numeric/random.ts";
import { OPSET } from "../onnx/upgrade.ts";
import { createLayers, type Filler, type Layers } from "./layers.ts";

export interface Net {
  readonly title: string;
  readonly cite: string;
  /** One record: channels, height, width. */
  readonly input: readonly [number, number, number];
  readonly classes: number;
  /**
   * The untrained network: `image` [N,...input] -> `logits` [N,classes]. The same generator gives the
   * same bytes. Weights are drawn when they are first read.
   */
  make(random: Random, options?: { readonly classes?: number }): Model;
}

interface Declaration extends Omit<Net, "make"> {
  readonly filler?: Filler;
  /** What its input expects of pixels; the default is x / 255. */
  readonly preprocess?: Preprocess;
  draw(layers: Layers, image: Value, classes: number): Value;
}

/** ImageNet's statistics, which the published CIFAR models take, too. */
export const colour: Preprocess = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

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
