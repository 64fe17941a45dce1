/** @file Chunks: the parts of a batch, which engines compute side by side, and their mean. */
import { type Tensor, tensor } from "../ir/tensor.ts";
import { mergeStatistics } from "./batch-norm.ts";
import { ports, type StepGraph } from "./step.ts";

export type Feeds = Readonly<Record<string, Tensor>>;

/** The part of a batch that one run of the step graph takes. */
export interface Chunk {
  /** The inputs of the step graph, except the parameters. */
  readonly feeds: Feeds;
  readonly records: number;
  /** The rows (records or tokens) over which its loss is the mean; ignored ones do not count. */
  readonly rows: number;
}

/** Runs a step graph: a session of an engine, perhaps in a thread of its own. */
export interface StepSession {
  /** `records` is the number of records in the feeds; the graph is made for just as many. */
  run(feeds: Feeds, records: number): Promise<Record<string, Tensor>>;
}

/**
 * The records of a batch in chunks of `micro`, of which the last may be smaller: the batch is not
 * rounded to whole chunks.
 */
export function chunksOf<T>(records: readonly T[], micro: number): readonly T[][] {
  const count = Math.ceil(records.length / micro);
  return Array.from({ length: count }, (_, i) => records.slice(i * micro, (i + 1) * micro));
}

/**
 * Loss, gradient [P] and batch statistics of a whole batch, from its chunks. The loss and the
 * gradient are means over all rows of the batch, so a chunk counts by its rows; the statistics are
 * those of all records together. `rows` is the number of rows.
 *
 * Chunks are distributed over the sessions in turn; their results are added in the order of chunks,
 * so that the sum does not depend on which session finishes first.
 */
export async function gradientOf(
  sessions: readonly StepSession[],
  chunks: readonly Chunk[],
  vector: Float32Array,
  { statistics: layers }: Pick<StepGraph, "statistics">,
) {
  const parameters = tensor("float32", [vector.length], vector);
  const lanes = sessions.map(async (session, lane) => {
    const results: Record<string, Tensor>[] = [];
    for (let i = lane; i < chunks.length; i += sessions.length) {
      const { feeds, records } = chunks[i];
      results.push(await session.run({ ...feeds, [ports.parameters]: parameters }, records));
    }
    return results;
  });
  const results = await Promise.all(lanes);
  const parts = chunks.map((_, i) => results[i % sessions.length][Math.floor(i / sessions.length)]);
  const rows = chunks.reduce((sum, chunk) => sum + chunk.rows, 0);
  const records = chunks.reduce((sum, chunk) => sum + chunk.records, 0);
  // A batch of which every row is ignored has a loss of 0, but the method's penalty still counts.
  const shares = chunks.map((own) => (rows > 0 ? own.rows / rows : own.records / records));
  return {
    rows,
    loss: parts.reduce((sum, part, i) => sum + shares[i] * part[ports.loss].floats()[0], 0),
    gradient: weightedSum(
      parts.map((part) => part[ports.gradient].floats()),
      shares,
    ),
    statistics: mergeStatistics(
      parts.map((part) => part[ports.statistics]?.floats() ?? new Float32Array()),
      chunks.map((own) => own.records / records),
      layers,
    ),
  };
}

/** The sum of share * vector, written into the first vector. */
function weightedSum(vectors: readonly Float32Array[], shares: readonly number[]): Float32Array {
  const [sum, ...others] = vectors;
  if (others.length === 0) return sum;
  for (let i = 0; i < sum.length; i++) sum[i] *= shares[0];
  for (const [k, other] of others.entries()) {
    for (let i = 0; i < sum.length; i++) sum[i] += shares[k + 1] * other[i];
  }
  return sum;
}
