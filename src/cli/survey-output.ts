/** @file What a survey writes into its folder and prints, at its end or when it is interrupted. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { saveFile, sweepTemporaries } from "../node/files.ts";
import { duration } from "../report/format.ts";
import { htmlReport } from "../report/html.ts";
import { jsonText, surveyJson } from "../report/json.ts";
import { surveyMarkdown } from "../report/markdown.ts";
import { paretoSvg } from "../report/plots.ts";
import type { Report } from "../report/report.ts";
import { surveyTable } from "../report/table.ts";
import { linkFrom } from "./paths.ts";
import type { Shell } from "./shell.ts";
import {
  type Measured,
  modelFile,
  type SurveyPlan,
  stateText,
  surveyFile,
} from "./survey-state.ts";

export interface SurveyOutput {
  /** Writes the model of a recipe. */
  saveModel(recipe: string, bytes: Uint8Array): Promise<void>;
  /** Writes the survey's state. */
  saveState(plan: SurveyPlan, measured: Measured, isComplete: boolean): Promise<void>;
  /** Writes the reports and the plot, and prints the table or, with --json, the object. */
  show(report: Report): Promise<void>;
  /** Puts the state back that was there before, or removes it, and the folder if it is empty. */
  discard(): void;
  /** Removes what an earlier run left of files that it was writing when it was killed. */
  sweep(): void;
}

/**
 * The output of a survey in `folder`; `inputs` are files that it does not overwrite, `marks` says
 * whether the printed table has the four marks.
 */
export function surveyOutput(
  shell: Shell,
  folder: string,
  inputs: readonly string[],
  marks = false,
): SurveyOutput {
  const write = (file: string, content: Uint8Array | string): Promise<void> => {
    mkdirSync(folder, { recursive: true });
    return saveFile(file, content, { inputs, overwrite: true });
  };
  const state = surveyFile(folder);
  const before = existsSync(state) ? readFileSync(state) : null;
  return {
    saveModel: (recipe, bytes) => write(join(folder, modelFile(recipe)), bytes),
    saveState: (plan, measured, isComplete) => write(state, stateText(plan, measured, isComplete)),
    async show(measured) {
      const report = { ...measured, commandLine: shell.commandLine };
      const page = join(folder, "report.html");
      await write(page, htmlReport(report, { linkOf: linkFrom(page) }));
      await write(join(folder, "report.md"), surveyMarkdown(report));
      const plot = paretoSvg(report);
      if (plot) await write(join(folder, "pareto.svg"), plot);
      if (shell.json) shell.print(jsonText(surveyJson(report)));
      else {
        shell.print(surveyTable(report, { ...shell.table, marks }));
        shell.print(`\n${page} (${duration(report.seconds)})`);
      }
    },
    discard() {
      if (before) return writeFileSync(state, before);
      rmSync(state, { force: true });
      if (readdirSync(folder).length === 0) rmdirSync(folder);
    },
    sweep: () => sweepTemporaries(folder),
  };
}
