/** @file Dataset: labelled or unlabelled batches shaped for one model's inputs. */
import type { Tensor } from "../ir/tensor.ts";

/** Inputs by name with a leading batch axis; label likewise (class index [N], or a target tensor). */
export interface Batch {
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly label: Tensor | null;
  readonly size: number;
}

/** How images lie in an input; a flat input is in this order, too. */
export interface ImageLayout {
  readonly input: string;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly layout: "nchw" | "nhwc";
  /** What a black pixel is in each channel: (0 - mean) / std. */
  readonly black: readonly number[];
}

/** A part of an image as shares of its sides: where it begins and how far it reaches. */
export interface Window {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

/** Random access, so that splits, shuffles and several epochs need no copy. */
export interface Dataset {
  /** As the user named it, e.g. "mnist:test". */
  readonly name: string;
  readonly length: number;
  /** Class names in index order, when the source has them. */
  readonly classes: readonly string[] | null;
  readonly labelled: boolean;
  /** Class index of every record where that is known without reading inputs: balanced splits. */
  readonly labels?: Int32Array | null;
  /** Which input holds images, and how, where records are made of images. */
  readonly images?: ImageLayout | null;
  /** Reads the given records, in that order, as one batch. */
  read(indices: readonly number[]): Promise<Batch>;
  /** Of each record only a window, stretched to the input: made of all the pixels that its picture has. */
  readWindows?(indices: readonly number[], windows: readonly Window[]): Promise<Batch>;
}

/** Batches of at most `size` in order; the last may be smaller. */
export async function* batches(dataset: Dataset, size: number): AsyncGenerator<Batch> {
  for (let start = 0; start < dataset.length; start += size) {
    const count = Math.min(size, dataset.length - start);
    yield await dataset.read(Array.from({ length: count }, (_, i) => start + i));
  }
}

/** The records named by `indices`, as a dataset of its own. */
export function subset(dataset: Dataset, indices: readonly number[], name = dataset.name): Dataset {
  const { labels } = dataset;
  const own = (wanted: readonly number[]) => wanted.map((i) => indices[i]);
  return {
    ...dataset,
    name,
    length: indices.length,
    labels: labels ? Int32Array.from(indices, (i) => labels[i]) : null,
    read: (wanted) => dataset.read(own(wanted)),
    ...(dataset.readWindows && {
      readWindows: (wanted, windows) => dataset.readWindows!(own(wanted), windows),
    }),
  };
}
