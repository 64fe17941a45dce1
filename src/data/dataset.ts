/** @file Dataset: batches with or without labels, shaped for the inputs of one model. */
import type { Tensor } from "../ir/tensor.ts";
import { fixedBatch, type Port } from "../runtime/runtime.ts";

/**
 * Some records. `inputs` are by name, with the batch as first axis, but for `Dataset.axes`. `label`
 * has class indices [N] or a target tensor.
 */
export interface Batch {
  readonly inputs: Readonly<Record<string, Tensor>>;
  /** How long each record is, where shorter ones are padded. */
  readonly lengths?: readonly number[];
  readonly label: Tensor | null;
  readonly size: number;
}

/** How images lie in an input. A flat input has the same order. */
export interface ImageLayout {
  readonly input: string;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly layout: "nchw" | "nhwc";
  /** The value of a black pixel in each channel: (0 - mean) / std. */
  readonly black: readonly number[];
}

/** A part of an image: upper left corner and size, as shares of the image's height and width. */
export interface Window {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

/** Records with random access, so that splits, shuffles and epochs need no copies. */
export interface Dataset {
  /** The name that the user gave, such as "mnist:test". */
  readonly name: string;
  readonly length: number;
  /** The class names in the order of the indices, where the source has them. */
  readonly classes: readonly string[] | null;
  readonly labelled: boolean;
  /**
   * The class of every record, where that is known without reading inputs. Splits use it
   * to balance classes.
   */
  readonly labels?: Int32Array | null;
  /** The input that holds images, and their layout, where records are made of images. */
  readonly images?: ImageLayout | null;
  /**
   * The number of each record in its source, counted from 0, for messages; where it is missing, that
   * is the index.
   */
  readonly numbers?: ArrayLike<number>;
  /**
   * The axis along which the records of an input lie, where it is not the first; null for an input
   * that is the same for all records of a batch.
   */
  readonly axes?: ReadonlyMap<string, number | null>;
  /** Records are read one at a time, because some input holds one value for a whole batch. */
  readonly isSingle?: boolean;
  /** What the user should know of the records, such as which were left out. */
  readonly warnings?: readonly string[];
  /** Reads the records of these indices, in their order, as one batch. */
  read(indices: readonly number[]): Promise<Batch>;
  /**
   * Reads a window of each record, stretched to the input's size, from all pixels that its picture
   * has.
   */
  readWindows?(indices: readonly number[], windows: readonly Window[]): Promise<Batch>;
  /**
   * Where batches are padded to their own longest record: the same records, all padded to the longest
   * of the dataset, so that every batch has one shape.
   */
  even?(): Promise<Dataset>;
}

/** The number that the record of this index has in its source, counted from 0. */
export const numberOf = ({ numbers }: Dataset, index: number): number => numbers?.[index] ?? index;

/** A record for messages: the name of the data and its number there, from 0. */
export const recordName = (dataset: Dataset, index: number): string =>
  `${dataset.name}, record ${numberOf(dataset, index)}`;

/** How many records a run takes: 1, or what a model with these inputs fixes; null if it is free. */
export const fixedRecords = (
  { isSingle, axes }: Pick<Dataset, "isSingle" | "axes">,
  ports: readonly Port[],
): number | null => (isSingle ? 1 : fixedBatch(ports, axes));

/** Batches of `size` records in order; the last one may have fewer. */
export async function* batches(dataset: Dataset, size: number): AsyncGenerator<Batch> {
  for (let start = 0; start < dataset.length; start += size) {
    const count = Math.min(size, dataset.length - start);
    yield await dataset.read(Array.from({ length: count }, (_, i) => start + i));
  }
}

/** The records of these indices as a dataset. */
export function subset(dataset: Dataset, indices: readonly number[], name = dataset.name): Dataset {
  const { labels } = dataset;
  const own = (wanted: readonly number[]) => wanted.map((i) => indices[i]);
  return {
    ...dataset,
    name,
    length: indices.length,
    labels: labels ? Int32Array.from(indices, (i) => labels[i]) : null,
    numbers: Uint32Array.from(indices, (i) => numberOf(dataset, i)),
    read: (wanted) => dataset.read(own(wanted)),
    ...(dataset.readWindows && {
      readWindows: (wanted, windows) => dataset.readWindows!(own(wanted), windows),
    }),
    ...(dataset.even && { even: async () => subset(await dataset.even!(), indices, name) }),
  };
}
