/** @file No sentence of the library tells a user of the page to set a flag or to run a command. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { errors } from "../../src/errors.ts";
import { infoInPage, inPage } from "../../studio/src/parts/in-page.ts";

const folder = new URL("../../src/", import.meta.url);
/** What runs in a terminal only, and what no page shows as text. */
const elsewhere = /^(cli|node|cluster|report)[/\\]|^node\.ts$/;
const literal = /`(?:[^`\\]|\\.)*`|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g;
const flagOrCommand = /(?<![\w-])--[a-z]|\btersor (?:inspect|eval|methods|compress|survey|train)\b/;

test("every text of the library that names a flag or a command has words of its own", () => {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const texts = files
    .filter((path) => path.endsWith(".ts") && !elsewhere.test(path))
    .flatMap((path) => {
      const code = readFileSync(new URL(path, folder), "utf8").replace(/\/\*\*[\s\S]*?\*\//g, "");
      return (code.match(literal) ?? []).filter((text) => flagOrCommand.test(text));
    });
  expect(texts.length).toBeGreaterThan(50);
  expect(texts.map(inPage).filter((text) => flagOrCommand.test(text))).toEqual([]);
});

test("says what the page calls it", () => {
  expect(infoInPage(errors.needsData("prune-wanda", ", or take another method"))).toEqual({
    code: "needs-data",
    what: "needs data to calibrate on",
    where: "prune-wanda",
    remedy: "Choose data (a few hundred unlabelled inputs are enough), or take another method",
  });
  expect(infoInPage(errors.badOption("--dims", "there is no axis", "Correct it")).where).toBe(
    "“Sizes of open axes”",
  );
  const said: Record<string, string> = {
    "Give --data": "Choose data",
    "Give --calib with training data, e.g. --calib mnist:train": "Choose data to train on",
    "Give --teacher <model>, labels to learn from, or a step before it that compresses":
      "Give labels to learn from, or a step before it that compresses",
    "Give --teacher <model>, or leave mixup out": "Leave mixup out",
    "Give labelled data, or --teacher <model>": "Give labelled data",
    "Check the preprocessing: --mean, --std, --scale, --layout, --label-offset":
      "Check the preprocessing: “mean”, “std”, “scale”, “layout”, “labelOffset”",
    "Check the file with: tersor inspect": "Check the file under Overview",
    "judged by fidelity against the original (others with --metric)":
      "judged by fidelity against the original",
    "Use this many records of --data and of --calib, evenly spaced":
      "Use this many records of the data, evenly spaced",
    "Give sizes with --dims H,W, or --data": "Give sizes with “Sizes of open axes” H,W, or data",
  };
  for (const [from, to] of Object.entries(said)) expect(inPage(from)).toBe(to);
});
