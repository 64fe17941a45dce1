/** @file The JSON contract of DESIGN 4: keys and their order, null for what is not a number. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { untimed } from "../../src/measure/measurement.ts";
import {
  benchJson,
  inspectJson,
  jsonText,
  resultReportJson,
  surveyJson,
} from "../../src/report/json.ts";
import { benchRuns, inspection, lenet, mobile } from "./fixture.ts";

const keys = (value: unknown) => Object.keys(value as object);
const reparse = (value: object) => JSON.parse(jsonText(value));

describe("a result", () => {
  const { model, results } = lenet();
  const { command, result } = reparse(resultReportJson("compress", model, results[2]));

  test("has the contract's keys in the contract's order", () => {
    expect(command).toBe("compress");
    // Copied from DESIGN 4; `family` is ours.
    expect(keys(result).filter((key) => key !== "family")).toEqual(
      "recipe file bytes params nonzeros macs latency metric alpha beta delta ease marks skipped warnings seed versions".split(
        " ",
      ),
    );
    expect(keys(result.bytes)).toEqual(["raw", "gzip", "brotli", "packed"]);
    expect(keys(result.latency)).toEqual(
      expect.arrayContaining(["median", "p90", "runtime", "threads", "n"]),
    );
    expect(keys(result.metric).slice(0, 7)).toEqual(
      "name value baseline drop ci95 flips kl".split(" "),
    );
    expect(keys(result.alpha)).toEqual(["params", "bytes", "brotli"]);
    expect(keys(result.beta)).toEqual(["survey", "saved"]);
    expect(keys(result.delta)).toEqual(["infer", "train", "recipe", "ci95"]);
    expect(keys(result.delta.ci95)).toEqual(["infer", "train", "recipe"]);
    expect(keys(result.ease)).toEqual(["data", "training", "seconds", "covered"]);
    expect(keys(result.marks)).toEqual(["size", "speed", "ease", "performance"]);
  });

  test("keeps its figures", () => {
    expect(result.bytes.raw).toBe(441_230);
    expect(result.metric).toMatchObject({ name: "accuracy", value: 99.09, drop: 0.04 });
    expect(result.latency.median).toBe(0.118);
  });

  test("does not depend on the order of the input's keys", () => {
    const reversed = (value: unknown): unknown =>
      Array.isArray(value) || typeof value !== "object" || value === null
        ? value
        : Object.fromEntries(
            Object.entries(value)
              .reverse()
              .map(([key, inner]) => [key, reversed(inner)]),
          );
    const shuffled = reversed(results[2]) as (typeof results)[0];
    expect(jsonText(resultReportJson("compress", model, shuffled))).toBe(
      jsonText(resultReportJson("compress", model, results[2])),
    );
  });

  test("says exact, because JSON has no infinity", () => {
    const metric = { ...results[2].metric!, name: "fidelity", value: Infinity, sqnr: Infinity };
    const json = (exact: boolean | null) =>
      reparse(resultReportJson("eval", model, { ...results[2], metric: { ...metric, exact } }))
        .result.metric;
    expect(json(true)).toMatchObject({ value: null, sqnr: null, exact: true });
    expect(json(null)).toMatchObject({ exact: null });
  });

  test("has null where there is no finite number", () => {
    const broken = {
      ...results[2],
      macs: Number.NaN,
      metric: { ...results[2].metric!, value: Number.POSITIVE_INFINITY, drop: Number.NaN },
      delta: {
        ...untimed,
        infer: Number.NEGATIVE_INFINITY,
        ci95: { ...untimed.ci95, infer: [Number.NaN, Number.POSITIVE_INFINITY] as const },
      },
      latency: null,
    };
    const object = resultReportJson("eval", model, broken);
    const walk = (value: unknown): void => {
      if (typeof value === "number") expect(Number.isFinite(value)).toBe(true);
      expect(value).not.toBe(undefined);
      if (value && typeof value === "object") Object.values(value).forEach(walk);
    };
    walk(object);
    expect(object.result).toMatchObject({ macs: null, latency: null, delta: { infer: null } });
  });
});

test("docs/results.md says what every field of a result means", () => {
  const text = readFileSync(new URL("../../docs/results.md", import.meta.url), "utf8");
  const named = new Set([...text.matchAll(/`([\w.]+)`/g)].map(([, name]) => name));
  const { result } = reparse(resultReportJson("compress", lenet().model, lenet().results[2]));
  const own = new Set(["ci95", "skipped", "warnings", "versions"]);
  const namesIn = (value: object, prefix = ""): string[] =>
    Object.entries(value).flatMap(([key, inner]) =>
      inner && typeof inner === "object" && !own.has(key)
        ? namesIn(inner, `${prefix}${key}.`)
        : [`${prefix}${key}`],
    );
  const fields = namesIn({ ...result, metric: { ...result.metric, dropCi95: null } });
  expect(fields.length).toBeGreaterThan(40);
  expect(fields.filter((name) => !named.has(name))).toEqual([]);
});

test("survey: {command, model, results, pareto}, the original first and once", () => {
  const report = lenet();
  const object = reparse(surveyJson({ ...report, results: [...report.results, report.baseline] }));
  expect(keys(object)).toEqual(["command", "model", "results", "pareto"]);
  expect(object.results.map((row: { recipe: string }) => row.recipe)).toEqual([
    "original",
    ...report.results.map((row) => row.recipe),
  ]);
  expect(object.pareto).toEqual(report.pareto);
});

test("inspect: {model, totals, layers}; bench: {runs}", () => {
  const inspected = reparse(inspectJson(inspection(mobile())));
  expect(keys(inspected)).toEqual(["model", "totals", "layers"]);
  expect(inspected.layers).toHaveLength(60);
  expect(inspected.totals.layers).toBe(60);
  expect(keys(reparse(benchJson(benchRuns())))).toEqual(["runs"]);
});
