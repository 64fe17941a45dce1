/** @file Taylor: how much the network's outputs feel each channel, by their gradients. */

import type { Context } from "../context.ts";
import { probe } from "../evidence/curvature.ts";
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { readWeight } from "../weights/read.ts";
import { type Candidate, eachElement, type Part } from "./candidates.ts";

/** Records whose gradients are looked at: one pass back for each. */
const RECORDS = 128;

/**
 * With a gate of 1 on every unit, E (d(r . y) / d gate)^2 for random r: what closing the gate moves
 * the outputs, to first order, and without labels. The derivative is the sum of w dL/dw over the
 * weights that read the unit, all its readers together (Molchanov et al. 2019, arXiv 1906.10771, with
 * the outputs in the loss's place).
 */
export async function scoreTaylor(
  candidates: readonly Candidate[],
  model: Model,
  context: Context,
  most: number,
): Promise<(Float64Array | string)[]> {
  const records = Math.min(RECORDS, most);
  const values = new Map<Value, number>();
  const sites: { value: Value; weight: NonNullable<ReturnType<typeof readWeight>> }[] = [];
  const readers: { candidate: number; part: Part }[][] = [];
  for (const [candidate, { readers: all }] of candidates.entries()) {
    for (const { part } of all) {
      const weight = part && readWeight(part.use.value);
      if (!part || !weight) continue;
      const { value } = part.use;
      const site = values.get(value) ?? sites.push({ value, weight }) - 1;
      values.set(value, site);
      readers[site] = [...(readers[site] ?? []), { candidate, part }];
    }
  }
  const gates = candidates.map(({ group }) => new Float64Array(group.units.length));
  const scores = gates.map(({ length }) => new Float64Array(length));
  const isRead = new Set<number>();
  const finish = (): void => {
    for (const [i, gate] of gates.entries()) {
      for (let unit = 0; unit < gate.length; unit++) scores[i][unit] += gate[unit] ** 2 / records;
      gate.fill(0);
    }
  };
  let first: number | null = null;
  await probe(model, sites, records, context, (site, gradient) => {
    // The next record begins where the first did.
    if (site === first) finish();
    first ??= site;
    const { values: weights } = sites[site].weight;
    for (const { candidate, part } of readers[site]) {
      isRead.add(candidate);
      const gate = gates[candidate];
      for (let unit = 0; unit < gate.length; unit++) {
        eachElement(part, part.indices(unit), (at) => {
          gate[unit] += weights[at] * gradient[at];
        });
      }
    }
  });
  finish();
  return scores.map((score, i) =>
    isRead.has(i) ? score : "is read by no weight that has a gradient: try criterion=l2",
  );
}
