/** @file Results with their figures of quality as text, as tables and plots show them. */
import { format, lossOf, type Report, type Result } from "tersor";
import type { Fidelity, Row } from "./protocol.ts";

/** A result with its figures of quality as text. */
export function rowOf(result: Result, report: Report): Row {
  const { metric } = result;
  const loss = lossOf(report);
  const value = loss?.of(result) ?? null;
  return {
    result,
    score: metric && format.score(metric),
    loss: loss && value !== null ? { name: loss.name, value, text: lossText(loss, value) } : null,
  };
}

const lossText = ({ kind, digits, unit }: NonNullable<ReturnType<typeof lossOf>>, value: number) =>
  `${(kind === "drop" ? format.points : format.fixed)(value, digits)} ${unit}`.trimEnd();

/** The row with its output error as its loss, where it has no other; the original has none. */
export function withError(row: Row, fidelity: Fidelity | null): Row {
  const isOriginal = row.result.recipe === "original";
  if (row.loss || (!fidelity && !isOriginal)) return row;
  const value = fidelity?.error ?? 0;
  const text = `${format.precise(value)} %`;
  return { ...row, loss: { name: "output error on random inputs", value, text } };
}
