/**
 * @file Copies the results of the last `npm run demo`, tersor-out/demo/survey.json, to
 * results/demo.json, from which `npm run docs` writes the table in README.md.
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { writeRun } from "./record.ts";

const folder = new URL("../", import.meta.url);
const state = JSON.parse(readFileSync(new URL("tersor-out/demo/survey.json", folder), "utf8"));
for (const row of state.results) row.file = row.file && basename(row.file);
// What the survey would go on from is of this machine only.
const { model, results, pareto, complete } = state;
writeRun("demo", { command: "npm run bench:demo", model, results, pareto, complete });
