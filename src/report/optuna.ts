/**
 * @file The rows of a search as a journal of Optuna (JournalStorage with a file, optuna 3 and 4), which
 * its dashboard opens: `optuna-dashboard optuna.log`.
 */
import type { Result } from "../measure/measurement.ts";
import { type Aim, quantityOf } from "../recipe/search/aim.ts";
import type { Report } from "./report.ts";

/** The operations of a line: optuna/storages/journal/_storage.py, JournalOperation. */
const createStudy = 0;
const createTrial = 4;
const setParameter = 5;
const setValues = 6;
const setAttribute = 8;
/** optuna.study.StudyDirection and optuna.trial.TrialState. */
const [minimize, maximize] = [1, 2];
const complete = 1;

const worker = "tersor";

/**
 * A study whose values are the quantities of the targets and the goal; a trial for each row that has
 * them all. The recipe is the only parameter, a choice among all recipes.
 */
export function optunaJournal(report: Report, { targets, goal }: Aim): string {
  const values = new Map([...targets, ...goal].map((own) => [own.quantity, own]));
  const names = [...values.keys()];
  const rows = report.results.filter((row) => valuesOf(names, row) !== null);
  const choices = rows.map(({ recipe }) => recipe);
  const distribution = JSON.stringify({
    name: "CategoricalDistribution",
    attributes: { choices },
  });
  const directions = Array.from(values.values(), ({ sense }) =>
    sense === "<=" ? minimize : maximize,
  );
  const study = { study_name: report.model.name, directions };
  const lines: object[] = [{ op_code: createStudy, ...study }];
  for (const [id, row] of rows.entries()) {
    const date = report.date.replace("Z", "");
    lines.push(
      { op_code: createTrial, study_id: 0, datetime_start: date },
      {
        op_code: setParameter,
        ...{ trial_id: id, param_name: "recipe", param_value_internal: id, distribution },
      },
      { op_code: setAttribute, trial_id: id, user_attr: { bytes: row.bytes.raw } },
      { op_code: setAttribute, trial_id: id, user_attr: { file: row.file } },
      {
        op_code: setValues,
        ...{
          trial_id: id,
          state: complete,
          values: valuesOf(names, row),
          datetime_complete: date,
        },
      },
    );
  }
  return lines.map((line) => `${JSON.stringify({ worker_id: worker, ...line })}\n`).join("");
}

function valuesOf(names: readonly string[], row: Result): number[] | null {
  const values = names.map((name) => quantityOf(name, row));
  return values.every((value) => value !== null && Number.isFinite(value))
    ? (values as number[])
    : null;
}
