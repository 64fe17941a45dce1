/** @file Output shift: how far a model's outputs move when something in it changes. */
import { z } from "zod";
import type { Context, Observe, Records } from "../context.ts";
import type { Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";

/** The option `tolerance`; `all` completes its description: what a tolerance of 1 does. */
export const toleranceOption = (all: string) =>
  z
    .number()
    .min(0)
    .max(1)
    .default(0.01)
    .meta({
      description: `Largest accepted change of the outputs, |y' - y|^2 / |y|^2; 1 ${all}.`,
      search: [0.003, 0.01, 0.05],
    });

/** The model's outputs on calibration records: see `valuesOf`. */
export const outputsOf = (
  model: Model,
  records: Records,
  observe: Observe,
): Promise<Float32Array[]> => valuesOf(model, model.graph.outputs, records, observe);

/**
 * Each of these values of the model on calibration records, one record after the other in one flat
 * array per value. Records on which a value is not finite are missing from it; so are all records of a
 * value without numbers, such as a map.
 */
export async function valuesOf(
  model: Model,
  values: readonly Value[],
  records: Records,
  observe: Observe,
): Promise<Float32Array[]> {
  const columns = values.map((value) => ({
    value,
    optional: true,
    batches: [] as Float32Array[],
  }));
  const taps = columns.filter(({ value }) => !value.opaqueType && value.dtype !== "string");
  await observe(
    model,
    taps,
    // Where records were repeated to fill a batch, each is in its first part once.
    ({ batches }, batch, { share }) =>
      void batches.push(batch.floats().slice(0, Math.round(batch.size * share))),
    records,
  );
  return columns.map(({ batches }) => {
    const all = new Float32Array(batches.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const batch of batches) {
      all.set(batch, at);
      at += batch.length;
    }
    return all;
  });
}

/**
 * |y' - y|^2 / |y|^2, summed over all outputs; `expected` is y. Infinity if y' is not finite on a
 * record on which y is, or if y is finite on none.
 */
export function distance(
  expected: readonly Float32Array[],
  actual: readonly Float32Array[],
): number {
  let [error, energy] = [0, 0];
  const seen = [...expected.entries()].filter(([, batch]) => batch.length > 0);
  for (const [i, batch] of seen) {
    if (actual[i].length !== batch.length) return Number.POSITIVE_INFINITY;
    for (let k = 0; k < batch.length; k++) {
      error += (actual[i][k] - batch[k]) ** 2;
      energy += batch[k] ** 2;
    }
  }
  return seen.length > 0 ? error / (energy || 1) : Number.POSITIVE_INFINITY;
}

/**
 * A function that measures how far the outputs move, |y' - y|^2 / |y|^2, when `gone` is taken away.
 * `remove` does so in a copy of the model, whose values `twins` maps from the model's own. The
 * outputs of the unchanged model are computed once.
 */
export async function outputShiftOf<T>(
  model: Model,
  records: number,
  observe: Observe,
  remove: (copy: Model, twins: ReadonlyMap<Value, Value>, gone: readonly T[]) => unknown,
): Promise<(gone: readonly T[]) => Promise<number>> {
  const expected = await outputsOf(model, records, observe);
  return async (gone) => {
    const twins = new Map<Value, Value>();
    const copy = { ...model, graph: cloneGraph(model.graph, twins) };
    await remove(copy, twins, gone);
    return distance(expected, await outputsOf(copy, records, observe));
  };
}

/** Parts of a model that can be removed separately. */
export interface Removable<T> {
  readonly items: readonly T[];
  /** What keeping the item costs, in any unit. */
  size(item: T): number;
  /** How far the outputs move when all of `gone` are removed. */
  shiftWithout(gone: readonly T[]): Promise<number>;
}

/**
 * Removes as many items as possible while the outputs move by at most `tolerance`, with a tolerance
 * of 1 all of them. Items are ranked by the shift that each causes alone, divided by its size; a
 * bisection over this order finds how many can go together, since their shifts add up or worse.
 *
 * Returns the removed items, the shift that they cause together, and for each kept
 * item its own shift.
 */
export async function tolerated<T>(
  { items, size, shiftWithout }: Removable<T>,
  tolerance: number,
  { progress }: Pick<Context, "progress">,
): Promise<{ readonly gone: T[]; readonly moved: number; readonly kept: Map<T, number> }> {
  if (tolerance === 1)
    return { gone: [...items], moved: await shiftWithout(items), kept: new Map() };
  const alone = new Map<T, number>();
  for (const [i, item] of items.entries()) {
    alone.set(item, await shiftWithout([item]));
    await progress(i + 1, items.length);
  }
  const cost = (item: T): number => alone.get(item) ?? 0;
  const order = items.toSorted((a, b) => cost(a) / size(a) - cost(b) / size(b));
  // Bisection: `best.count` items are tolerated, `tooMany` are not.
  let best = { count: 0, moved: 0 };
  let tooMany = order.length + 1;
  while (tooMany - best.count > 1) {
    const count = (best.count + tooMany) >> 1;
    const moved = await shiftWithout(order.slice(0, count));
    if (moved <= tolerance) best = { count, moved };
    else tooMany = count;
  }
  const gone = order.slice(0, best.count);
  return {
    gone,
    moved: best.moved,
    kept: new Map(order.slice(best.count).map((x) => [x, cost(x)])),
  };
}
