/** @file Trials that run at once: timed one by one, rows in the order of the recipes. */
import { describe, expect, test } from "vitest";
import { nodePlatform } from "../../src/node/platform.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { loadModel } from "../../src/recipe/load.ts";
import { type Runner, textFor } from "../../src/recipe/runner.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { survey } from "../../src/recipe/survey.ts";
import { nameOf } from "../../src/recipe/trial.ts";
import { lenet } from "../report/fixture.ts";
import { environmentOf } from "../support/apply.ts";
import { nets } from "../support/nets.ts";

const net = nets.find(({ name }) => name === "gemms")!;
const loaded = await loadModel(concat(writeModel(net.model)), nodePlatform);
/** Nothing is opened in the engine. */
const env = environmentOf(net, { measures: false });
const texts = ["store-float16", "share-weights", "quantize-weights", "prune-magnitude", "simplify"];
const recipes = texts.map((text) => parseRecipe(text));

/** A runner whose trials end when the test says so; `log` has what happened. */
function runnerOf(lanes: number, log: string[], end: (recipe: string) => Promise<boolean>): Runner {
  let alone = 0;
  return {
    lanes,
    async run(steps) {
      const recipe = nameOf(steps);
      log.push(`run ${recipe}`);
      if (!(await end(recipe))) return { reason: "its process was killed", isMistake: false };
      const row = { ...lenet().results[1], recipe };
      return { row, bytes: new Uint8Array(), errors: { recipe, layers: [] }, varies: false };
    },
    screen: async () => ({ reason: "a survey screens nothing", isMistake: true }),
    async alone(work) {
      expect(alone++).toBe(0);
      const found = await work();
      alone--;
      return found;
    },
    async close() {
      log.push("close");
    },
  };
}

describe("a runner of three lanes", () => {
  test("has three trials at work, and its rows are those of the recipes in order", async () => {
    const log: string[] = [];
    let [running, most] = [0, 0];
    // The later a recipe comes, the sooner it ends; one fails.
    const runner = runnerOf(3, log, async (recipe) => {
      most = Math.max(most, ++running);
      const turns = 2 * (texts.length - texts.indexOf(recipe));
      await new Promise((resolve) => setTimeout(resolve, 30 * turns));
      running--;
      return recipe !== "share-weights";
    });
    const [begun, ended, told]: string[][] = [[], [], []];
    const { results, left } = await survey(loaded, env, {
      ...{ recipes, runner },
      onTrial: (recipe) => void begun.push(recipe),
      onEnd: (recipe) => void ended.push(recipe),
      onRow: (row, bytes) => void (bytes && told.push(row.recipe)),
      fileOf: (recipe) => `${recipe}.onnx`,
    });
    expect(most).toBe(3);
    expect(begun).toEqual(texts);
    expect(ended.toSorted()).toEqual(texts.toSorted());
    const measured = texts.filter((text) => text !== "share-weights");
    expect(results.slice(1).map(({ recipe }) => recipe)).toEqual(measured);
    expect(results[1].file).toBe("store-float16.onnx");
    // They were handed over as they ended.
    expect(told).not.toEqual(measured);
    expect(told.toSorted()).toEqual(measured.toSorted());
    expect(left.map(({ recipe, reason }) => [recipe, reason])).toEqual([
      ["share-weights", "its process was killed"],
    ]);
  });

  test("an abort ends all of them", async () => {
    const log: string[] = [];
    const stop: (() => void)[] = [];
    const waiting = () => new Promise<boolean>((resolve) => stop.push(() => resolve(false)));
    const runner = runnerOf(3, log, waiting);
    const close = async () => {
      await runner.close();
      for (const end of stop) end();
    };
    const own = { ...env, signal: AbortSignal.abort() };
    const late = survey(loaded, own, { recipes, runner: { ...runner, close } });
    await expect(late).rejects.toMatchObject({ code: "aborted" });
    expect(log).toEqual(["close"]);
  });
});

test("recipes travel as text; those with methods from outside stay", () => {
  expect(textFor([])).toEqual({ text: "simplify" });
  const [step] = parseRecipe("share-weights:bits=4");
  expect(textFor([step])).toEqual({ text: "share-weights:bits=4" });
  const own = { ...step, id: "my-method", method: { ...step.method, id: "my-method" } };
  expect(textFor([own])).toMatchObject({ reason: expect.stringContaining("my-method") });
});
