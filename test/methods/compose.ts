/** @file Every method after every method: the pair must give a model that opens and runs. */
import { expect } from "vitest";
import { verify } from "../../src/ir/verify.ts";
import { type MethodId, methods } from "../../src/methods/index.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import type { Net } from "../support/nets.ts";

const ids = Object.keys(methods) as MethodId[];
export const pairs: readonly (readonly [MethodId, MethodId])[] = ids.flatMap((first) =>
  ids.filter((second) => second !== first).map((second) => [first, second] as const),
);

export async function checkPair(net: Net, first: MethodId, second: MethodId): Promise<void> {
  // The records have no labels, and `train` must not learn from its own start.
  const env = environmentOf(net, { teacher: net.model });
  const once = await apply(net.model, first, {}, env);
  const twice = await apply(once.model, second, {}, env);
  expect(verify(twice.model)).toEqual([]);
  const before = await outputsOf(once.bytes, env.feeds);
  const after = await outputsOf(twice.bytes, env.feeds);
  for (const [name, { shape }] of Object.entries(before)) {
    expect(after[name].shape).toEqual(shape);
    expect(after[name].floats().every(Number.isFinite)).toBe(true);
  }
}
