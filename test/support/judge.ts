/** @file Judges of metrics of the table, fed with plain arrays in the place of a model's outputs. */
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { metricNamed } from "../../src/measure/metrics/index.ts";
import type { Batch, Fit, Numbers, Output, Outputs } from "../../src/measure/metrics/spec.ts";
import { product } from "../../src/util/product.ts";

/** A tensor of zeros: only its type and shape are looked at. */
export const floats = (shape: number[], values?: readonly number[]): Tensor =>
  tensor("float32", shape, values ?? new Float32Array(product(shape)));
export const ints = (shape: number[], values?: readonly number[]): Tensor =>
  tensor("int64", shape, values ?? new Array(product(shape)).fill(0));

/** How a metric judges outputs and labels of one record; a text says why it cannot. */
export const fitOf = (
  metric: string,
  outputs: Batch["outputs"],
  label: Tensor | null = null,
  inputs: Batch["inputs"] = {},
): Fit | string => metricNamed(metric, "test").fits({ records: 1, label, outputs, inputs });

/** Numbers of one record: [values, shape], or a row. */
export type Plain = Numbers | readonly number[] | readonly [readonly number[], readonly number[]];

/** A record's numbers as an output; a plain list is one row. */
export function outputOf(plain: Plain): Output {
  if (Array.isArray(plain) && Array.isArray(plain[0])) {
    const [values, shape] = plain as unknown as readonly [readonly number[], readonly number[]];
    return { values: Float64Array.from(values), shape };
  }
  const values = Float64Array.from(plain as ArrayLike<number>);
  return { values, shape: [values.length] };
}

/** A judge for a first batch like this one; `add` takes the first output alone, or all by name. */
export function judgeOf(
  metric: string,
  outputs: Batch["outputs"],
  label: Tensor | null = null,
  inputs: Batch["inputs"] = {},
) {
  const fit = fitOf(metric, outputs, label, inputs);
  if (typeof fit === "string") throw new Error(fit);
  const judge = fit.judge();
  const named = (plain: Plain | Record<string, Plain> | null): Outputs | null => {
    if (plain === null) return null;
    if (Array.isArray(plain) || ArrayBuffer.isView(plain)) {
      return { [fit.outputs[0]]: outputOf(plain as Plain) };
    }
    return Object.fromEntries(
      Object.entries(plain as Record<string, Plain>).map(([name, own]) => [name, outputOf(own)]),
    );
  };
  return {
    fit,
    add: (
      own: Plain | Record<string, Plain>,
      label: Plain | null,
      original: Plain | Record<string, Plain> | null,
    ): boolean =>
      judge.add({
        outputs: named(own)!,
        label: label && outputOf(label),
        original: named(original),
        where: "record",
      }),
    finish: () => judge.finish(),
  };
}
