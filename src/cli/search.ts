/** @file tersor search: looks for a recipe that meets targets; it can be stopped and resumed. */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Searched } from "../api-types.ts";
import { errors, fail, isAborted } from "../errors.ts";
import { fileCheckpoints } from "../node/checkpoints.ts";
import { saveFile, sweepTemporaries } from "../node/files.ts";
import { load, search } from "../node.ts";
import { jobOf, type OpenJob } from "../recipe/job.ts";
import { type Aim, aimOf, parseGoal } from "../recipe/search/aim.ts";
import { searchOptionInfos, type searchOptions } from "../recipe/search/options.ts";
import { bestOf } from "../recipe/search/search.ts";
import { parseRecipe } from "../recipe/steps.ts";
import { parseTargets } from "../recipe/target.ts";
import { plural } from "../report/format.ts";
import { jsonText, surveyJson } from "../report/json.ts";
import { optunaJournal } from "../report/optuna.ts";
import type { Report } from "../report/report.ts";
import { effortText, standingOf } from "../report/standing.ts";
import { resultLine } from "../report/table.ts";
import type { Command } from "./command.ts";
import { type DataFlags, dataFlags, dataSettings, type Flag, seconds, whole } from "./flags.ts";
import { openJournal } from "./journal.ts";
import { inputsOf } from "./paths.ts";
import { callOfRun, checkSameJob } from "./resume.ts";
import { surveyOutput } from "./survey-output.ts";
import { checkFolder, surveyFolder } from "./survey-state.ts";
import { learningFlags, type TrainingFlags, teacherOf } from "./training.ts";
import { type WorkerFlags, workerFlags, workersOf } from "./workers.ts";

interface SearchFlags
  extends DataFlags,
    WorkerFlags,
    Pick<TrainingFlags, "teacher" | "deterministic"> {
  readonly output?: string;
  readonly target?: string;
  readonly goal?: string;
  readonly budget?: number;
  readonly trials?: number;
  readonly strategy?: "evolve" | "random";
  readonly train: boolean;
  readonly resume?: true;
}

const stateFile = "search.json";
const folderOf = (path: string, output?: string) => surveyFolder(path, output, "search");

/** The doc and the choices of an option, as its schema declares them. */
function declared(name: keyof typeof searchOptions.shape): Pick<Flag, "doc" | "choices"> {
  const { description: doc, choices } = searchOptionInfos().find((info) => info.name === name)!;
  return { doc, ...(choices && { choices }) };
}

