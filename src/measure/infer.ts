/** @file A dataset through a session, batch by batch, in the batch size that the model takes. */
import type { Dataset } from "../data/dataset.ts";
import { errors, fail, TersorError } from "../errors.ts";
import type { Tensor } from "../ir/tensor.ts";
import type { Session } from "../runtime/runtime.ts";

export interface Inference {
  /** Records in this batch; with a fixed batch the tensors may hold more: `fed`. */
  readonly records: number;
  readonly fed: number;
  readonly label: Tensor | null;
  readonly outputs: Readonly<Record<string, Tensor>>;
}

export interface InferOptions {
  readonly session: Pick<Session, "inputs" | "run">;
  readonly dataset: Dataset;
  readonly batchSize: number;
  readonly signal?: AbortSignal | undefined;
  /** Outputs wanted, asked before every run; undefined is all. */
  fetch(): readonly string[] | undefined;
  /** Throws when the outputs are not one row per record. */
  accept(inference: Inference): void;
  warn(text: string): void;
}

/**
 * A model of fixed batch gets that batch, the last one filled up with its last record. Some exports
 * declare a free batch axis and fix it inside: when the first batch fails or mixes records, the
 * dataset goes through one by one.
 */
export async function* infer(options: InferOptions): AsyncGenerator<Inference> {
  const { session, dataset, signal, accept, warn } = options;
  const fixed = fixedBatch(session, Object.keys((await dataset.read([0])).inputs));
  let trouble: unknown = null;
  let size = fixed ?? Math.max(1, Math.min(options.batchSize, dataset.length));
  for (let first = 0; first < dataset.length; ) {
    if (signal?.aborted) throw fail(errors.aborted(dataset.name));
    const records = Math.min(size, dataset.length - first);
    const fed = fixed ?? records;
    const { inputs, label } = await dataset.read(
      Array.from({ length: fed }, (_, i) => first + Math.min(i, records - 1)),
    );
    // A compressed model may have lost an input that nothing read.
    const known = session.inputs.filter(({ name }) => inputs[name]);
    const feeds = Object.fromEntries(known.map(({ name }) => [name, inputs[name]]));
    try {
      const outputs = await session.run(feeds, options.fetch());
      const inference = { records, fed, label, outputs };
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

/** The number that leads the first input fed, null when that axis is free. */
function fixedBatch(session: Pick<Session, "inputs">, fed: readonly string[]): number | null {
  const port = session.inputs.find(({ name, dims }) => fed.includes(name) && dims.length > 0);
  const batch = port?.dims[0];
  return typeof batch === "number" && batch > 0 ? batch : null;
}

function isBatchTrouble(error: unknown): boolean {
  const codes = ["run-failed", "records-mixed", "label-mismatch"];
  return error instanceof TersorError && codes.includes(error.code);
}
