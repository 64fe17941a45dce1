/** @file Writes docs/targets.md: what each target rewards, from src/targets/ and bench/results/targets.json. */
import type { Runs } from "../../bench/record.ts";
import { targets } from "../../src/targets/index.ts";
import {
  type Fact,
  factOf,
  type Representation,
  representations,
  type Source,
  type TargetDevice,
  type Work,
  works,
} from "../../src/targets/target.ts";
import { code, latest, page, table } from "./page.ts";

/** By target (or "target widths"), then by case, the speed-up of each representation. */
export type TargetsBench = Readonly<
  Record<string, Readonly<Record<string, Readonly<Record<string, number>>>>>
>;

/** Sources in the order in which they are named, for footnotes. */
const cited: Source[] = [];

function note(source: Source): string {
  const at = cited.findIndex(({ where }) => where === source.where);
  if (at < 0) cited.push(source);
  return `[${at < 0 ? cited.length : at + 1}]`;
}

/** A figure, or the source's words in one or two, with the number of the source. */
function cell(fact: Fact | null): string {
  if (!fact) return "";
  const { speedup, pays, problem, source } = fact;
  const short = problem ? (pays ? "yes, check outputs" : "no") : pays ? "yes" : "same";
  return `${speedup ?? short} ${note(source)}`;
}

function matrix(): string {
  const rows = (Object.keys(representations) as Representation[]).flatMap((representation) =>
    (Object.keys(works) as Work[]).flatMap((work) => {
      const facts = targets.map((target) => factOf(target, representation, work));
      if (facts.every((fact) => fact === null)) return [];
      return [[representations[representation], works[work], ...facts.map(cell)]];
    }),
  );
  return table(["representation", "layer", ...targets.map(({ id }) => code(id))], rows);
}

/** One target: engine, what is against a representation there, limits and notes. */
function section(target: TargetDevice): string[] {
  const { id, title, engine, int8, saturates, channelBlock, limits, notes } = target;
  const troubles = Object.entries(target.facts).flatMap(([representation, facts]) => {
    const inWords = Object.values(facts).filter(({ speedup, problem }) => problem && !speedup);
    const [first] = inWords;
    if (!first) return [];
    const what = representations[representation as Representation];
    return [`- ${what} ${first.problem} ${note(first.source)}.`];
  });
  const facts = [
    `- Judged by onnxruntime-${engine}.`,
    int8 ? null : "- There are no integer kernels.",
    saturates
      ? `- int8 sums saturate at 16 bits ${note(saturates)}: ${code("reduceRange=target")} gives 7 bits to the layers whose sums do on calibration records.`
      : null,
    channelBlock > 1
      ? `- Float convolutions compute ${channelBlock} channels at once, so pruning keeps multiples.`
      : null,
    ...troubles,
    ...limits.map(({ bytes, what, source }) => {
      return `- At most ${Math.round(bytes / 2 ** 20)} MiB: ${what} ${note(source)}.`;
    }),
    ...notes.map(({ text, source }) => `- ${text} ${note(source)}`),
  ];
  return [`## ${code(id)}: ${title}`, facts.filter((fact) => fact !== null).join("\n")];
}

/** Static int8 at other widths, of those targets that the bench could run. */
function widthsTable(bench: TargetsBench): string[] {
  const ids = targets.map(({ id }) => id).filter((id) => bench[`${id} widths`]);
  if (ids.length === 0) return [];
  const names = Object.keys(bench[`${ids[0]} widths`]);
  const rows = names.map((name) => [
    name,
    ...ids.map((id) => String(bench[`${id} widths`][name]?.["static-int8"] ?? "")),
  ]);
  return [
    "## Static int8 by width",
    `Chains of four convolutions of so many channels at that side of the map, and one product of so many inputs and outputs for so many rows (${code("npm run bench:targets -- --widths")}). The curves that ${code("kernel=auto")} begins with are in ${code("src/targets/")}.`,
    table(["layers", ...ids.map(code)], rows),
  ];
}

export function targetsPage(runs: Runs<TargetsBench>): string {
  cited.length = 0;
  const grid = matrix();
  const sections = targets.flatMap(section);
  const sources = cited.map(({ kind, where }, i) => {
    const link = where.startsWith("https:") ? `<${where}>` : code(where);
    return `${i + 1}. ${kind}: ${link}`;
  });
  return page(
    "# Targets: where a model will run",
    `What a representation gains depends on where the model runs. ${code("--on TARGET")} (in the library ${code("on")}) names it for compress, survey, search, advise, inspect, eval and bench: it decides the engine that judges and times the products, what options such as ${code("kernel=auto")}, ${code("compute=auto")} and ${code("reduceRange=target")} and the preset ${code("fast")} choose, and what reports warn of. Without it this machine is the target; ${code("tersor doctor")} says which one that is.`,
    "A target that this machine is not is not timed: rows say so in words, their times are empty, and what is said of speed is from the table below.",
    "## What pays where",
    `float32 time / time of the representation: above 1 is faster. The measured figures are of ${Object.keys(runs).at(-1) ?? "this project's machine"}, one thread, the median of rounds that alternate with float32: a product of 512 inputs and 2048 outputs, chains of four convolutions of 64 channels on 28 x 28, 64 rows of a table. For ${code("node-cpu-no-vnni")} the same machine hid AVX512 and VNNI from the engine (${code("bench/hidden-cpu.ts")}). "yes" (there are kernels made to be faster) and "no" (there are none, or something is against them) are what a publication says; an empty cell is not known.`,
    grid,
    ...sections,
    ...widthsTable(latest(runs) ?? {}),
    "## Sources",
    sources.join("\n"),
  );
}