export const searchCommand: Command<SearchFlags> = {
  name: "search",
  takes: "<model>",
  summary: "Looks for a recipe that meets targets; the best so far is always saved.",
  flags: [
    { flags: "--target <limits>", ...declared("target") },
    { flags: "--goal <quantities>", ...declared("goal") },
    { flags: "--budget <time>", ...declared("budget"), parse: seconds },
    { flags: "--trials <n>", ...declared("trials"), parse: whole(1) },
    { flags: "-o, --output <folder>", doc: "Folder for the results (default: <model>.search)." },
    {
      flags: "--resume",
      doc: "Go on with an interrupted search, with its flags; the time of its work counts.",
    },
    { flags: "--no-train", doc: "Leave out training, and keep its records for measuring." },
    { flags: "--strategy <name>", ...declared("strategy") },
    ...workerFlags,
    ...learningFlags,
    ...dataFlags,
  ],
  examples: [
    'tersor search model.onnx --data mnist:test --calib mnist:train --target "size<=100kB, drop<=0.5"',
    "tersor search model.onnx -o out --resume",
  ],
  runFile: ([path], { output }) => join(folderOf(path, output), stateFile),
  async run(shell, [path], flags, earlier) {
    const targets = flags.target === undefined ? [] : parseTargets(flags.target);
    const goal = flags.goal === undefined ? undefined : parseGoal(flags.goal);
    const aim = aimOf(targets, goal);
    if (!flags.data) {
      const why = "has no data to judge on";
      throw fail(errors.badUsage("tersor search", why, "Give --data, and --calib for training"));
    }
    const model = await load(path, shell.settings);
    const folder = folderOf(path, flags.output);
    checkFolder(folder, earlier !== null || shell.force, [stateFile, "report.html", "report.md"]);
    const teacher = await teacherOf(flags, shell);
    const inputs = inputsOf(path, model);
    const write = (name: string, content: Uint8Array | string): Promise<void> =>
      saveFile(join(folder, name), content, { inputs, overwrite: true });
    const isNew = earlier === null;
    const wasThere = existsSync(folder);
    mkdirSync(folder, { recursive: true });
    if (!isNew) sweepTemporaries(folder);
    const trainings = { output: join(folder, "search"), resume: !isNew };
    const checkpoints = fileCheckpoints(trainings.output, trainings.resume);
    const workers = await workersOf(flags, trainings);
    const output = surveyOutput(shell, folder, inputs);
    let job: OpenJob | null = null;
    let latest: Report | null = null;
    const journal = openJournal(folder, isNew);
    const { remembered } = journal;
    const state = (complete: boolean): string => {
      const shown = latest ? surveyJson(latest) : { command: "search", results: [], pareto: [] };
      return jsonText({ ...shown, complete, job, ...callOfRun({ ...flags }) });
    };
    try {
      const found = await search(model, {
        ...shell.settings,
        ...dataSettings(flags),
        ...{ targets, goal, trains: flags.train, teacher, checkpoints, workers },
        ...{ budgetSeconds: flags.budget, trials: flags.trials, strategy: flags.strategy },
        deterministic: flags.deterministic,
        ...remembered,
        fileOf: journal.fileOf,
        onScreened: journal.addScreened,
        async onJob(own) {
          job = own;
          if (earlier) checkSameJob(earlier, own, { ...flags }, path, { training: "train" });
          else {
            checkpoints.clear();
            await write(stateFile, state(false));
          }
          const { done, screened } = remembered;
          if (earlier) {
            const measured = plural(done.length, "trial");
            shell.note(`${measured} and ${plural(screened.size, "candidate")} are kept`);
          }
        },
        // One that dies in a process of its own takes nothing with it.
        ...(workers ? {} : { onTrial: journal.begin, onEnd: journal.end }),
        onSeconds: journal.addSeconds,
        async onRow(row, bytes, { results: [baseline, ...rows], errors }) {
          if (!bytes) return;
          const layerErrors = errors.find(({ recipe }) => recipe === row.recipe) ?? null;
          journal.addTrial(jobOf(job!, parseRecipe(row.recipe)), row, bytes, layerErrors);
          // Those of trainings that run in other processes are still needed.
          if (!workers) checkpoints.clear();
          if (bestOf(aim, rows) === row) await write("best.onnx", bytes);
          shell.note(`${row.recipe}: ${resultLine(row, baseline)}`);
        },
        async onReport(report) {
          latest = report;
          await write("optuna.log", optunaJournal(report, aim));
        },
      });
      latest = found.report;
      checkpoints.clear();
      // A run that was killed may have written the row and not yet the model.
      const { best } = found;
      if (found.results.length > 1)
        await write("best.onnx", readFileSync(journal.fileOf(best.recipe)));
      await write(stateFile, state(true));
      await output.show(found.report);
      return tell(shell.note, found, aim, folder);
    } catch (cause) {
      if (!isAborted(cause) || !job) {
        if (!wasThere && !latest) output.discard();
        throw cause;
      }
      if (latest) await output.show({ ...(latest as Report), unfinished: "Interrupted." });
      return shell.interrupted("search", `what it has measured is saved in ${folder}`);
    }
  },
};

/** Says which row is best, and what it misses. Returns the exit status. */
function tell(note: (text: string) => void, found: Searched, aim: Aim, folder: string): number {
  for (const line of effortText(aim, found)) note(line);
  const { says, nearest } = standingOf(aim, found.results);
  const isMet = found.missed.length === 0;
  note(isMet ? `${says} -> ${join(folder, "best.onnx")}` : says);
  for (const { recipe, misses } of nearest) note(`  ${recipe}: ${misses}`);
  return isMet ? 0 : 1;
}
