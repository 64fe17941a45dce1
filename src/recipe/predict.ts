/** @file Predict: what a model gives for each record. */
import { errors, fail } from "../errors.ts";
import type { Tensor } from "../ir/tensor.ts";
import { infer } from "../measure/infer.ts";
import type { Environment } from "./environment.ts";
import type { Loaded } from "./load.ts";

/**
 * The outputs by name, [1, ...] each, for every record of `env.data`, in order. Throws TersorError
 * "bad-usage" without data.
 */
export async function predict(
  { source }: Loaded,
  { data, runtime, threads, signal, onEvent }: Environment,
): Promise<Readonly<Record<string, Tensor>>[]> {
  if (!data) throw fail(errors.badUsage("predict", "got no data", "Give data"));
  const session = await runtime.open(source, { threads });
  try {
    const found: Readonly<Record<string, Tensor>>[] = [];
    const batches = infer({
      ...{ session, dataset: data, batchSize: 1, signal: signal ?? undefined },
      fetch: () => undefined,
      accept: () => {},
      warn: (text) => onEvent({ type: "warning", text }),
    });
    for await (const { outputs } of batches) found.push(outputs);
    return found;
  } finally {
    await session.close();
  }
}
