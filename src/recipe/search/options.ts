/** @file What a search is told: one schema for the defaults, the flags' help and the studio's form. */
import { z } from "zod";
import { errors, fail } from "../../errors.ts";
import { describeOptions, type OptionInfo, parseOptions } from "../../options.ts";
import { parseSeconds } from "../../util/duration.ts";
import { parseTargets } from "../target.ts";
import { parseGoal } from "./aim.ts";

/** What is taken where nothing is given; seconds of work are not limited where `trials` are. */
export const usual = { budgetSeconds: 600, train: true, strategy: "evolve" } as const;

/** The names are those of the command line's flags; `search` lists texts to begin with. */
export const searchOptions = z.strictObject({
  target: z
    .string()
    .optional()
    .meta({
      description:
        "Limits to meet: size<=1MB, packed<=300kB, drop<=0.5, speedup>=1.5, latency<=0.6x (default: none, and models of all sizes are looked for that no other beats).",
      search: ["drop<=0.5", "latency<=0.6x"],
    }),
  budget: z
    .string()
    .optional()
    .meta({
      description: `Work for this time: 90s, 10m, 1h (default ${usual.budgetSeconds / 60}m).`,
      search: ["2m", "10m", "1h"],
    }),
  goal: z.string().optional().meta({
    description:
      "What to make least within the limits, with weights: size:1, latency:2, loss:0.5. Sizes and speeds count by the logarithm, quality by points.",
  }),
  trials: z.int().min(1).optional().meta({
    description: "Measure so many recipes at most; without --budget for as long as that takes.",
  }),
  train: z.boolean().default(usual.train).meta({
    description:
      "Also recipes that train, for which most of the records are set aside and not measured on.",
  }),
  strategy: z
    .enum(["evolve", "random"])
    .default(usual.strategy)
    .meta({
      description: `${usual.strategy} (default), or random: recipes at random, to compare with.`,
    }),
});

/** The options as help and forms need them. */
export const searchOptionInfos = (): readonly OptionInfo[] => describeOptions(searchOptions);

/**
 * The settings of `search` from options by name, as text or as values. Throws TersorError
 * "bad-target", "bad-option" and "unknown-option".
 */
export function parseSearchOptions(given: Readonly<Record<string, unknown>>) {
  const options = parseOptions(searchOptions, given, "search");
  const { target, goal, budget, trials, train, strategy } = options;
  const budgetSeconds = budget === undefined ? undefined : parseSeconds(budget);
  if (Number.isNaN(budgetSeconds)) {
    const remedy = "Give for example 90s, 10m or 1h";
    throw fail(errors.badOption("search", `budget="${budget}" is no time`, remedy));
  }
  return {
    targets: target === undefined ? [] : parseTargets(target),
    goal: goal === undefined ? undefined : parseGoal(goal),
    ...{ budgetSeconds, trials, trains: train, strategy },
  };
}
