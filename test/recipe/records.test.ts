/** @file Which records judge and which calibrate is told, and that they are others is checked. */
import { copyFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Records } from "../../src/measure/measurement.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { compress, jsonl, load, train } from "../../src/node.ts";
import type { Event } from "../../src/recipe/environment.ts";
import type { Loaded } from "../../src/recipe/load.ts";
import { prepare, type Settings } from "../../src/recipe/prepare.ts";
import { htmlReport } from "../../src/report/html.ts";
import { jsonText, resultReportJson } from "../../src/report/json.ts";
import { surveyMarkdown } from "../../src/report/markdown.ts";
import { recordsText } from "../../src/report/records.ts";
import { surveyTable } from "../../src/report/table.ts";
import { writeFixtures } from "../cli/fixtures.ts";
import { temporaryFolder } from "../cli/run.ts";

const folder = temporaryFolder();
const at = (name: string) => folder.in(name);
let model: Loaded;
beforeAll(async () => {
  writeFixtures(folder);
  copyFileSync(at("data.jsonl"), at("copy.jsonl"));
  writeFileSync(at("one.jsonl"), JSON.stringify({ x: new Array(64).fill(0.5), label: 1 }));
  model = await load(at("model.onnx"));
});
afterAll(() => folder.close());

const data = jsonl(at("data.jsonl"));

/** What is told of the records, and the warnings. */
async function told(settings: Settings) {
  const warnings: string[] = [];
  const onEvent = (event: Event) => void (event.type === "warning" && warnings.push(event.text));
  const { records } = await prepare(model, nodePlatform, { ...settings, onEvent });
  return { records, warnings };
}

const facts = (
  judged: number | null,
  calibration: number | null,
  training: number | null,
  from: Records["from"],
): Records => ({ judged, calibration, training, from });

describe("records", () => {
  test.each<[string, () => Settings, Records | null]>([
    ["one set is divided", () => ({ data }), facts(48, 12, null, "held")],
    [
      "a limit goes first",
      () => ({ data: jsonl(at("data.jsonl"), { limit: 40 }) }),
      facts(32, 8, null, "held"),
    ],
    ["with training", () => ({ data, trains: true }), facts(12, 48, 48, "held")],
    ["two sets", () => ({ data, calib: jsonl(at("beyond.jsonl")) }), facts(60, 60, null, "apart")],
    [
      "two sets, with training",
      () => ({ data, calib: jsonl(at("beyond.jsonl")), trains: true }),
      facts(60, 60, 60, "apart"),
    ],
    ["only to calibrate", () => ({ calib: data }), facts(null, 60, null, "apart")],
    ["all judge", () => ({ data, keepAll: true }), facts(60, null, null, null)],
    ["none", () => ({}), null],
  ])("%s", async (_, settings, records) => {
    expect(await told(settings())).toEqual({ records, warnings: [] });
  });

  test.each<[string, () => Settings]>([
    ["the same name", () => ({ data, calib: data })],
    ["a copy", () => ({ data, calib: jsonl(at("copy.jsonl")) })],
    [
      "more of the same file",
      () => ({ data: jsonl(at("data.jsonl"), { limit: 20 }), calib: data }),
    ],
  ])("that calibrate and judge are called so: %s", async (_, settings) => {
    const { records, warnings } = await told(settings());
    expect(records?.from).toBe("same");
    expect(warnings).toEqual([
      expect.stringMatching(
        /^calibrated and judged on the same records \(\S+data.jsonl\), .*a part is held back\.$/,
      ),
    ]);
    const trained = await told({ ...settings(), trains: true });
    expect(trained.warnings[0]).toMatch(/^trained and judged on the same records \(/);
  });

  test("a single record does both", async () => {
    const { records, warnings } = await told({ data: jsonl(at("one.jsonl")) });
    expect(records).toEqual(facts(1, 1, null, "same"));
    expect(warnings).toHaveLength(1);
  });

  test("are in the rows, in words in every report", async () => {
    const quick = { timingSeconds: 0.02 };
    const { result, report } = await compress(model, { ...quick, data, recipe: "store-float16" });
    expect(result.metric?.records).toEqual(facts(48, 12, null, "held"));
    expect(report.baseline.metric?.records).toEqual(result.metric?.records);
    const { result: json } = JSON.parse(jsonText(resultReportJson("", report.model, result)));
    expect(json.metric.records).toEqual(result.metric?.records);
    const held = "Judged on 48 records, 12 held for calibration.";
    for (const text of [
      surveyTable(report, { width: 100, color: false }),
      surveyMarkdown(report),
    ]) {
      expect(text).toContain(held);
    }
    expect(htmlReport(report)).toContain(held);
    const options = { steps: 2, holdout: 0.1 };
    const trained = await train(model, { ...quick, data, options });
    expect(trained.result.metric?.records).toEqual(facts(6, null, 54, "apart"));
    expect(trained.result.metric?.n).toBe(6);
    const tested = await train(model, { ...quick, data, options, test: jsonl(at("copy.jsonl")) });
    expect(tested.result.metric?.records?.from).toBe("same");
  });

  test.each<[Records | null, string | null]>([
    [facts(800, 200, null, "held"), "judged on 800 records, 200 held for calibration"],
    [facts(12, 48, 48, "held"), "judged on 12 records, 48 held for training and calibration"],
    [facts(10_000, 512, null, "apart"), "judged on 10,000 records, calibrated on 512 others"],
    [facts(6, null, 54, "apart"), "judged on 6 records, trained on 54 others"],
    [facts(10_000, 512, 60_000, "apart"), "judged on 10,000 records, trained on 60,000 others"],
    [facts(60, 60, null, "same"), "calibrated and judged on the same records"],
    [facts(60, 60, 60, "same"), "trained and judged on the same records"],
    [facts(1, null, null, null), "judged on 1 record"],
    [facts(null, 60, null, "apart"), null],
    [null, null],
  ])("%j is %s", (records, text) => {
    expect(recordsText(records)).toBe(text);
  });
});
