/** @file The actions that measure many recipes: a survey, and a search for a target. */
import { call } from "./engine.ts";
import type { Trial, Tried } from "./protocol.ts";
import {
  aim,
  compressSoon,
  onEvent,
  report,
  reported,
  run,
  type Survey,
  search,
  settings,
  survey,
} from "./state.ts";

/** Tries every family for so many seconds. */
export const runSurvey = (budgetSeconds: number, trains: boolean): Promise<void> =>
  run("surveying", async (signal) => {
    const input = { ...settings(), budgetSeconds, trains };
    const put = (found: Survey): void => {
      survey.value = found;
      reported.value = "survey";
    };
    await fill(put, (onTrial) => call("survey", input, { signal, onEvent, onTrial }));
  }).then(compressSoon);

/** Searches with what is typed; what was found before it is stopped stays. */
export const runSearch = (): Promise<void> =>
  run("searching", async (signal) => {
    const typed = aim.value;
    const input = { ...settings(), typed };
    const put = (found: Survey): void => {
      search.value = { ...found, typed };
      reported.value = "search";
    };
    await fill(put, (onTrial) => call("search", input, { signal, onEvent, onTrial }));
  }).then(compressSoon);

/** Puts what is known so far after each row, and at the end. */
async function fill(
  put: (found: Survey) => void,
  ask: (onTrial: (trial: Trial) => void) => Promise<Tried>,
): Promise<void> {
  const none = { rows: [], pareto: [], standing: null, report: null, left: [], says: [] };
  let found: Survey = { ...none, settings: settings() };
  const tried = await ask(({ row, ...others }) => {
    report.value = null;
    found = { ...found, ...others, rows: [...found.rows, row] };
    put(found);
  });
  put({ ...found, ...tried });
}
