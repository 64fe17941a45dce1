/** @file Terminal tables: golden text at three widths, nothing wider than asked, colour adds nothing. */
import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import { warningLines } from "../../src/report/findings.ts";
import { displayWidth } from "../../src/report/format.ts";
import { plainText } from "../../src/report/span.ts";
import {
  benchTable,
  evalTable,
  layerTable,
  resultLine,
  surveyTable,
} from "../../src/report/table.ts";
import {
  benchRuns,
  hostile,
  inspection,
  lenet,
  mobile,
  unlabelled,
  unlabelledMaps,
  withoutData,
} from "./fixture.ts";

const golden = (name: string) => `golden/${name}.txt`;
const plain = (width: number) => ({ width, color: false });

describe("golden text", () => {
  test.each([80, 100, 140, 190])("LeNet-5 survey at %i columns", async (width) => {
    await expect(`${surveyTable(lenet(), plain(width))}\n`).toMatchFileSnapshot(
      golden(`lenet-${width}`),
    );
  });

  test("a mobile net: 60 layers, a row without latency", async () => {
    const report = mobile();
    const text = `${layerTable(inspection(report), plain(120))}\n\n${surveyTable(report, plain(120))}\n`;
    await expect(text).toMatchFileSnapshot(golden("mobile"));
  });

  test("layers, bench, eval and one line", async () => {
    const { baseline, results } = lenet();
    const text = [
      layerTable(inspection(lenet()), plain(100)),
      benchTable(benchRuns(), plain(100)),
      evalTable(results[2], plain(100)),
      ...results.map((row) => resultLine(row, baseline)),
    ].join("\n\n");
    await expect(`${text}\n`).toMatchFileSnapshot(golden("others"));
  });
});

describe("any width", () => {
  const widths = Array.from({ length: 30 }, (_, i) => 40 + 7 * i);
  const reports = {
    lenet: lenet(),
    mobile: mobile(),
    hostile: hostile(),
    unlabelled: unlabelled(),
    maps: unlabelledMaps(),
    "without data": withoutData(),
  };

  test.each(Object.entries(reports))("%s stays within it", (_, report) => {
    for (const width of widths) {
      const text = [
        surveyTable(report, plain(width)),
        layerTable(inspection(report), plain(width)),
        benchTable(benchRuns(), plain(width)),
      ].join("\n");
      for (const row of text.split("\n")) expect(displayWidth(row), row).toBeLessThanOrEqual(width);
    }
  });

  test.each(Object.entries(reports))("%s in colour has the same text", (_, report) => {
    for (const width of [60, 100, 200]) {
      const colored = surveyTable(report, { width, color: true });
      const strip = (text: string) => stripVTControlCharacters(text).replace(/ +$/gm, "");
      expect(colored).toContain("\u001b[");
      expect(strip(colored)).toBe(surveyTable(report, plain(width)));
    }
  });

  test("a wider table keeps every column of a narrower one, or the four marks for one", () => {
    const columns = (width: number) =>
      surveyTable(lenet(), plain(width)).split("\n")[0].trim().split(/ {2,}/);
    for (const width of widths.slice(1)) {
      const wide = columns(width);
      for (const name of columns(width - 7))
        expect(wide, `${width}`).toContain(
          name === "marks" && wide.includes("perf") ? "perf" : name,
        );
    }
  });
});

test("a warning does not name its step twice", () => {
  const said = (recipe: string): string => {
    const [row] = lenet().results;
    const warnings = ["pack: this is told"];
    return warningLines([{ ...row, recipe, warnings }])
      .map(plainText)
      .join();
  };
  expect(said("pack:size=2")).toBe("pack: this is told");
  expect(said("prune > pack")).toBe("prune > pack: pack: this is told");
});

test("outputs that equal the original's are exact, not a number", () => {
  const report = unlabelledMaps();
  const [equal, moved] = report.results;
  const rows = surveyTable(report, plain(4000)).split("\n");
  expect(rows.find((text) => /^ *simplify /.test(text))).toMatch(/ exact( |$)/);
  expect(resultLine(equal, report.baseline)).toMatch(/, fidelity exact$/);
  expect(resultLine(moved, report.baseline)).toMatch(/, fidelity 38.00 dB$/);
  expect(evalTable(equal, plain(100))).toMatch(/fidelity +exact\n[^]*SQNR +exact\n/);
});

test("a drop in one line has its interval, and says where that contains none", () => {
  const { results, baseline } = lenet();
  const [row] = results;
  const said = (drop: number, dropCi95: [number, number]) =>
    resultLine({ ...row, metric: { ...row.metric!, drop, dropCi95 } }, baseline);
  expect(said(-0.25, [-0.848, 0.349])).toContain("(drop -0.85 to +0.35: no difference), ");
  expect(said(0.25, [0.1, 0.4])).toContain("(drop +0.10 to +0.40), ");
});

