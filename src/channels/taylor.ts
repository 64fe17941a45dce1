/** @file Taylor criterion: how much the network's outputs depend on each channel, by gradients. */

import type { Context } from "../context.ts";
import { probe } from "../evidence/curvature.ts";
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { readWeight } from "../weights/read.ts";
import { type Candidate, eachElement, type Part } from "./candidates.ts";

/** Largest number of records; each takes one backward pass. */
const RECORDS = 128;

/**
 * With a gate g_u = 1 on every unit, score_u = E (d(r . y) / d g_u)^2 over random vectors r: how
 * much the outputs y move, to first order, when the gate closes. Labels are not needed.
 *
 * The derivative is the sum of w dL/dw over the weights that read the unit, over all its readers
 * (Molchanov et al. 2019, arXiv 1906.10771, with r . y in place of the loss). `most` limits the
 * number of records. A group that no weight with a gradient reads gets a reason.
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
  let passes = 0;
  const finish = (): void => {
    passes++;
    for (const [i, gate] of gates.entries()) {
      for (let unit = 0; unit < gate.length; unit++) scores[i][unit] += gate[unit] ** 2;
      gate.fill(0);
    }
  };
  let first: number | null = null;
  await probe(model, sites, records, context, (site, gradient) => {
    // Gradients come site by site, record by record: at the first site a new record begins.
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
    isRead.has(i)
      ? score.map((sum) => sum / passes)
      : "is read by no weight that has a gradient: try criterion=group-l2",
  );
}
