/** @file Net: a benchmark network of the survey, and how one is declared. */
import { z } from "zod";
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
  /** Its options, which follow its name: net:vgg-small?classes=100&width=32. */
  readonly options: z.ZodObject;
  /**
   * The untrained network, with the input `image` [N, ...input] and the output `logits` [N,
   * classes]. The same generator gives the same bytes. Weights are drawn when they are first read.
   */
  make(random: Random, options?: Readonly<Record<string, unknown>>): Model;
}

/** What a network's file declares. Every network has the option `classes`. */
interface Declaration<S extends z.ZodRawShape> extends Omit<Net, "make" | "options"> {
  readonly filler?: Filler;
  /** What the input expects of pixels; x / 255 by default. */
  readonly preprocess?: Preprocess;
  readonly options?: S;
  draw(layers: Layers, image: Value, classes: number, options: z.output<z.ZodObject<S>>): Value;
}

/** ImageNet's mean and standard deviation, which the published CIFAR models use, too. */
export const colour: Preprocess = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/** A network from its declaration, in which `draw` adds the layers. */
export function defineNet<S extends z.ZodRawShape = Record<never, never>>(
  declaration: Declaration<S>,
): Net {
  const { draw, filler, preprocess, options, ...about } = declaration;
  const classes = z
    .int()
    .min(1)
    .max(1e6)
    .default(about.classes)
    .meta({ description: "How many classes are told apart." });
  const schema = z.object({ classes, ...options });
  return {
    ...about,
    options: schema,
    make(random, given = {}) {
      const values = schema.parse(given);
      const { classes } = values as unknown as { classes: number };
      const graph = new Graph("net");
      const image = graph.addInput("image", "float32", ["N", ...about.input]);
      const layers = createLayers(graph, random, filler);
      const logits = draw(layers, image, classes, values as unknown as z.output<z.ZodObject<S>>);
      logits.name = "logits";
      graph.setOutputs([logits]);
      const model = createModel(graph, OPSET);
      if (preprocess) model.metadata.set(preprocessKey, JSON.stringify(preprocess));
      return model;
    },
  };
}
