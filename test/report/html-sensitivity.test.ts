/** @file The page of a sensitivity: one bar for each layer and recipe, recipes to copy. */
import { describe, expect, test } from "vitest";
import { pageScript } from "../../src/report/html-script.ts";
import { sensitivityPage } from "../../src/report/html-sensitivity.ts";
import type { Damage, LayerDamage, Sensitivity } from "../../src/report/report.ts";
import { attributesOf, checkMarkup, lenet } from "./fixture.ts";

const damage = (sqnr: number, drop: number | null = null): Damage => ({
  ...{ sqnr, kl: 0.1, flips: 2, drop, dropCi95: null, saved: 1000 },
});
const cell = (recipe: string, share: number, found: Damage | null): LayerDamage => ({
  ...{ recipe, share, damage: found, reason: found ? null : "is no layer" },
});
const hostileName = `<script>alert("x")</script>`;
const recipes = ["quantize-weights:bits=4", "prune-magnitude:sparsity=0.5"];
const found: Sensitivity = {
  ...{ records: 64, metric: "accuracy" },
  recipes: [
    {
      ...{ recipe: recipes[0], all: damage(12, 3), except: [hostileName], share: 0.8 },
      ...{ advice: `${recipes[0]},except=[worst]`, rest: damage(20, 0.5) },
    },
    { recipe: recipes[1], all: null, except: [], share: 0, advice: recipes[1], rest: null },
  ],
  layers: [
    {
      ...{ name: hostileName, op: "Conv", share: 0.4 },
      recipes: [cell(recipes[0], 0.8, damage(13, 2.5)), cell(recipes[1], 0, null)],
    },
    {
      ...{ name: "second", op: "Gemm", share: 0.1 },
      recipes: [cell(recipes[0], 0.2, damage(19, 0.5)), cell(recipes[1], 0, damage(Infinity, 0))],
    },
  ],
};
const about = { commandLine: "tersor inspect", date: "2026-11-30T10:00:00Z", data: "mnist:test" };
const pageOf = (sensitivity: Sensitivity) =>
  sensitivityPage({ ...lenet(), totals: null as never, sensitivity }, sensitivity, about);
const page = pageOf(found);

describe("the page of a sensitivity", () => {
  test("is well-formed, asks for nothing, and holds one script, ours", () => {
    checkMarkup(page.replace(/^<!doctype html>/, ""));
    expect(page.match(/<script/gi)).toHaveLength(1);
    expect(page).toContain(`<script>${pageScript}</script>`);
    for (const attribute of attributesOf(page)) expect(attribute).not.toMatch(/ (on|src)/i);
    expect(page.match(/url\(|@import|<(link|img|iframe)/gi)).toBeNull();
    expect(page).toContain("&lt;script&gt;alert(&quot;x&quot;)");
    const text = page.replace(/<(style|script)>.*?<\/\1>/gs, "").replace(/<[^>]*>/g, " ");
    expect(text).not.toMatch(/\b(NaN|Infinity|undefined|null)\b/);
  });

  test("bars are as long as the shares of the noise, in the order of the layers", () => {
    const widths = [
      ...page.matchAll(/<rect [^>]*width="([\d.]+)"[^>]*class="(bar|exact|track)[^"]*"/g),
    ];
    const bars = widths.filter(([, , kind]) => kind === "bar").map(([, width]) => Number(width));
    const track = Number(widths.find(([, , kind]) => kind === "track")?.[1]);
    expect(bars[0]).toBeCloseTo(track, 1);
    expect(bars[1] / track).toBeCloseTo(0.2 / 0.8, 2);
    expect(page.indexOf("&lt;script&gt;alert")).toBeLessThan(page.indexOf(">second<"));
    expect(page).toContain("13.0 dB, +2.5");
    expect(page).toContain("exact");
  });

  test("the recipe without the worst layers is text with a button to copy it", () => {
    expect(page).toMatch(/<pre class="copy">quantize-weights:.*except=\[worst\]<\/pre><button/s);
    expect(page.match(/<pre class="copy">/g)).toHaveLength(1);
    expect(page.match(/class="copy" hidden/g)).toHaveLength(1);
    expect(page.replace(/<[^>]*>/g, "")).toContain("1 layer of the most noise has 80 % of it");
  });

  test("of many layers the most sensitive have bars, of many recipes a map shows all", () => {
    const many = Array.from({ length: 40 }, (_, i) => ({
      ...{ name: `layer${i}`, op: "Conv", share: 1 / (i + 1) },
      recipes: Array.from({ length: 6 }, (_, r) => cell(`r${r}`, 1 / (i + 1), damage(10 + i))),
    }));
    const wide = pageOf({
      ...found,
      recipes: Array.from({ length: 6 }, (_, r) => ({ ...found.recipes[1], recipe: `r${r}` })),
      layers: many,
    });
    checkMarkup(wide.replace(/^<!doctype html>/, ""));
    expect(wide).toContain('id="sensitivity-map-title"');
    expect(page).not.toContain('id="sensitivity-map-title"');
    expect(wide.match(/<rect [^>]*class="bar"/g)?.length).toBe(2 * 6 * 24);
    expect(wide).toContain("the 24 most sensitive of 40 layers");
  });
});
