/** @file Datasets for tests, made of tensors whose first axis is the record. */
import type { Dataset } from "../../src/data/dataset.ts";
import { rawTensor, type Tensor } from "../../src/ir/tensor.ts";

/** A dataset of the records in `inputs`, with their labels if `label` is given. */
export function tensorDataset(
  inputs: Record<string, Tensor>,
  label: Tensor | null = null,
  name = "test",
): Dataset {
  return {
    name,
    length: Object.values(inputs)[0].shape[0],
    classes: null,
    labelled: label !== null,
    async read(indices) {
      const take = (tensor: Tensor) => records(tensor, indices);
      return {
        inputs: Object.fromEntries(
          Object.entries(inputs).map(([key, value]) => [key, take(value)]),
        ),
        label: label && take(label),
        size: indices.length,
      };
    },
  };
}

/** The records `indices` of a tensor, in that order. */
function records(tensor: Tensor, indices: readonly number[]): Tensor {
  const bytes = tensor.bytes();
  const length = bytes.length / tensor.shape[0];
  const taken = new Uint8Array(length * indices.length);
  for (const [i, index] of indices.entries()) {
    taken.set(bytes.subarray(index * length, (index + 1) * length), i * length);
  }
  return rawTensor(tensor.dtype, [indices.length, ...tensor.shape.slice(1)], taken);
}
