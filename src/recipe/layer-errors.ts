/** @file The error of a compressed model per layer: each output beside the original's. */
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

/**
 * Signal-to-quantization-noise ratio of each layer's output, in dB, in network order. It is
 * Infinity where the output did not change (null after a round trip through JSON, which has no
 * Infinity).
 */
export interface LayerErrors {
  readonly recipe: string;
  readonly layers: readonly { readonly name: string; readonly sqnr: number | null }[];
}

/** Records that are compared; few, because the outputs of all layers are in memory at once. */
const records = 8;

/**
 * Runs `start` on a few records and returns a function that compares a version of it with that.
 * Layers are found by the name of their output; a layer that the version no longer has is left out.
 * The list is empty without records, because the error on random inputs says nothing, and if the
 * engine cannot run one of the two models with inner outputs.
 */
export async function createLayerErrors(start: Model, env: Environment) {
  const { data, calibration } = env;
  if (!data && !calibration) return async (recipe: string) => ({ recipe, layers: [] });
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

/** A few records in one batch, or `env.feeds`, which are records too, where the batch is fixed. */
async function someFeeds({ data, calibration, feeds }: Environment): Promise<Feeds> {
  const source = calibration ?? data;
  if (!source || batchOf(feeds) !== 1) return feeds;
  const count = Math.min(records, source.length);
  return (await source.read(Array.from({ length: count }, (_, i) => i))).inputs;
}

/**
 * Runs a copy of the model whose outputs are the `names` that are floating-point values of its main
 * graph. Resolves with no values if the engine fails, because this comparison is only a diagnosis.
 */
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
    if (cause instanceof TersorError) return {}; // the survey goes on without this plot
    throw cause;
  }
}
