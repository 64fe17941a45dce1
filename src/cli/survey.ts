/** @file tersor survey: many recipes on one model, measured and compared; it can be resumed. */
import { join } from "node:path";
import { isAborted } from "../errors.ts";
import { fileCheckpoints } from "../node/checkpoints.ts";
import { load, survey } from "../node.ts";
import type { OpenJob } from "../recipe/job.ts";
import { parseRecipe } from "../recipe/steps.ts";
import { surveyRecipes } from "../recipe/survey.ts";
import { nameOf } from "../recipe/trial.ts";
import type { Left } from "../recipe/trials.ts";
import { plural } from "../report/format.ts";
import { resultLine } from "../report/table.ts";
import type { Command } from "./command.ts";
import { calibOf, type DataFlags, dataFlags, dataSettings, measureFlag, seconds } from "./flags.ts";
import { inputsOf } from "./paths.ts";
import { readRecipes } from "./recipe-file.ts";
import { callOfRun, checkSameJob } from "./resume.ts";
import type { Shell } from "./shell.ts";
import { surveyOutput } from "./survey-output.ts";
import {
  checkFolder,
  deadlyOf,
  earlierRows,
  type Measured,
  modelFile,
  type SurveyPlan,
  surveyFile,
  surveyFolder,
} from "./survey-state.ts";
import { learningFlags, type TrainingFlags, teacherOf } from "./training.ts";
import { type WorkerFlags, workerFlags, workersOf } from "./workers.ts";

interface SurveyFlags
  extends DataFlags,
    WorkerFlags,
    Pick<TrainingFlags, "teacher" | "deterministic"> {
  readonly output?: string;
  readonly measure: boolean;
  readonly budget?: number;
  readonly resume?: true;
  readonly recipes?: string;
  readonly trains?: true;
  readonly marks?: true;
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
    {
      flags: "--resume",
      doc: "Go on with an interrupted survey, with the flags it was begun with.",
    },
    {
      flags: "--recipes <file>",
      doc: "Recipes to try instead: a file with one per line, or a JSON array.",
    },
    { flags: "--trains", doc: "Without --recipes: also try the methods that train." },
    {
      flags: "--marks",
      doc: "Also print how each row does beside the survey paper's opinion of its family.",
    },
    ...workerFlags,
    ...learningFlags,
    measureFlag,
    ...dataFlags,
  ],
  examples: [
    "tersor survey model.onnx --data mnist:test --calib mnist:train --budget 10m",
    "tersor survey model.onnx -o out --resume",
  ],
  runFile: ([path], { output }) => surveyFile(surveyFolder(path, output)),
  async run(shell, [path], flags, earlier) {
    const recipes = flags.recipes === undefined ? undefined : await readRecipes(flags.recipes);
    const texts = recipes?.map((recipe) => nameOf(parseRecipe(recipe))) ?? null;
    const model = await load(path, shell.settings);
    const folder = surveyFolder(path, flags.output);
    checkFolder(folder, earlier !== null || shell.force);
    const teacher = await teacherOf(flags, shell);
    const trainings = { output: join(folder, "survey"), resume: earlier !== null };
    const checkpoints = fileCheckpoints(trainings.output, trainings.resume);
    const workers = await workersOf(flags, trainings);
    const output = surveyOutput(shell, folder, inputsOf(path, model), flags.marks);
    const kept = earlier ? earlierRows(folder, earlier) : { done: [], doneErrors: [], began: {} };
    let plan: SurveyPlan | null = null;
    let measured: Measured = { report: null, layerErrors: kept.doneErrors, began: kept.began };
    const count = (recipe: string, times: number): void => {
      const { [recipe]: _, ...others } = measured.began;
      measured = { ...measured, began: times > 0 ? { ...others, [recipe]: times } : others };
    };
    const begin = async (job: OpenJob): Promise<void> => {
      plan = { job, recipes: texts, ...callOfRun({ ...flags }) };
      if (!earlier) {
        checkpoints.clear();
        return output.saveState(plan, measured, false);
      }
      checkSameJob(earlier, { ...job, recipes: texts }, { ...flags }, path);
      output.sweep();
      const { length } = kept.done;
      shell.note(
        `${plural(length, "trial")} of an earlier run ${length === 1 ? "is" : "are"} kept`,
      );
    };
    const usual = surveyRecipes(flags.trains ?? (calibOf(flags) ? "families" : false));
    const total = new Set(texts ?? usual.map(nameOf)).size;
    const progress = (noun: string): string => {
      const rows = measured.report?.results.slice(1) ?? kept.done;
      return `${rows.length} of ${plural(total, noun)}`;
    };
    try {
      const found = await survey(model, {
        ...shell.settings,
        ...dataSettings(flags),
        ...{ recipes, trains: flags.trains, teacher, checkpoints, workers },
        ...{ deterministic: flags.deterministic, measures: flags.measure },
        budgetSeconds: flags.budget,
        ...{ done: kept.done, doneErrors: kept.doneErrors, deadly: deadlyOf(kept.began) },
        onTrial(recipe) {
          if (workers) return; // one that dies takes nothing with it
          count(recipe, (measured.began[recipe] ?? 0) + 1);
          return output.saveState(plan!, measured, false);
        },
        onEnd: (recipe) => count(recipe, 0),
        fileOf: (recipe) => join(folder, modelFile(recipe)),
        onJob: begin,
        async onRow(result, bytes, { results: [baseline], errors }) {
          measured = { ...measured, layerErrors: errors };
          if (!bytes) return;
          await output.saveModel(result.recipe, bytes);
          // Those of trainings that run in other processes are still needed.
          if (!workers) checkpoints.clear();
          shell.note(`${result.recipe}: ${resultLine(result, baseline)}`);
        },
        onReport(report) {
          measured = { ...measured, report };
          return output.saveState(plan!, measured, false);
        },
      });
      const { left, report } = found;
      const isOver = left.some(({ later }) => later);
      const unfinished = `The budget was used up: ${progress("recipe")} were measured.`;
      await output.saveState(plan!, { ...measured, report }, !isOver);
      checkpoints.clear();
      noteLeft(shell, left);
      await output.show(isOver ? { ...report, unfinished } : report);
      if (!isOver) return 0;
      shell.note(`${unfinished} Go on with:`);
      shell.note(`  ${shell.goOn}`);
      return 0;
    } catch (cause) {
      if (!isAborted(cause) || !plan) {
        // Bad input that showed only when the original was measured leaves nothing behind.
        if (plan && !earlier && !measured.report) output.discard();
        throw cause;
      }
      // A trial that was aborted has not ended the process.
      if (measured.report) await output.saveState(plan, measured, false);
      const unfinished = `Interrupted: ${progress("recipe")} were measured.`;
      if (measured.report) await output.show({ ...measured.report, unfinished });
      return shell.interrupted("survey", `${progress("trial")} are saved in ${folder}`);
    }
  },
};

/** Says which recipes were not measured: a line for each reason. */
function noteLeft(shell: Shell, left: readonly Left[]): void {
  for (const reason of new Set(left.map(({ reason }) => reason))) {
    const names = left.filter((other) => other.reason === reason).map(({ recipe }) => recipe);
    shell.note(`not measured: ${names.join("; ")}: ${reason}`);
  }
}
