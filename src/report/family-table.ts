/**
 * @file The survey's property table: what each family works on, starts from and needs, with the
 * survey's marks as we read them and those of the family's best row in this report.
 */
import type { Mark, Result } from "../measure/measurement.ts";
import type { Column } from "./columns.ts";
import * as format from "./format.ts";
import { markCell } from "./mark-columns.ts";
import { familyTitle, type MarkName, markNames, type Report, rowsOf } from "./report.ts";
import { line, span } from "./span.ts";

/** What the survey (arXiv 1710.09282 v9, Table I and sections II to VI) says of a family. */
interface Facts {
  /** Layers that it works on. */
  readonly layers: string;
  /** Whether a trained network is needed, or it is trained from scratch. */
  readonly start: string;
}

const either = "pre-trained or scratch";
const facts: Readonly<Record<string, Facts>> = {
  quantization: { layers: "conv + fc", start: either },
  pruning: { layers: "conv + fc", start: either },
  structured: { layers: "fc", start: either },
  "low-rank": { layers: "conv + fc", start: either },
  filters: { layers: "conv", start: "scratch" },
  distillation: { layers: "conv + fc", start: "scratch" },
};

/** A family of methods, and its row that reports put first; null if it has none. */
export interface FamilyRow extends Facts {
  readonly family: string;
  readonly best: Result | null;
  /** How many rows it has. */
  readonly rows: number;
}

/** The survey's families in its order. */
export function familyRows(report: Report): FamilyRow[] {
  const rows = rowsOf(report).filter((row) => row !== report.baseline);
  return Object.entries(facts).map(([family, about]) => {
    const own = rows.filter((row) => row.family === family);
    return { family, ...about, best: own[0] ?? null, rows: own.length };
  });
}

/** Whether the report is a survey, which the table sums up: of one recipe it would say little. */
export const hasFamilies = (report: Report): boolean =>
  familyRows(report).filter(({ best }) => best).length > 1;

const markOf = ({ best }: FamilyRow, name: MarkName): Mark => best?.marks[name] ?? "?";

export function familyColumns(report: Report): Column<FamilyRow>[] {
  const text = (
    id: string,
    title: string,
    hint: string,
    key: (row: FamilyRow) => string,
  ): Column<FamilyRow> => ({
    ...{ id, title, hint, key },
    align: "left",
    cell: (row) => line(span(key(row))),
  });
  return [
    text("family", "family", "Family in the survey", ({ family }) => familyTitle(family)),
    text("layers", "layers", "Layers that it works on, by the survey", ({ layers }) => layers),
    text("start", "starts from", "A trained network or none, by the survey", ({ start }) => start),
    ...markNames.map(
      (name): Column<FamilyRow> => ({
        id: name,
        title: name === "performance" ? "perf" : name,
        align: "left",
        hint: `${name} of the best row, in brackets the survey's mark, ! where they differ`,
        key: (row) => markOf(row, name),
        cell: (row) => markCell(markOf(row, name), report.opinions[row.family]?.[name] ?? "?"),
      }),
    ),
    text("needs", "needed", "What the best row needed", ({ best }) => neededBy(best)),
    text("best", "best row", "The first of the family's rows", ({ best, rows }) =>
      best ? `${best.recipe}${rows > 1 ? ` (of ${rows})` : ""}` : "not measured",
    ),
  ];
}

/** "nothing", "unlabelled data", "labelled data, training". */
function neededBy(best: Result | null): string {
  if (!best) return "-";
  const { data, training, seconds } = best.ease;
  const parts = [
    ...(data === "none" ? [] : [`${data} data`]),
    ...(training ? [`training, ${format.duration(seconds)}`] : []),
  ];
  return parts.length > 0 ? parts.join(", ") : "nothing";
}

export const familiesText =
  "The survey's families as its reader drew them (layers and start: its Table I; marks in brackets: as we read sections II to VI), with the marks that the family's best row got here in front, and what that row needed.";
