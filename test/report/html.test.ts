/** @file The HTML report: hostile names stay text, nothing is fetched, the policy fits the script. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { htmlReport } from "../../src/report/html.ts";
import { pageScript, scriptHash } from "../../src/report/html-script.ts";
import { printedTables } from "../../src/report/printed.ts";
import { attributesOf, checkMarkup, hostile, lenet, mobile, unlabelled } from "./fixture.ts";

const bare = { ...lenet(), results: [], layers: [], pareto: [], errors: [] };
const one = { ...lenet(), results: lenet().results.slice(2, 3) };
const reports = {
  bare,
  one,
  lenet: lenet(),
  mobile: mobile(),
  hostile: hostile(),
  unlabelled: unlabelled(),
};

describe.each(Object.entries(reports))("%s", (_, report) => {
  const page = htmlReport(report);

  test("is well-formed, with unique ids", () => {
    checkMarkup(page.replace(/^<!doctype html>/, ""));
    const ids = [...page.matchAll(/ id="([^"]*)"/g)].map((match) => match[1]);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [, target] of page.matchAll(/ href="#([^"]*)"/g)) expect(ids).toContain(target);
  });

  test("asks the network for nothing", () => {
    expect(page.match(/<(link|img|iframe|object|embed|base|form|audio|video)\b/gi)).toBe(null);
    for (const attribute of attributesOf(page))
      expect(attribute).not.toMatch(/ (src|srcset|action|poster|background|ping)$/i);
    expect(page.match(/url\(|@import/gi)).toBe(null);
    for (const [, target] of page.matchAll(/ href="([^"]*)"/g)) expect(target).toMatch(/^#/);
    expect(page.includes("default-src &#39;none&#39;")).toBe(true);
  });

  test("holds one script, ours, and no handler attributes", () => {
    expect(page.match(/<script/gi)).toHaveLength(1);
    expect(page.includes(`<script>${pageScript}</script>`)).toBe(true);
    const attributes = attributesOf(page);
    expect(attributes).toContain("table class");
    for (const attribute of attributes) expect(attribute).not.toMatch(/ on/i);
  });

  test("prints no NaN, no undefined", () => {
    const text = page.replace(/<(style|script)>.*?<\/\1>/gs, "").replace(/<[^>]*>/g, " ");
    expect(text).not.toMatch(/\b(NaN|Infinity|undefined|null)\b/);
  });
});

test("the policy's hash is the script's", () => {
  const hash = createHash("sha256").update(pageScript).digest("base64");
  expect(scriptHash).toBe(`sha256-${hash}`);
});

test("hostile names are shown as text", () => {
  const page = htmlReport(hostile());
  expect(page).toContain("&lt;script&gt;alert(1)&lt;/script&gt;");
  expect(page).not.toContain("<script>alert");
  expect(page).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
});

test("has the figures, the conditions and the survey's tables", () => {
  const page = htmlReport(lenet()).replaceAll("<wbr>", "");
  for (const { rows } of printedTables)
    for (const cell of rows.flat()) expect(page).toContain(`<td>${cell}</td>`);
  for (const text of [
    "15.1x smaller",
    "3.3x faster",
    "1.73 MB → 114 kB",
    "99.13 → 98.97 %",
    "onnxruntime-node 1.30.0",
    "tersor survey lenet5.onnx --data mnist:test --calib mnist:train -o out",
    "sha256:5f2b1c9d0e7a4431",
  ])
    expect(page).toContain(text);
  expect(page.match(/<tr id="row-/g)).toHaveLength(12);
});

test("a single result is called so, and what is within the noise is no change", () => {
  const [, , , row] = lenet().results; // share-weights: 0.02 points of 0.19
  const page = htmlReport({ ...lenet(), results: [row] });
  expect(page).toContain("<h3>Result</h3>");
  expect(page).toContain("Quality is kept (at most a drop of 0.5 points).");
  expect(page).toMatch(/<b>no difference<\/b> <span>99\.13 → 99\.11 %, drop 95 % -/);
  expect(page).toMatch(/<dt>latency<\/dt><dd><b>no difference<\/b>/);
});

test("channels, heads and neurons: what was left, and why", () => {
  const group = { method: "prune-channels", node: "conv1", before: 16, after: 12 };
  const page = htmlReport({ ...lenet(), groups: [{ ...group, reason: "lowest by <l2>" }] });
  const cells = ["prune-channels", "conv1", "16", "12", "lowest by &lt;l2&gt;"];
  expect(page).toContain(cells.map((cell) => `<td>${cell}</td>`).join(""));
});

test("the same report gives the same bytes", () => {
  expect(htmlReport(lenet())).toBe(htmlReport(lenet()));
});
