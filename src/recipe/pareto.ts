/** @file Pareto front: the rows that no other row beats in size, speed and quality at once. */
import type { Result } from "../measure/measurement.ts";

/**
 * [bytes, -speed-up, loss of quality]: smaller is better on each axis. Bytes are brotli's where
 * measured; the loss is the drop, else the flips, else the relative error of the outputs. An axis
 * that was not measured is 0, and so is the loss of the original, which has no metric without labels.
 */
function costs({ bytes, delta, metric }: Result): readonly number[] {
  const loss = metric?.drop ?? metric?.flips ?? errorOf(metric);
  return [
    bytes.brotli ?? bytes.raw,
    delta.infer === null ? 0 : -delta.infer,
    Number.isNaN(loss) ? Number.POSITIVE_INFINITY : loss,
  ];
}

/** Root mean squares of the error / of the outputs, 10^(-SQNR / 20). */
function errorOf(metric: Result["metric"]): number {
  if (!metric || metric.exact || metric.sqnr === null) return 0;
  return 10 ** (-metric.sqnr / 20);
}

/**
 * The recipes on the front, in the order of `results`. A row is off the front if another row is at
 * least as good on all three axes and better on one.
 */
export function paretoOf(results: readonly Result[]): string[] {
  const rows = results.map((result) => ({ recipe: result.recipe, costs: costs(result) }));
  const beats = (a: readonly number[], b: readonly number[]): boolean =>
    a.every((x, i) => x <= b[i]) && a.some((x, i) => x < b[i]);
  return rows
    .filter(({ costs }) => !rows.some((other) => beats(other.costs, costs)))
    .map(({ recipe }) => recipe);
}
