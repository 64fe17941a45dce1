/** @file tersor advise: which methods suit a model, why, and what they come to when measured. */
import { advise, load } from "../node.ts";
import type { Goal } from "../recipe/advice.ts";
import { infoOf } from "../recipe/inspect.ts";
import { adviceJson, adviceText } from "../report/advice.ts";
import { jsonText } from "../report/json.ts";
import type { Command } from "./command.ts";
import { type DataFlags, dataFlags, dataSettings, seconds, whole } from "./flags.ts";

interface AdviseFlags extends DataFlags {
  readonly goal?: Goal;
  readonly train: boolean;
  readonly symmetric?: true;
  readonly top?: number;
  readonly budget?: number;
}

export const adviseCommand: Command<AdviseFlags> = {
  name: "advise",
  takes: "<model>",
  summary: "Says which methods suit a model and why, and measures whether that is true.",
  flags: [
    {
      flags: "--goal <goal>",
      doc: "What matters: size (default), speed or accuracy.",
      choices: ["size", "speed", "accuracy"],
    },
    { flags: "--no-train", doc: "Training is not wanted." },
    {
      flags: "--symmetric",
      doc: "What is in the pictures looks the same after a rotation or a flip.",
    },
    { flags: "--top <n>", doc: "Measure so many recipes at most (default 4).", parse: whole(1) },
    { flags: "--budget <time>", doc: "Start no new measurement after this time.", parse: seconds },
    ...dataFlags,
  ],
  examples: ["tersor advise model.onnx --data mnist:test --calib mnist:train --goal speed"],
  async run(shell, [path], flags) {
    const model = await load(path, shell.settings);
    const { facts, advice, baseline } = await advise(model, {
      ...shell.settings,
      ...dataSettings(flags),
      ...{ goal: flags.goal, trains: flags.train, symmetric: flags.symmetric },
      ...{ measured: flags.top, budgetSeconds: flags.budget },
    });
    const info = infoOf(model, baseline);
    shell.print(shell.json ? jsonText(adviceJson(info, facts, advice)) : adviceText(facts, advice));
    return 0;
  },
};
