/** @file What bench/targets.ts hands to a process that times: models by case, and the engine. */
import { type Tensor, tensor } from "../src/ir/tensor.ts";
import { createRandom } from "../src/numeric/random.ts";

/** Models that compute the same, the float32 one first. */
export interface Case {
  readonly name: string;
  readonly files: readonly { readonly id: string; readonly path: string }[];
  /** Of the input x. */
  readonly shape: readonly number[];
  /** The input holds row numbers below this; else floats. */
  readonly integers: number | null;
}

export interface Job {
  readonly name: string;
  readonly engine: string;
  readonly provider: "cpu" | "wasm";
  readonly budgetMs: number;
  readonly cases: readonly Case[];
  readonly out: string;
}

/** By case, the speed of each representation over float32: above 1 is faster. */
export type Times = Record<string, Record<string, number>>;

const random = createRandom(2);

export const numbers = (size: number, scale: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: size }, () => random.normal() * scale);

/** Normal numbers, or whole ones below `integers`. */
export function inputOf(shape: readonly number[], integers: number | null): Tensor {
  const size = shape.reduce((all, dim) => all * dim, 1);
  if (integers === null) return tensor("float32", shape, numbers(size, 1));
  return tensor(
    "int64",
    shape,
    BigInt64Array.from({ length: size }, () => BigInt(random.int(integers))),
  );
}
