/** @file A real model, simplified, pruned and run beside what it was. */
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { Model } from "../../src/ir/model.ts";
import type { Tensor } from "../../src/ir/tensor.ts";
import { verify } from "../../src/ir/verify.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { costModel } from "../../src/ops/cost.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { simplify } from "../../src/recipe/trial.ts";
import { type Applied, apply, environmentOf, outputsOf } from "../support/apply.ts";
import { nets } from "../support/nets.ts";
import { feedsOf, type RealModel } from "../support/real-models.ts";

const bytesOf = (model: Model): Uint8Array => concat(writeModel(model));

interface Pruned {
  readonly start: Model;
  readonly result: Applied;
  readonly expected: Record<string, Tensor>;
  readonly actual: Record<string, Tensor>;
  /** Of the original's. */
  readonly macs: number;
  readonly size: number;
}

export async function pruneReal(
  { name, path, shapes }: RealModel,
  options: Record<string, unknown>,
): Promise<Pruned> {
  const model = readModel(readFileSync(path as string), { name });
  inferModel(model);
  const start = simplify(model);
  inferModel(start);
  const env = environmentOf(nets[0], { calibration: null });
  const result = await apply(start, "prune-channels", options, env);
  expect(verify(result.model)).toEqual([]);
  const feeds = feedsOf(shapes.at(-1) ?? {});
  const [expected, actual] = [
    await outputsOf(bytesOf(start), feeds),
    await outputsOf(result.bytes, feeds),
  ];
  for (const [output, { shape }] of Object.entries(expected)) {
    expect(actual[output].shape).toEqual(shape);
    expect(actual[output].floats().every(Number.isFinite)).toBe(true);
  }
  const macs = (of: Model): number => Number(costModel(of, { dims: shapes[0] }).macs);
  return {
    start,
    result,
    expected,
    actual,
    macs: macs(result.model) / macs(start),
    size: result.bytes.length / bytesOf(start).length,
  };
}
