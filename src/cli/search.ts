/** @file tersor search: looks for a recipe that meets targets; it can be stopped and resumed. */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Searched } from "../api-types.ts";
import { errors, fail, isAborted } from "../errors.ts";
import type { Result } from "../measure/measurement.ts";
import { fileCheckpoints } from "../node/checkpoints.ts";
import { saveFile, sweepTemporaries } from "../node/files.ts";
import { load, search } from "../node.ts";
import { jobOf, type OpenJob } from "../recipe/job.ts";
import { type Aim, aimOf, parseGoal } from "../recipe/search/aim.ts";
import { bestOf } from "../recipe/search/search.ts";
import { parseRecipe } from "../recipe/steps.ts";
import { missedTargets, parseTargets } from "../recipe/target.ts";
import { plural } from "../report/format.ts";
import { jsonText, surveyJson } from "../report/json.ts";
import { optunaJournal } from "../report/optuna.ts";
import type { Report } from "../report/report.ts";
import { resultLine } from "../report/table.ts";
import type { Command } from "./command.ts";
import { type DataFlags, dataFlags, dataSettings, seconds, whole } from "./flags.ts";
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

export const searchCommand: Command<SearchFlags> = {
  name: "search",
  takes: "<model>",
  summary: "Looks for a recipe that meets targets; the best so far is always saved.",
  flags: [
    {
      flags: "--target <limits>",
      doc: "Limits to meet: size<=1MB, packed<=300kB, drop<=0.5, speedup>=1.5, latency<=0.6x (default: none, and models of all sizes are looked for that no other beats).",
    },
    {
      flags: "--goal <quantities>",
      doc: "What to make least within the limits, with weights: size:1, latency:2, loss:0.5. Sizes and speeds count by the logarithm, quality by points.",
    },
    {
      flags: "--budget <time>",
      doc: "Work for this time: 90s, 10m, 1h (default 10m); what was done before --resume counts.",
      parse: seconds,
    },
    {
      flags: "--trials <n>",
      doc: "Measure so many recipes at most; without --budget for as long as that takes.",
      parse: whole(1),
    },
    { flags: "-o, --output <folder>", doc: "Folder for the results (default: <model>.search)." },
    { flags: "--resume", doc: "Go on with an interrupted search, with its flags." },
    { flags: "--no-train", doc: "Leave out training, and keep its records for measuring." },
    {
      flags: "--strategy <name>",
      doc: "evolve (default), or random: recipes at random, to compare with.",
      choices: ["evolve", "random"],
    },
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

/** How many near misses are named. */
const near = 3;

/** Says which row is best, and what it misses. Returns the exit status. */
function tell(
  note: (text: string) => void,
  { best, missed, results, pareto, hypervolume, screened }: Searched,
  aim: Aim,
  folder: string,
): number {
  const [, ...rows] = results;
  note(`${plural(screened, "candidate")} screened, ${plural(rows.length, "recipe")} measured.`);
  const { targets } = aim;
  if (targets.length === 0) {
    const front = rows.filter(({ recipe }) => pareto.includes(recipe)).length;
    note(`${front} of them no other beats; hypervolume ${hypervolume.toFixed(3)}.`);
  }
  if (missed.length === 0) {
    note(`Best: ${best.recipe} -> ${join(folder, "best.onnx")}`);
    return 0;
  }
  note(`No recipe met ${targets.map(({ text }) => text).join(", ")}. Nearest:`);
  const rest = new Set<Result>(rows);
  for (let i = 0; i < near; i++) {
    const next = bestOf(aim, [...rest]);
    if (!next) break;
    rest.delete(next);
    note(`  ${next.recipe}: ${missedTargets(targets, next).join("; ")}`);
  }
  return 1;
}
