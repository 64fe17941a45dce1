/** @file What a search is told, as text: the settings that it becomes, and what is refused. */
import { describe, expect, test } from "vitest";
import { searchCommand } from "../../../src/cli/search.ts";
import { parseSearchOptions, searchOptionInfos } from "../../../src/recipe/search/options.ts";

describe("options of a search", () => {
  test("become settings; what is not given is left to the search", () => {
    expect(parseSearchOptions({})).toEqual({
      targets: [],
      goal: undefined,
      budgetSeconds: undefined,
      trials: undefined,
      trains: true,
      strategy: "evolve",
    });
    const told = { target: "size<=120KB, latency<=0.5x", goal: "loss:2", budget: "1.5m" };
    const given = parseSearchOptions({ ...told, trials: "3", train: false, strategy: "random" });
    expect(given).toMatchObject({ budgetSeconds: 90, trials: 3, trains: false });
    expect(given.targets.map(({ quantity, limit }) => [quantity, limit])).toEqual([
      ["size", 120_000],
      ["speedup", 2],
    ]);
    expect(given.goal?.map(({ quantity, weight }) => [quantity, weight])).toEqual([["loss", 2]]);
  });

  test.each([
    [{ target: "sise<=1" }, "bad-target", /Did you mean "size"/],
    [{ target: "" }, "bad-target", /says nothing/],
    [{ goal: "sise" }, "bad-target", /Did you mean "size"/],
    [{ budget: "2x" }, "bad-option", /budget="2x" is no time/],
    [{ budget: "0" }, "bad-option", /is no time/],
    [{ trials: "1.5" }, "bad-option", /Give a number from 1/],
    [{ strategy: "luck" }, "bad-option", /evolve, random/],
    [{ targets: "size<=1" }, "unknown-option", /"target"/],
  ])("%j is refused", (given, code, message) => {
    try {
      parseSearchOptions(given);
    } catch (error) {
      const { code: own, what, remedy } = error as Record<string, string>;
      expect([own, `${what}. ${remedy}`]).toEqual([code, expect.stringMatching(message)]);
      return;
    }
    expect.unreachable();
  });

  test("each has a flag on the command line, with the same words and choices", () => {
    for (const { name, type, description, choices } of searchOptionInfos()) {
      const own = searchCommand.flags.find(({ flags }) => flags.startsWith(`--${name} `));
      if (type === "boolean") {
        expect(searchCommand.flags.map(({ flags }) => flags)).toContain(`--no-${name}`);
      } else {
        expect(own?.doc).toBe(description);
        expect(own?.choices ?? null).toEqual(choices);
      }
    }
  });
});