test("a row without a metric says that there is none", () => {
  const { results, baseline } = withoutData();
  expect(resultLine(results[2], baseline)).toMatch(/, no quality figure$/);
});

test("control characters in names do not reach the terminal", () => {
  const text = surveyTable(hostile(), plain(100)) + layerTable(inspection(hostile()), plain(100));
  expect(text.replaceAll("\n", "")).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
});

describe("verdict", () => {
  const verdict = (text: string) => text.slice(text.indexOf("\nVerdict\n"));

  test("names the fastest and the smallest that keep quality, not the ones that lose it", () => {
    const report = lenet();
    // By hand: the binarized net is smaller than every keeper but drops 2.26 points.
    const text = verdict(surveyTable(report, plain(4000)));
    expect(text).toContain("Fastest and smallest: distill:student=half > quantize-int8");
    expect(text).not.toContain("Smallest: binarize");
    expect(text).toMatch(
      /Smaller, not faster: .*share-weights > train > pack \(no difference, 0\.97-1\.03\)/,
    );
    expect(text).toContain("binarize > train (0.95x, 0.92-0.98)");
    expect(text).toContain("Smaller as a download only, the file stays as large: prune-random.");
  });

  test("a speed-up that is small but certain is not called no difference", () => {
    const report = lenet();
    const [row] = report.results;
    const said = (infer: number, low: number, high: number) => {
      const ci95 = { ...row.delta.ci95, infer: [low, high] as const };
      const only = { ...row, marks: { ...row.marks, speed: "△", performance: "o" } } as const;
      const result = { ...only, delta: { ...row.delta, infer, ci95 } };
      return verdict(surveyTable({ ...report, results: [result] }, plain(4000)));
    };
    expect(said(1.14, 1.11, 1.22)).toMatch(/a little faster: /i);
    expect(said(1.14, 0.99, 1.22)).toMatch(/not clearly faster: /i);
  });

  test.each([
    ["brotli", { gzip: 300, brotli: 200, packed: null }, "200 B with brotli (8,629x)"],
    ["gzip", { gzip: 200, brotli: null, packed: 250 }, "200 B with gzip (8,629x)"],
    ["packed", { gzip: 200, brotli: 300, packed: 100 }, "100 B packed (17,259x)"],
  ])("says how the smallest download is coded: %s", (_, sizes, words) => {
    const { results, ...report } = lenet();
    const bytes = { ...results[2].bytes, ...sizes };
    const text = surveyTable({ ...report, results: [{ ...results[2], bytes }] }, plain(4000));
    // 1,725,893 B / 200 = 8,629
    expect(verdict(text)).toContain(`Smallest download: quantize-int8, ${words}.`);
  });

  test("of nothing is one sentence", () => {
    const text = surveyTable({ ...lenet(), results: [], pareto: [] }, plain(100));
    expect(verdict(text)).toBe("\nVerdict\nNothing was compressed.");
  });

  test("says so when nothing keeps quality, and names the nearest", () => {
    const report = lenet();
    const results = report.results
      .filter((row) => row.marks.performance !== "o")
      .map((row) => ({ ...row }));
    expect(verdict(surveyTable({ ...report, results }, plain(4000)))).toContain(
      "None of 3 recipes keeps quality (at most a drop of 0.5 points); the nearest is factor-svd:energy=0.9 with a drop of 0.61 points.",
    );
  });

  test("says so when quality was not measured", () => {
    const report = withoutData();
    expect(verdict(surveyTable(report, plain(4000)))).toContain(
      "No quality figure: without data nothing here says which of 11 recipes can be used.",
    );
    const one = { ...report, results: report.results.slice(2, 3) };
    expect(verdict(surveyTable(one, plain(4000)))).toContain(
      "No quality figure: without data nothing here says whether the recipe can be used.",
    );
    expect(surveyTable(report, plain(4000))).toContain("★ no other row is both smaller and faster");
  });

  test("without labels and classes it speaks of fidelity, and claims no more", () => {
    const text = surveyTable(unlabelledMaps(), plain(4000));
    expect(verdict(text)).toContain(
      "Without labels the figures say how far outputs moved, not how good they are.",
    );
    expect(verdict(text)).toMatch(/Smallest: binarize\S* > \S+, .*, fidelity 32.00 dB\./);
  });

  test("without labels it speaks of changed predictions", () => {
    const text = verdict(surveyTable(unlabelled(), plain(4000)));
    expect(text).toContain("at most 0.5 % changed predictions");
    expect(text).toContain("0.48 % of predictions changed");
  });
});
