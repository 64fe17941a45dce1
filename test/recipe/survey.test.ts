/** @file A survey goes on whatever one method does, and trains where a recipe asks for it. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { defineMethod } from "../../src/methods/method.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { load, openJob, survey as surveyByApi } from "../../src/node.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Event } from "../../src/recipe/environment.ts";
import { loadModel } from "../../src/recipe/load.ts";
import { needsTraining } from "../../src/recipe/needs.ts";
import { formatRecipe, parseRecipe } from "../../src/recipe/steps.ts";
import { survey, surveyRecipes } from "../../src/recipe/survey.ts";
import { familyOfRecipe } from "../../src/recipe/trial.ts";
import { writeFixtures } from "../cli/fixtures.ts";
import { temporaryFolder } from "../cli/run.ts";
import { environmentOf } from "../support/apply.ts";
import { nets } from "../support/nets.ts";
import { quickPlatform } from "../support/quick-platform.ts";

const folder = temporaryFolder();
beforeAll(() => writeFixtures(folder));
afterAll(() => folder.close());

const net = nets.find(({ name }) => name === "gemms")!;
const loaded = await loadModel(concat(writeModel(net.model)), nodePlatform);
const env = environmentOf(net, { platform: quickPlatform(), timingMs: 1 });

/** A method that fails as a mistake in its code would. */
const faulty = defineMethod({
  ...{ id: "faulty", title: "", cite: "", summary: "", needs: [], survey: [], neutral: null },
  options: z.object({}),
  apply() {
    new Float32Array(-1);
  },
});

describe("the recipes of a survey", () => {
  test.each([false, true])("have one of each family first (with training: %s)", (trains) => {
    const recipes = surveyRecipes(trains);
    const kinds = new Set(recipes.slice(1).map(familyOfRecipe));
    kinds.delete("control");
    // Three families are known for a method that trains and have others that do not.
    const end = 1 + kinds.size + (trains ? 3 : 0);
    expect(new Set(recipes.slice(1, end).map(familyOfRecipe))).toEqual(kinds);
    if (trains) expect(kinds.size).toBe(7);
    // Then those that train nothing.
    const later = recipes.slice(end).map(needsTraining);
    expect(later.slice(later.indexOf(true)).every(Boolean) || !trains).toBe(true);
  });
});

test("with data to train on, the first method of a family is tried where it trains, too", () => {
  const trained = surveyRecipes("families").filter(needsTraining);
  expect(trained.map(familyOfRecipe)).toEqual(["structured", "filters", "distillation", "other"]);
  expect(surveyRecipes("families").length).toBe(surveyRecipes().length + 4);
  // Where all that train are tried, these come before anything else, too.
  const firsts = surveyRecipes("families").slice(0, 12).map(formatRecipe);
  expect(surveyRecipes(true).slice(0, 12).map(formatRecipe)).toEqual(firsts);
});

