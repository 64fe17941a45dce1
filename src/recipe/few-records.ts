/** @file A few records of a dataset, kept in memory for work that reads them again and again. */
import type { Batch, Dataset } from "../data/dataset.ts";
import { splitDataset } from "../data/split.ts";

/** Records are kept in memory up to this many bytes. */
const keptBytes = 2 ** 28;

/** A seeded part of the records, of at most `count`, kept in memory as far as there is room. */
export const fewRecords = (all: Dataset, count: number, seed: number): Dataset =>
  remembered(part(all, count, seed));

function part(all: Dataset, count: number, seed: number): Dataset {
  return all.length <= count ? all : splitDataset(all, { count, seed }).calibration;
}

/** The dataset with its batches kept in memory, as far as there is room. */
function remembered(dataset: Dataset): Dataset {
  const kept = new Map<string, Batch>();
  let room = keptBytes;
  return {
    ...dataset,
    async read(indices) {
      const key = indices.join();
      const known = kept.get(key);
      if (known) return known;
      const batch = await dataset.read(indices);
      for (const { byteLength } of Object.values(batch.inputs)) room -= byteLength;
      if (room >= 0) kept.set(key, batch);
      return batch;
    },
  };
}
