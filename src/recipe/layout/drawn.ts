/** @file Drawn inputs as records: what methods calibrate on and outputs are compared on without data. */
import type { Dataset } from "../../data/dataset.ts";
import { feedingOf } from "../../data/feed.ts";
import type { Feeds } from "../../runtime/runtime.ts";
import type { Environment } from "../environment.ts";
import type { Loaded } from "../load.ts";
import type { Settings } from "../prepare.ts";
import { sampleFeeds } from "../sample.ts";

/** `count` records of random inputs that the model runs with, each of its own seed. */
export async function drawnRecords(
  { model, source }: Loaded,
  { runtime, threads, seed }: Pick<Environment, "runtime" | "threads" | "seed">,
  { dims, input }: Pick<Settings, "dims" | "input">,
  count: number,
): Promise<Dataset> {
  const session = await runtime.open(source, { threads });
  const records: Feeds[] = [];
  try {
    for (let i = 0; i < count; i++) {
      const options = { data: null, seed: seed + i, feeding: feedingOf(input) };
      records.push(await sampleFeeds(session, model, { ...options, ...(dims && { dims }) }));
    }
  } finally {
    await session.close();
  }
  return {
    ...{ name: "drawn inputs", length: count, classes: null, labelled: false, isSingle: true },
    read: async ([index]) => ({ inputs: records[index], label: null, size: 1 }),
  };
}

/**
 * Sizes with which a decoder with a cache is timed: one word at a time, as it runs but for its first
 * step. None for other models, and none where the user gave that size.
 */
export function oneWord({ model }: Loaded): Record<string, number> {
  const { inputs } = model.graph;
  if (!inputs.some(({ name }) => name.startsWith("past_key_values."))) return {};
  const ids = inputs.find(({ name }) => name === "input_ids");
  const axis = ids?.shape?.[1];
  return typeof axis === "string" ? { [axis]: 1 } : {};
}