describe("survey", () => {
  test("names a mistake and measures the others", async () => {
    const events: Event[] = [];
    const own = { ...env, onEvent: (event: Event) => void events.push(event) };
    const recipes = [parseRecipe([{ method: faulty }]), parseRecipe("store-float16")];
    const { results, left, warnings } = await survey(loaded, own, { recipes });
    expect(results.map(({ recipe }) => recipe)).toEqual(["original", "store-float16"]);
    expect(left).toHaveLength(1);
    expect(left[0].reason).toMatch(/^internal error: RangeError: .{8,}/);
    expect(warnings).toEqual([`faulty: ${left[0].reason}`]);
    expect(events).toContainEqual({ type: "warning", text: warnings[0] });
  });

  test("stops when it is told to, in the middle of a recipe", async () => {
    const controller = new AbortController();
    const own = { ...env, signal: controller.signal };
    const stop = { ...faulty, id: "stop", apply: () => controller.abort() };
    const recipes = [parseRecipe([{ method: stop }, { method: "store-float16" }])];
    await expect(survey(loaded, own, { recipes })).rejects.toMatchObject({ code: "aborted" });
  });

  test("has the rows of an earlier run from the first report on, in the recipes' order", async () => {
    const texts = ["store-float16", "share-weights:bits=2", "quantize-weights", "store-float16"];
    const recipes = texts.map((text) => parseRecipe(text));
    const whole = await survey(loaded, env, { recipes });
    const [, , shared] = whole.results;
    const told: (readonly [string, boolean, string])[] = [];
    const { results, errors } = await survey(loaded, env, {
      recipes,
      done: [shared],
      doneErrors: whole.errors.slice(1, 2),
      onRow(row, bytes, { results }) {
        told.push([row.recipe, bytes !== null, results.map(({ recipe }) => recipe).join()]);
      },
    });
    const [half, share, quantized] = ["store-float16", "share-weights:bits=2", "quantize-weights"];
    expect(told).toEqual([
      ["original", false, ["original", share].join()],
      [half, true, ["original", half, share].join()],
      [quantized, true, ["original", half, share, quantized].join()],
    ]);
    expect(results[2]).toBe(shared);
    expect(errors).toEqual(whole.errors);
  });

  test("says beforehand which of the usual recipes are not possible", async () => {
    const blind = { ...env, calibration: null, training: null };
    const { left } = await survey(loaded, blind, { budgetSeconds: 0 });
    const reasons = new Map(left.map(({ recipe, reason }) => [recipe, reason]));
    expect(reasons.get("quantize-int8")).toBe("needs data to calibrate on");
    expect(reasons.get("share-weights")).toBe("the budget of 0 s was used up");
    const later = new Map(left.map(({ recipe, later }) => [recipe, later]));
    expect([later.get("quantize-int8"), later.get("share-weights")]).toEqual([false, true]);
  });

  test("tries methods that train only where it is asked to", async () => {
    const own = (trains: boolean) => surveyRecipes(trains).filter(needsTraining).map(formatRecipe);
    expect(own(false)).toEqual([]);
    expect(own(true)).toEqual(expect.arrayContaining(["quantize-lsq", "binarize-bwn"]));
    const jobOf = (trains: boolean) => openJob(loaded, { trains });
    expect((await jobOf(false)).training).toBe(null);
    expect((await jobOf(true)).training).not.toBe(null);
  });

  test("keeps the checkpoints of recipes apart", async () => {
    const names: string[] = [];
    const checkpoints = {
      load: async (name: string) => {
        names.push(name);
        return null;
      },
      save: async () => {},
      where: (name: string) => name,
    };
    const train = "train:steps=1,holdout=0,loss=logits";
    const recipes = [`prune-random > ${train}`, `prune-magnitude > ${train}`];
    await survey(
      loaded,
      { ...env, checkpoints },
      { recipes: recipes.map((text) => parseRecipe(text)) },
    );
    expect(names).toHaveLength(2);
    expect(names.every((name) => name.endsWith(" 2 train"))).toBe(true);
    expect(new Set(names).size).toBe(2);
  });

  test("sets records aside where a recipe trains, the same for all rows", async () => {
    const model = await load(folder.in("model.onnx"));
    const recipes = ["store-float16", "train:steps=4,holdout=0 > store-float16"];
    const data = `jsonl:${folder.in("data.jsonl")}`;
    const found = await surveyByApi(model, { data, recipes, timingSeconds: 0.02 });
    expect(found.left).toEqual([]);
    const [, half, trained] = found.results;
    expect(trained.ease).toMatchObject({ training: true, data: "labelled" });
    // A fifth of 60 records judges; the others train.
    expect(found.results.map(({ metric }) => metric?.n)).toEqual([12, 12, 12]);
    expect(half.ease.training).toBe(false);
  });

  test("refuses named recipes that are not possible", async () => {
    const model = await load(folder.in("model.onnx"));
    const blind = surveyByApi(model, { recipes: ["store-float16", "train:steps=4"] });
    await expect(blind).rejects.toMatchObject({ code: "needs-training", where: "train:steps=4" });
  });
});
