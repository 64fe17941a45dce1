/** @file tersor check: models within the limits of tersor.config.ts, for continuous integration. */
import { existsSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { errors, fail } from "../errors.ts";
import { expandGlob } from "../node/expand-globs.ts";
import { saveFile } from "../node/files.ts";
import { evaluate, load } from "../node.ts";
import { type CheckPlan, type Held, hold, parseConfig } from "../recipe/check.ts";
import { isMetricFile } from "../recipe/prepare.ts";
import { checkJson, checkMarkdown, checkText } from "../report/check.ts";
import { jsonText } from "../report/json.ts";
import { isAddress, netIn } from "../util/address.ts";
import type { Command } from "./command.ts";
import { readData } from "./recipe-file.ts";
import type { Shell } from "./shell.ts";

interface CheckFlags {
  readonly markdown?: string;
}

const usual = ["tersor.config.ts", "tersor.config.mjs", "tersor.config.js", "tersor.config.json"];

export const checkCommand: Command<CheckFlags> = {
  name: "check",
  takes: "[config]",
  summary: "Holds models against the limits in tersor.config.ts; status 1 where one is broken.",
  flags: [
    { flags: "--markdown <file>", doc: "Also write the table as Markdown, for a pull request." },
  ],
  examples: ["tersor check", "tersor check tersor.config.json --markdown check.md"],
  async run(shell, [given], { markdown }) {
    const config = given ?? usual.find((name) => existsSync(name));
    if (config === undefined) {
      const remedy = `Write ${usual[0]} or ${usual[3]}, or name a file: tersor check FILE`;
      throw fail(errors.badUsage("check", "found no config in this folder", remedy));
    }
    const plans = parseConfig(await readData(config), config);
    const held: Held[] = [];
    for (const plan of plans) {
      for (const path of expandGlob(beside(config, plan.model))) {
        const { targets } = plan;
        held.push(await hold(path, targets, () => measured(shell, config, path, plan)));
      }
    }
    if (markdown !== undefined) {
      await saveFile(markdown, checkMarkdown(held), { overwrite: true, inputs: [config] });
    }
    shell.print(shell.json ? jsonText(checkJson(held)) : checkText(held));
    return held.every(({ broken }) => broken.length === 0) ? 0 : 1;
  },
};

async function measured(shell: Shell, config: string, path: string, plan: CheckPlan) {
  const { against, data, dataOptions, metric, timing } = plan;
  const model = await load(path, shell.settings);
  const original = against && (await load(beside(config, against), shell.settings));
  const isTimed = plan.targets.some(({ quantity }) => quantity !== "size");
  return evaluate(model, {
    ...shell.settings,
    ...(original && { against: original }),
    data:
      data === undefined ? null : { spec: specBeside(config, data), options: dataOptions ?? {} },
    ...(metric !== undefined && {
      metric: isMetricFile(metric) ? beside(config, metric) : metric,
    }),
    ...(timing !== undefined && { timingSeconds: timing }),
    measures: isTimed,
  });
}

/** Paths in a config are from the folder that it is in. */
function beside(config: string, path: string): string {
  const isElsewhere = isAbsolute(path) || isAddress(path) || netIn(path) !== null;
  return isElsewhere ? path : join(dirname(config), path);
}

/** The same for the path in a specification of data; `mnist:test` has none. */
function specBeside(config: string, spec: string): string {
  const [, prefix, path] = /^([a-z][a-z0-9-]+:)(.*)$/is.exec(spec) ?? [spec, "", spec];
  const file = beside(config, path ?? "");
  return existsSync(file) ? `${prefix}${file}` : spec;
}
