/** @file tersor survey: many recipes on one model, measured and compared; it can be resumed. */
import { mkdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { saveFile } from "../node/files.ts";
import { load, openJob, survey } from "../node.ts";
import { formatRecipe, parseRecipe } from "../recipe/steps.ts";
import { duration } from "../report/format.ts";
import { htmlReport } from "../report/html.ts";
import { jsonText, surveyJson } from "../report/json.ts";
import { surveyMarkdown } from "../report/markdown.ts";
import { paretoSvg } from "../report/plots.ts";
import type { Report } from "../report/report.ts";
import { resultLine, surveyTable } from "../report/table.ts";
import type { Command } from "./command.ts";
import { type DataFlags, dataFlags, dataSettings, seconds } from "./flags.ts";
import { readRecipes } from "./recipe-file.ts";
import { checkFolder, earlierRows, modelFile, type SurveyPlan, stateText } from "./survey-state.ts";

interface SurveyFlags extends DataFlags {
  readonly output?: string;
  readonly budget?: number;
  readonly resume?: true;
  readonly recipes?: string;
}

export const surveyCommand: Command<SurveyFlags> = {
  name: "survey",
  takes: "<model>",
  summary: "Tries every method on a model: a table, a Pareto plot, and the compressed models.",
  flags: [
    { flags: "-o, --output <folder>", doc: "Folder for the results (default: <model>.survey)." },
    {
      flags: "--budget <time>",
      doc: "Start no new trial after this time: 90s, 10m, 1h.",
      parse: seconds,
    },
    { flags: "--resume", doc: "Continue an interrupted survey." },
    {
      flags: "--recipes <file>",
      doc: "Recipes to try instead: a file with one per line, or a JSON array.",
    },
    ...dataFlags,
  ],
  examples: [
    "tersor survey model.onnx --data mnist:test --calib mnist:train --budget 10m",
    "tersor survey model.onnx -o out --resume",
  ],
  async run(shell, [path], flags) {
    const recipes = flags.recipes === undefined ? undefined : await readRecipes(flags.recipes);
    const model = await load(path, shell.settings);
    const folder =
      flags.output ?? join(dirname(model.name), `${basename(model.name, ".onnx")}.survey`);
    const settings = { ...shell.settings, ...dataSettings(flags), recipes };
    const job = await openJob(model, settings);
    const texts = recipes?.map((recipe) => formatRecipe(parseRecipe(recipe))) ?? null;
    const plan: SurveyPlan = { job, recipes: texts };
    const isResumed = flags.resume === true;
    checkFolder(folder, isResumed || shell.force);
    const done = isResumed ? earlierRows(folder, job) : [];
    if (isResumed) shell.note(`${done.length} trials of an earlier run are kept`);
    const saving = { inputs: [path], overwrite: isResumed || shell.force };
    const write = (name: string, bytes: Uint8Array | string): Promise<void> => {
      mkdirSync(folder, { recursive: true });
      return saveFile(join(folder, name), bytes, { ...saving, overwrite: true });
    };
    const withCommand = (report: Report): Report => ({
      ...report,
      commandLine: shell.commandLine,
    });
    const found = await survey(model, {
      ...settings,
      budgetSeconds: flags.budget,
      done,
      fileOf: (recipe) => join(folder, modelFile(recipe)),
      async onRow(result, bytes, [baseline]) {
        if (!bytes) return;
        await write(modelFile(result.recipe), bytes);
        shell.note(`${result.recipe}: ${resultLine(result, baseline)}`);
      },
      onReport: (report) => write("survey.json", stateText(plan, surveyJson(report), false)),
    });
    const report = withCommand(found.report);
    await write("survey.json", stateText(plan, surveyJson(report), true));
    await write("report.html", htmlReport(report));
    await write("report.md", surveyMarkdown(report));
    const plot = paretoSvg(report);
    if (plot) await write("pareto.svg", plot);
    for (const reason of new Set(found.left.map(({ reason }) => reason))) {
      const recipes = found.left.filter((left) => left.reason === reason);
      shell.note(`not measured: ${recipes.map(({ recipe }) => recipe).join("; ")}: ${reason}`);
    }
    if (shell.json) shell.print(jsonText(surveyJson(report)));
    else {
      shell.print(surveyTable(report, shell.table));
      shell.print(`\n${join(folder, "report.html")} (${duration(report.seconds)})`);
    }
    return 0;
  },
};
