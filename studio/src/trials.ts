/** @file A survey and a search of the open model: each row is told as soon as it is measured. */
import {
  aimOf,
  effortText,
  parseSearchOptions,
  type Result,
  resultLine,
  type Surveyed,
  standingOf,
} from "tersor";
import type { Fidelity, SearchInput, Standing, SurveyInput, Tried } from "./protocol.ts";
import { onRandomInputs } from "./random-inputs.ts";
import { rowOf, withError } from "./rows.ts";
import { type Around, type Session, settingsOf, timingSeconds } from "./session.ts";

export async function survey(
  { tersor, model, onRandom }: Session,
  { budgetSeconds, trains, ...input }: SurveyInput,
  { signal, onEvent, onTrial }: Around,
): Promise<Tried> {
  let fidelity: Fidelity | null = null;
  const surveyed = await tersor.survey(model, {
    ...{ ...settingsOf(input), budgetSeconds, trains, signal, onEvent, timingSeconds },
    async onRow(result, bytes) {
      // Without data a row says at least how far its outputs move on random inputs.
      const isUnjudged = result.metric === null && bytes !== null;
      fidelity = isUnjudged
        ? await onRandomInputs(tersor, await tersor.load(bytes), model, {
            ...{ seed: input.seed, dims: input.dims, signal, keeper: onRandom },
          })
        : null;
    },
    onReport(report) {
      const row = report.results.at(-1);
      if (!row) return;
      const own = rowOf(row, report);
      const shown = input.data ? own : withError(own, fidelity);
      onTrial({ row: shown, pareto: report.pareto, standing: null, report });
    },
  });
  return { left: leftOf(surveyed), says: [] };
}

export async function search(
  { tersor, model }: Session,
  { typed, ...input }: SearchInput,
  { signal, onEvent, onTrial }: Around,
): Promise<Tried> {
  const settings = parseSearchOptions(typed);
  const aim = aimOf(settings.targets, settings.goal);
  let screened = 0;
  const tell = (what: string, detail: string): void =>
    onEvent({ type: "progress", what, done: 0, total: 0, detail });
  const found = await tersor.search(model, {
    ...{ ...settingsOf(input), ...settings, signal, onEvent, timingSeconds },
    onTrial: (recipe) => tell("measuring", recipe),
    onScreened: (_, { recipe }) => tell("screening", `${++screened} so far, the last ${recipe}`),
    onReport(report) {
      const { results, pareto } = report;
      const standing = results.length > 1 ? shownStanding(standingOf(aim, results), results) : null;
      onTrial({ row: rowOf(results[results.length - 1], report), pareto, standing, report });
    },
  });
  return { left: leftOf(found), says: effortText(aim, found) };
}

/** The standing as the page shows it, with the figures of its best row beside the original's. */
function shownStanding(
  { best, ...said }: ReturnType<typeof standingOf>,
  [original]: readonly Result[],
): Standing {
  return { ...said, best: best.recipe, line: resultLine(best, original) };
}

/** What was not measured, and why. */
const leftOf = ({ warnings, left }: Pick<Surveyed, "warnings" | "left">): string[] => [
  ...warnings,
  ...left.map(({ recipe, reason }) => `${recipe}: ${reason}`),
];
