/** @file The columns of a speed-up: the value, and its interval beside it. */
import type { Result } from "../measure/measurement.ts";
import { isSame } from "../measure/speed.ts";
import type { Column } from "./columns.ts";
import { type Line, line, span } from "./span.ts";
import { factor, interval } from "./speed.ts";

/** Title, hint and key of a speed-up among `Result.delta`. */
interface SpeedColumn {
  readonly id: string;
  readonly title: string;
  readonly hint: string;
  readonly of: "infer" | "recipe" | "train";
}

/**
 * The column of a speed-up, and beside it that of its interval. Where the interval contains 1 the
 * words "no difference" stand in place of the value. The third column is for narrow tables: it holds
 * the value, then "=" where the interval contains 1.
 */
export function speedColumns(
  { id, title, hint, of }: SpeedColumn,
  isBase: (row: Result) => boolean,
): Column<Result>[] {
  const key = (row: Result): number | null => {
    const value = isBase(row) ? null : row.delta[of];
    return value !== null && Number.isFinite(value) ? value : null;
  };
  const cell = (row: Result, words: (value: string, same: boolean) => string): Line => {
    const value = key(row);
    if (value === null) return line(span("-", "dim"));
    const ci95 = row.delta.ci95[of];
    const same = isSame(ci95);
    return line(span(words(factor(value, ci95), same), same ? "dim" : "plain"));
  };
  const right = { align: "right", key } as const;
  return [
    {
      ...{ ...right, id, title, hint },
      cell: (row) => cell(row, (value, same) => (same ? "no difference" : value)),
    },
    {
      ...{ ...right, id: `${id}Short`, title, hint },
      cell: (row) => cell(row, (value, same) => (same ? `${value} =` : value)),
    },
    {
      ...{ ...right, id: `${id}95`, title: "95 %", hint: `Interval of the ${title}` },
      cell: (row) => line(span(isBase(row) ? "-" : interval(row.delta.ci95[of]), "dim")),
    },
  ];
}
