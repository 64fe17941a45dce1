/** @file The library's sentences name flags and commands; here they name what the page has instead. */
import type { ErrorInfo } from "tersor";

/** [what the command line calls it, what the page calls it], applied in this order. */
const wordings: readonly (readonly [RegExp, string])[] = [
  // Sentences that end otherwise in a page.
  [
    /tersor inspect --sensitivity --data \.\.\. names the layers that do it/,
    "gentler options or “except” help",
  ],
  [/Run: .*npm install .*/, "Reload the page"],
  [/Give --data or --calib \(([^)]*)\)/, "Choose data ($1)"],
  [/Give --calib with training data, e\.g\. --calib \S+/, "Choose data to train on"],
  // The page has no field for a teacher or a metric.
  [/Give --teacher <model>, (or )?(\w)/, "Give $2"],
  [/Give leave/, "Leave"],
  [/,? or --teacher <model>/, ""],
  [/Give --teacher <model>/, "Put a step before it that compresses"],
  [/ ?\([^()]*--metric[^()]*\)/g, ""],
  [/, or a metric that judges against the original: --metric( \w+)?/, ""],
  // Commands and flags that are pages and fields here.
  [/(: | with:? )tersor inspect/g, " under Overview"],
  [/ with: tersor eval\b/, ""],
  [/See: tersor eval --help/, "See “How records are read”"],
  [/See: tersor methods/, "See the options of the step and “Add a step”"],
  [/: tersor methods/, ", see “Add a step”"],
  [/\bGive --data\b/g, "Choose data"],
  [/--data and (of )?--calib\b/g, "the data"],
  [/--(data|calib)\b/g, "data"],
  [/--dims\b/g, "“Sizes of open axes”"],
  [/--freeze\b/g, "“except”"],
];

/** A sentence of the library in the words of the page; other flags become names of options. */
export const inPage = (text: string): string =>
  wordings
    .reduce((said, [from, to]) => said.replace(from, to), text)
    .replace(/--([a-z]+(?:-[a-z]+)*)/g, (_, flag: string) => `“${camel(flag)}”`);

/** label-offset -> labelOffset */
const camel = (flag: string): string => flag.replace(/-(.)/g, (_, c: string) => c.toUpperCase());

export const infoInPage = ({ code, what, where, remedy }: ErrorInfo): ErrorInfo => ({
  code,
  what: inPage(what),
  where: inPage(where),
  remedy: inPage(remedy),
});
