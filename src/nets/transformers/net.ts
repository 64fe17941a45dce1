/** @file TransformerNet: a small transformer as the files of a folder that transformers.js loads. */
import type { z } from "zod";
import { Graph } from "../../ir/graph.ts";
import { createModel, type Model } from "../../ir/model.ts";
import type { Random } from "../../numeric/random.ts";
import { OPSET } from "../../onnx/upgrade.ts";
import { type Blocks, createBlocks } from "./blocks.ts";

/** The JSON files beside the models, by name. */
export type JsonFiles = Readonly<Record<string, unknown>>;

export interface TransformerNet {
  readonly title: string;
  readonly cite: string;
  readonly options: z.ZodObject;
  /** The models by the names that transformers.js gives them: model, encoder_model ... */
  make(
    random: Random,
    options?: Readonly<Record<string, unknown>>,
  ): Readonly<Record<string, Model>>;
  /** config.json, tokenizer.json and others that the library reads. */
  files(options?: Readonly<Record<string, unknown>>): JsonFiles;
}

/** What a network's file declares: a function that draws each model, and the files beside them. */
interface Declaration<S extends z.ZodRawShape> {
  readonly title: string;
  readonly cite: string;
  readonly options: z.ZodObject<S>;
  readonly models: Readonly<
    Record<string, (blocks: Blocks, options: z.output<z.ZodObject<S>>) => void>
  >;
  files(options: z.output<z.ZodObject<S>>): JsonFiles;
}

export function defineTransformer<S extends z.ZodRawShape>({
  models,
  files,
  ...about
}: Declaration<S>): TransformerNet {
  return {
    ...about,
    make(random, given = {}) {
      const options = about.options.parse(given);
      return Object.fromEntries(
        Object.entries(models).map(([name, draw]) => {
          const graph = new Graph(name);
          draw(createBlocks(graph, random.fork(name)), options);
          return [name, createModel(graph, OPSET)];
        }),
      );
    },
    files: (given = {}) => files(about.options.parse(given)),
  };
}
