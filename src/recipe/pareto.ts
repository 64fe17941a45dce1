/** @file Pareto front: the rows that nothing else beats in size, speed and quality at once. */
import type { Result } from "../measure/measurement.ts";

/** Rows in which smaller is better on every axis; what was not measured counts as equal. */
function costs({ bytes, delta, metric }: Result): readonly number[] {
  const quality = metric?.drop ?? metric?.flips ?? (metric?.sqnr == null ? 0 : -metric.sqnr);
  return [bytes.brotli ?? bytes.raw, delta.infer === null ? 0 : -delta.infer, quality];
}

/** Recipes on the front, in the order of the results. */
export function paretoOf(results: readonly Result[]): string[] {
  const rows = results.map((result) => ({ recipe: result.recipe, costs: costs(result) }));
  const beats = (a: readonly number[], b: readonly number[]): boolean =>
    a.every((x, i) => x <= b[i]) && a.some((x, i) => x < b[i]);
  return rows
    .filter(({ costs }) => !rows.some((other) => beats(other.costs, costs)))
    .map(({ recipe }) => recipe);
}
