/** @file Where a recipe's error arises: each layer's output beside the original's, by value name. */
import { TersorError } from "../errors.ts";
import { cloneModel, type Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { sqnr } from "../numeric/similarity.ts";
import { concat, writeModel } from "../onnx/write.ts";
import { inferModel } from "../ops/infer.ts";
import { weightsOf } from "../ops/weights.ts";
import type { Feeds } from "../runtime/runtime.ts";
import { batchOf } from "./assess.ts";
import type { Environment } from "./environment.ts";

/** Signal to quantization noise of each layer's output, dB; Infinity or null: nothing changed. */
export interface LayerErrors {
  readonly recipe: string;
  readonly layers: readonly { readonly name: string; readonly sqnr: number | null }[];
}

/** Records compared: enough for a picture, and few enough that all outputs fit into memory. */
const records = 8;

/** Compares versions of `start` with it; layers whose output a version no longer has are left out. */
export async function createLayerErrors(start: Model, env: Environment) {
  const layers = weightsOf(start)
    .filter(({ node }) => node.graph === start.graph)
    .map(({ node }) => ({ name: node.name, output: node.output.name }));
  const feeds = await someFeeds(env);
  const expected = await outputsOf(start, new Set(layers.map(({ output }) => output)), feeds, env);
  return async (recipe: string, model: Model): Promise<LayerErrors> => {
    const actual = await outputsOf(model, new Set(Object.keys(expected)), feeds, env);
    return {
      recipe,
      layers: layers.flatMap(({ name, output }) => {
        const [before, after] = [expected[output], actual[output]];
        if (!before || !after || before.size !== after.size) return [];
        return [{ name, sqnr: sqnr(before.floats(), after.floats()) }];
      }),
    };
  };
}

/** A few records at once where the model takes them, else what it is timed on. */
async function someFeeds(env: Environment): Promise<Feeds> {
  const { data, calibration, feeds } = env;
  const source = calibration ?? data;
  if (!source || batchOf(feeds) !== 1) return feeds;
  const count = Math.min(records, source.length);
  return (await source.read(Array.from({ length: count }, (_, i) => i))).inputs;
}

/** The named values of the main graph; nothing where no engine gives them. */
async function outputsOf(
  model: Model,
  names: ReadonlySet<string>,
  feeds: Feeds,
  env: Environment,
): Promise<Readonly<Record<string, Tensor>>> {
  const copy = cloneModel(model);
  inferModel(copy);
  const values = [...copy.graph.nodes]
    .flatMap(({ outputs }) => outputs)
    .filter((value) => names.has(value.name) && value.dtype?.includes("float"));
  if (values.length === 0) return {};
  copy.graph.setOutputs(values);
  try {
    const source = { bytes: concat(writeModel(copy)) };
    const session = await env.runtime.open(source, { threads: env.threads });
    try {
      return await session.run(feeds);
    } finally {
      await session.close();
    }
  } catch (cause) {
    if (cause instanceof TersorError) return {}; // a picture less is no reason to fail
    throw cause;
  }
}
