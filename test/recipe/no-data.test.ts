/** @file Without data nothing claims quality; with data, what the outputs say is said. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { load, survey as surveyByApi } from "../../src/node.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { compress } from "../../src/recipe/compress.ts";
import { evaluate } from "../../src/recipe/evaluate.ts";
import { loadModel } from "../../src/recipe/load.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { survey } from "../../src/recipe/survey.ts";
import { missedTargets, parseTargets } from "../../src/recipe/target.ts";
import { htmlReport } from "../../src/report/html.ts";
import { surveyMarkdown } from "../../src/report/markdown.ts";
import { resultLine, surveyTable } from "../../src/report/table.ts";
import { writeFixtures } from "../cli/fixtures.ts";
import { temporaryFolder } from "../cli/run.ts";
import { environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { nets } from "../support/nets.ts";
import { quickPlatform } from "../support/quick-platform.ts";

const folder = temporaryFolder();
beforeAll(() => writeFixtures(folder));
afterAll(() => folder.close());

const net = nets.find(({ name }) => name === "gemms")!;
const loaded = await loadModel(concat(writeModel(net.model)), nodePlatform);
const quick = { platform: quickPlatform(), timingMs: 1 };
const blind = environmentOf(net, { ...quick, data: null, calibration: null, training: null });
const seeing = environmentOf(net, { ...quick, data: tensorDataset(net.feeds(24, 7)) });
const recipes = ["", "store-float16", "prune-random:sparsity=0.9"].map((text) => parseRecipe(text));

describe("without data", () => {
  test("a row has no metric and no mark for it, and its line says so", async () => {
    const { result, baseline } = await compress(loaded, blind, { steps: recipes[1] });
    expect([result.metric, baseline.metric]).toEqual([null, null]);
    expect(result.marks.performance).toBe("?");
    expect(resultLine(result, baseline)).toMatch(/, no quality figure$/);
  });

  test("nor has a comparison of two models", async () => {
    expect((await evaluate(loaded, blind, loaded)).metric).toBe(null);
  });

  test("a survey compares size and speed only, and no layers", async () => {
    const { results, errors } = await survey(loaded, blind, { recipes });
    expect(results.map(({ metric }) => metric)).toEqual([null, null, null, null]);
    expect(errors.flatMap(({ layers }) => layers)).toEqual([]);
  });

  test("no report claims quality", async () => {
    const model = await load(folder.in("model.onnx"));
    const texts = ["store-float16", "prune-random:sparsity=0.9"];
    const { report, table } = await surveyByApi(model, { recipes: texts, timingSeconds: 0.02 });
    expect(table({ width: 400 })).toContain(
      "No quality figure: without data nothing here says which of 2 recipes can be used.",
    );
    for (const text of [
      surveyTable(report, { width: 200, color: false }),
      surveyMarkdown(report),
      htmlReport(report).replace(/<style>[^]*?<\/style>|<script>[^]*?<\/script>/g, ""),
    ]) {
      expect(text).toContain("No quality figure");
      expect(text).not.toMatch(/keeps? quality|changed|fidelity|flips|SQNR|Error by layer|dB\b/i);
      expect(text).not.toContain("better in every respect");
    }
  });

  test("a limit of flips cannot be held against it", async () => {
    const { result } = await compress(loaded, blind, { steps: recipes[0] });
    const targets = parseTargets("flips<=100");
    expect(targets[0].needs).toBe("data");
    expect(missedTargets(targets, result)).toEqual(["flips<=100: flips was not measured"]);
  });
});

describe("with data without labels", () => {
  test("equal outputs are exact, bad ones a warning, layers are compared", async () => {
    const { results, errors } = await survey(loaded, seeing, { recipes });
    const [original, simplified, , pruned] = results;
    expect(original.metric).toBe(null);
    expect(simplified.metric).toMatchObject({ name: "fidelity", exact: true, flips: 0 });
    expect(simplified.marks.performance).toBe("o");
    expect(pruned.metric!.exact).toBe(false);
    expect(pruned.warnings.join()).toMatch(/low fidelity: output scores has -?\d+\.\d dB SQNR/);
    expect(errors.every(({ layers }) => layers.length > 0)).toBe(true);
  });
});

test("a target that is no class has no flips, not even in the original's row", async () => {
  const feeds = net.feeds(24, 7);
  const targets = tensor(
    "float32",
    [24, 8],
    Float32Array.from({ length: 192 }, (_, i) => i % 7),
  );
  const data = tensorDataset(feeds, targets);
  const { baseline } = await compress(loaded, { ...seeing, data }, { steps: [] });
  expect(baseline.metric).toMatchObject({ name: "snr", drop: 0, flips: null, kl: null });
});
