/** @file Runs a dataset through a session in batches of a size that the model accepts. */
import { type Dataset, fixedRecords } from "../data/dataset.ts";
import { errors, fail, TersorError } from "../errors.ts";
import type { Tensor } from "../ir/tensor.ts";
import type { Session } from "../runtime/runtime.ts";

/** The outputs of one batch. */
export interface Inference {
  /** Records in this batch. */
  readonly records: number;
  /** Records that were fed; more than `records` where a fixed batch had to be filled up. */
  readonly fed: number;
  /** Labels of the fed records. */
  readonly label: Tensor | null;
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly outputs: Readonly<Record<string, Tensor>>;
}

/** The model, the records, and callbacks for each batch. */
export interface InferOptions {
  readonly session: Pick<Session, "inputs" | "run">;
  readonly dataset: Dataset;
  readonly batchSize: number;
  readonly signal?: AbortSignal | undefined;
  /** Names of the outputs to compute, asked before each run; undefined for all. */
  fetch(): readonly string[] | undefined;
  /** Called with each batch first; throws TersorError if the outputs are not one row per record. */
  accept(inference: Inference): void;
  /** Called with a sentence for the user if the batch size had to be reduced to 1. */
  warn(text: string): void;
}

/**
 * Yields the outputs of the whole dataset in order. A model with a fixed batch size is fed that
 * many records; the last batch is filled up by repeating its last record. Some exported models
 * declare a free batch axis but fix its size inside the graph: if the first batch fails or mixes
 * records, the dataset is run one record at a time. Throws TersorError "aborted" and what the
 * session, the dataset and `accept` throw.
 */
export async function* infer(options: InferOptions): AsyncGenerator<Inference> {
  const { session, dataset, signal, accept, warn } = options;
  const { inputs: fed } = await dataset.read([0]);
  const fixed = fixedRecords(
    dataset,
    session.inputs.filter(({ name }) => Object.hasOwn(fed, name)),
  );
  let trouble: unknown = null;
  let size = fixed ?? Math.max(1, Math.min(options.batchSize, dataset.length));
  for (let first = 0; first < dataset.length; ) {
    if (signal?.aborted) throw fail(errors.aborted(dataset.name));
    const records = Math.min(size, dataset.length - first);
    const fed = fixed ?? records;
    const { inputs, label } = await dataset.read(
      Array.from({ length: fed }, (_, i) => first + Math.min(i, records - 1)),
    );
    // A compressed model may lack an input of the dataset, because nothing in it read that input.
    const known = session.inputs.filter(({ name }) => Object.hasOwn(inputs, name));
    const feeds = Object.fromEntries(known.map(({ name }) => [name, inputs[name]]));
    try {
      const outputs = await session.run(feeds, options.fetch());
      const inference = { records, fed, label, inputs: feeds, outputs };
      accept(inference);
      yield inference;
    } catch (error) {
      if (first > 0 || fixed !== null || size === 1 || !isBatchTrouble(error)) {
        throw first > 0 ? error : (trouble ?? error);
      }
      trouble = error;
      size = 1;
      continue;
    }
    if (first === 0 && trouble) {
      warn("the model takes one record at a time, though its batch axis is free");
    }
    first += records;
  }
}

/** Whether the error may come from a batch size that the model does not accept. */
function isBatchTrouble(error: unknown): boolean {
  const codes = ["run-failed", "records-mixed", "label-mismatch", "metric-mismatch"];
  return error instanceof TersorError && codes.includes(error.code);
}
