/** @file Order, headings, links and words of the reports: what a reader sees first. */
import { describe, expect, test } from "vitest";
import { linkFrom } from "../../src/cli/paths.ts";
import { htmlReport } from "../../src/report/html.ts";
import { surveyMarkdown } from "../../src/report/markdown.ts";
import { figuresOf } from "../../src/report/plots.ts";
import { rowsOf } from "../../src/report/report.ts";
import { layerTable, surveyTable } from "../../src/report/table.ts";
import { inspection, lenet, mobile, unlabelled } from "./fixture.ts";

const plain = (width: number) => ({ width, color: false });

describe("the best row is first", () => {
  // By hand from the fixture: a drop of at most 0.5 points keeps quality, of at most 2 is fair.
  const order = [
    "original",
    "distill:student=half > quantize-int8", // 114 kB
    "circulant:block=50 > train:epochs=3", // 144 kB
    "prune-magnitude:sparsity=0.92 > train:epochs=3 > share-weights:bits=5 > train > pack", // 171 kB
    "quantize-int8", // 441 kB
    "prune-channels:ratio=0.5 > train:epochs=3", // 448 kB
    "share-weights:bits=5 > train:epochs=2 > pack", // 453 kB
    "tie-filters > train:epochs=3", // 1.68 MB
    "simplify", // 1.72 MB
    "factor-svd:energy=0.9", // drop 0.61
    "binarize:first-last=float > train:epochs=5", // drop 2.26
    "prune-random:sparsity=0.9", // drop 67.71
  ];

  test("after the original: quality kept, then the smaller file", () => {
    expect(rowsOf(lenet()).map(({ recipe }) => recipe)).toEqual(order);
  });

  test("in the terminal, in Markdown and in the page", () => {
    const shown = order.map((recipe) => recipe.split(/[ :]/)[0]);
    const table = surveyTable(lenet(), plain(400)).split("\n").slice(2, 14);
    expect(table.map((row) => row.trim().replace(/^★ /, "").trim().split(/[ :]/)[0])).toEqual(
      shown,
    );
    const rows = [...surveyMarkdown(lenet()).matchAll(/^\| .{3} \| `([^`]*)`/gm)];
    expect(rows.map(([, recipe]) => recipe)).toEqual(order);
    const page = htmlReport(lenet());
    const cells = [
      ...page.matchAll(/<td class="recipe" data-key="(\d+)">.*?<code>(.*?)<\/code>/gs),
    ];
    const text = (markup: string) => markup.replace(/<[^>]*>/g, "").replaceAll("&gt;", ">");
    expect(cells.map(([, key, code]) => [Number(key), text(code)])).toEqual([...order.entries()]);
  });

  test("unmeasured quality is before lost quality", () => {
    const report = lenet();
    const [first, ...others] = report.results;
    const results = [{ ...first, marks: { ...first.marks, performance: "?" as const } }, ...others];
    const names = rowsOf({ ...report, results }).map(({ recipe }) => recipe);
    expect(names.indexOf("simplify")).toBe(
      names.indexOf("binarize:first-last=float > train:epochs=5") - 1,
    );
  });
});

describe("marks and the survey paper's opinion", () => {
  const words = /opinion|\bmarks?\b|△/i;

  test("are left out by default", () => {
    expect(surveyTable(lenet(), plain(190))).not.toMatch(words);
    expect(surveyTable(lenet(), plain(190))).toContain(
      "★ no other row is smaller, faster and as good",
    );
  });

  test("come with the words that explain them", () => {
    for (const width of [60, 100, 190]) {
      const text = surveyTable(lenet(), { ...plain(width), marks: true }).replace(/\s+/g, " ");
      expect(text).toMatch(/In brackets .*the survey paper/);
      expect(text).toContain("o at least 2x smaller");
      expect(text).toContain("The paper's marks hold for 17 of 36");
    }
  });

  test("have a section of their own in the page, closed at first", () => {
    const page = htmlReport(lenet());
    const [before, after] = page.split("<h2>Beside the survey paper</h2>");
    expect(before.replace(/<style>.*?<\/style>/s, "")).not.toMatch(
      /opinion|\bmarks?\b|title="[^"]*△/i,
    );
    expect(after).toContain("<details>");
    expect(after).toMatch(/In brackets/);
    expect(after).toContain('<th scope="col">ease</th>');
  });
});

describe("headings", () => {
  test("say the unit, or the quantity that a bare unit leaves out", () => {
    const [head] = surveyTable(lenet(), plain(220)).split("\n");
    expect(head.trim().split(/ {2,}/)).toEqual(
      expect.arrayContaining(["file", "smaller", "CPU ms", "accuracy %", "drop points", "flips %"]),
    );
    expect(head).not.toMatch(/alpha/);
    const layers = layerTable(inspection(lenet()), plain(140)).split("\n")[2];
    expect(layers).toContain("CPU ms");
    expect(htmlReport(lenet())).not.toMatch(/>alpha</);
  });
});

describe("model links", () => {
  test("rows and cards lead to the models, the original does not", () => {
    const page = htmlReport(lenet(), { linkOf: linkFrom("out/report.html") });
    expect(page.match(/<a href="\.\/quantize-int8\.onnx"/g)).toHaveLength(1);
    const best = page.match(/<a href="\.\/distill-student-half-quantize-int8\.onnx"/g);
    expect(best).toHaveLength(2); // in its row and on its card
    expect(page).not.toContain("original.onnx");
    expect(htmlReport(lenet())).not.toMatch(/href="[^"]*\.onnx"/);
  });

  test("are relative to the report, and hostile names stay names", () => {
    expect(linkFrom("out/report.html")("out/a b#1.onnx")).toBe("./a%20b%231.onnx");
    expect(linkFrom("report.html")("out/model.onnx")).toBe("./out/model.onnx");
    expect(linkFrom("a/b/report.html")("a/model.onnx")).toBe("../model.onnx");
    expect(linkFrom("report.html")("javascript:alert(1)")).toBe("./javascript%3Aalert(1)");
  });
});

describe("paths", () => {
  const name = "/home/someone/exports/2026-11/mobile_net-v3.onnx";
  const page = htmlReport({
    ...lenet(),
    model: { ...lenet().model, name },
    commandLine: `tersor survey ${name}`,
  });

  test("the heading is the file's name", () => {
    expect(page).toContain("<h1>mobile_<wbr>net-<wbr>v3.<wbr>onnx</h1>");
  });

  test("break where a reader expects it, and stay whole as text", () => {
    const [, command] = /<pre>(.*?)<\/pre>/s.exec(page)!;
    expect(command).toContain("home/<wbr>someone/<wbr>exports/");
    expect(command.replaceAll("<wbr>", "")).toBe(`tersor survey ${name}`);
  });
});

describe("charts", () => {
  test("of quality need two recipes at least, of layers two layers", () => {
    const report = lenet();
    const one = { ...report, results: report.results.slice(2, 3) };
    expect(figuresOf(one).pareto).toEqual([]);
    expect(figuresOf({ ...one, errors: [] }).layers).toHaveLength(1);
    expect(figuresOf({ ...one, errors: [], layers: report.layers.slice(0, 1) }).layers).toEqual([]);
    expect(figuresOf({ ...report, results: report.results.slice(2, 4) }).pareto).toHaveLength(2);
  });

  test("of latency need times that differ", () => {
    const report = lenet();
    const results = report.results.map((row) => ({ ...row, latency: report.baseline.latency }));
    expect(figuresOf({ ...report, results }).pareto.map(({ title }) => title)).toEqual([
      "Quality against file size",
    ]);
  });
});

describe("a narrow terminal", () => {
  test.each([60, 80])("keeps words whole at %i columns", (width) => {
    for (const report of [lenet(), mobile(), unlabelled()]) {
      const text = surveyTable(report, plain(width));
      const parts = report.results.flatMap(({ recipe }) => recipe.split(/[ :,]/));
      for (const part of parts) expect(text).toContain(part);
    }
  });

  test("rows of other operators say which", () => {
    const layers = lenet().layers.map((layer, i) =>
      i === 3 ? { ...layer, name: "other", op: "MaxPool", shape: [] } : layer,
    );
    const text = layerTable({ ...inspection(lenet()), layers }, plain(60));
    expect(text).toMatch(/^MaxPool \(all\) /m);
    expect(htmlReport({ ...lenet(), layers })).toContain(">MaxPool (all)<");
  });
});
