import type { Runs } from "../../bench/record.ts";
import type { Result } from "../../src/measure/measurement.ts";
import * as format from "../../src/report/format.ts";
import { speedup } from "../../src/report/speed.ts";
import { codecSection, resnetSection } from "./coding.ts";
import { deltaSection } from "./delta.ts";
import { distilSection } from "./distil.ts";
import { exitsSection } from "./exits.ts";
import { fftSection } from "./fft.ts";
import { filtersSection } from "./filters.ts";
import { formsSection } from "./forms.ts";
import { gatesSection } from "./gates.ts";
import { kernelsSection } from "./kernels.ts";
import { largeSection } from "./large.ts";
import { layoutSection } from "./layout.ts";
import { lenetSection } from "./lenet.ts";
import { linesSection } from "./lines.ts";
import { lowRankSection } from "./low-rank.ts";
import { code, latest, page, table } from "./page.ts";
import { peersSection } from "./peers.ts";
import { pruneSection, widthsSection } from "./pruning.ts";
import { ranksSection } from "./ranks.ts";
import { opsetSection, rewriteSection } from "./rewriting.ts";
import { rotateSection } from "./rotate.ts";
import { scaleSection } from "./scale.ts";
import { searchSection } from "./search.ts";
import { sentencesSection } from "./sentences.ts";
import { productsSection, structuredSection } from "./structured.ts";
import { learnSection, speedSection } from "./training.ts";
import { winogradSection } from "./winograd.ts";

/**
 * The sections of the page in their order, by the bench's name: `npm run bench:NAME` writes
 * bench/results/NAME.json, from which the section is made. A new bench is one line here.
 */
const sections: Readonly<Record<string, (results: never) => string[]>> = {
  rewrite: rewriteSection,
  opset: opsetSection,
  peers: peersSection,
  train: speedSection,
  learn: learnSection,
  distil: distilSection,
  search: searchSection,
  lenet: lenetSection,
  resnet20: resnetSection,
  codec: codecSection,
  delta: deltaSection,
  prune: pruneSection,
  widths: widthsSection,
  "low-rank": lowRankSection,
  ranks: ranksSection,
  large: largeSection,
  rotate: rotateSection,
  forms: formsSection,
  filters: filtersSection,
  structured: structuredSection,
  products: productsSection,
  scale: scaleSection,
  winograd: winogradSection,
  fft: fftSection,
  lines: linesSection,
  gates: gatesSection,
  kernels: kernelsSection,
  exits: exitsSection,
  layout: layoutSection,
  sentences: sentencesSection,
};

/** `resultsOf` reads the results of a bench; null for one that has not been run. */
export function benchmarksPage(resultsOf: (bench: string) => unknown): string {
  const names = Object.keys(sections);
  const found = names.flatMap((name): string[] => {
    const results = resultsOf(name);
    return results === null ? [] : sections[name](results as never);
  });
  const commands = names.map((name) => `\`bench:${name}\``).join(", ");
  return page(
    "# Benchmarks",
    `Figures as the benches wrote them into \`bench/results/\`. Times are of the CPU that is named beside them; a run on another adds its own. Run them on yours with \`npm run\`: ${commands}; arguments choose parts, and \`npm run docs\` prints this page (most need \`../shared/assets\`; peers and train a Python environment, see \`bench/peers/README.md\`).`,
    ...found,
  );
}

/** `bench/results/demo.json`: the survey.json of the demo. */
export interface DemoBench {
  readonly results: readonly Result[];
  readonly pareto: readonly string[];
}

/** The latest run, with a column of speed-ups for each CPU; the marks are those of the latest. */
export function demoTable(runs: Runs<DemoBench>): string {
  const { results, pareto } = latest(runs);
  const speeds = (recipe: string): string[] =>
    Object.values(runs).map((run) => {
      const row = run.results.find((own) => own.recipe === recipe);
      return !row || row === run.results[0] ? "-" : speedup(row.delta.infer, row.delta.ci95.infer);
    });
  const rows = results.map((row) => [
    `${pareto.includes(row.recipe) ? "* " : ""}${code(row.recipe)}`,
    format.bytes(row.bytes.raw),
    format.ratio(row.alpha.bytes),
    format.bytes(row.bytes.brotli),
    ...speeds(row.recipe),
    row.metric ? `${row.metric.value.toFixed(2)} %` : "-",
    format.points(row.metric?.drop ?? null),
    row.metric?.flips == null ? "-" : `${row.metric.flips.toFixed(2)} %`,
  ]);
  const speed = Object.keys(runs).map((cpu) => `speed-up, ${cpu}`);
  const head = ["recipe", "file", "smaller", "brotli", ...speed];
  const [{ versions, latency }] = results;
  const note = `\\* nothing else in the table is smaller, faster and as good at once. Speed-up: over the original, by process CPU time; median of the ratios within rounds that time both, with their 95 % interval; no difference: that contains 1; batch ${latency?.batch}, ${latency?.threads} thread, ${versions.platform}, ${versions.runtime}.`;
  return `${table([...head, "accuracy", "drop, points", "flips"], rows)}\n\n${note}`;
}
