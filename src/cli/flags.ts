/** @file Flags: parsers of their values, the flags of all commands, and the flags for data. */
import { feedingOf } from "../data/feed.ts";
import { readers, trainingPart } from "../data/open.ts";
import { DataOptions, dataOptionInfos } from "../data/options.ts";
import { errors, fail } from "../errors.ts";
import { metricNamed, metrics } from "../measure/metrics/index.ts";
import { plainIssue } from "../options.ts";
import { type DataSource, isMetricFile } from "../recipe/prepare.ts";
import { parseBytes } from "../recipe/target.ts";
import { targetIds } from "../targets/index.ts";
import { parseSeconds } from "../util/duration.ts";
import { nearest } from "../util/nearest.ts";

/** The declaration of a flag. */
export interface Flag {
  /** As commander declares it: `-o, --output <file>`. */
  readonly flags: string;
  /** One sentence for the help. */
  readonly doc: string;
  /** The values, where there are no others; shells complete them. */
  readonly choices?: readonly string[];
  /** Values, or their beginnings, that shells complete where others are accepted too. */
  readonly suggests?: readonly string[];
  /**
   * Parses the value (default: as it is, if it is one of `choices`). Throws TersorError "bad-usage",
   * which names the flag.
   */
  readonly parse?: (text: string, flag: string) => unknown;
  /** The flag may be given several times; its value is the list of them (default false). */
  readonly repeats?: boolean;
}

const bad = (flag: string, why: string, remedy: string) => fail(errors.badUsage(flag, why, remedy));

/** Parses a whole number of at least `least`. */
export const whole =
  (least: number) =>
  (text: string, flag: string): number => {
    if (/^\d{1,9}$/.test(text) && Number(text) >= least) return Number(text);
    throw bad(flag, `"${text}" is no whole number from ${least}`, `Give ${least} or more`);
  };

/** Parses one of the choices. */
export const oneOf =
  (choices: readonly string[]) =>
  (text: string, flag: string): string => {
    if (choices.includes(text)) return text;
    const near = nearest(text, choices);
    const remedy = near ? `Did you mean "${near}"?` : `Give one of: ${choices.join(", ")}`;
    throw bad(flag, `"${text}" is none of ${choices.join(", ")}`, remedy);
  };

/** Parses a time such as `500ms`, `90s`, `10m` or `1.5h`; the result is in seconds. */
export function seconds(text: string, flag: string): number {
  const parsed = parseSeconds(text);
  if (!Number.isNaN(parsed)) return parsed;
  throw bad(flag, `"${text}" is no time`, "Give for example 500ms, 90s, 10m or 1h");
}

/** Parses a size such as `25MiB`, `500kB` or `2GB`; the result is in bytes. */
export function fileSize(text: string, flag: string): number {
  const bytes = Math.floor(parseBytes(text));
  if (bytes > 0) return bytes;
  throw bad(flag, `"${text}" is no size`, "Give for example 25MiB, 500kB or 2GB");
}

/** Parses sizes of axes, `H=224,W=224`, to numbers by name. */
export function dims(text: string, flag: string): Record<string, number> {
  const pairs = text.split(",").map((part) => {
    const [, name, value] = /^\s*(.+?)\s*=\s*(\d{1,9})\s*$/.exec(part) ?? [];
    if (name && Number(value) > 0) return [name, Number(value)] as const;
    throw bad(flag, `"${part}" is no size`, "Write it as name=number: --dims H=224,W=224");
  });
  return Object.fromEntries(pairs);
}

/** The flags of every command. */
export const globalFlags: readonly Flag[] = [
  {
    flags: "--json",
    doc: "Print one JSON object on stdout and nothing else; { error } if the command fails.",
  },
  { flags: "--seed <n>", doc: "Seed of everything random (default 1).", parse: whole(0) },
  { flags: "--threads <n>", doc: "Threads of the engine (default 1).", parse: whole(1) },
  {
    flags: "--runtime <name>",
    doc: "Engine: auto, node or web (default auto: node where it is installed).",
    choices: ["auto", "node", "web"],
  },
  { flags: "--quiet", doc: "Print nothing but errors on stderr: no progress, notes or warnings." },
  { flags: "--force", doc: "Overwrite existing files." },
  { flags: "--no-color", doc: "Print without colours." },
];

/** labelOffset -> label-offset */
export const kebab = (name: string): string => name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);

/** A flag for each option of the data readers, made from the schema of these options. */
const sourceFlags: readonly Flag[] = dataOptionInfos().map(
  ({ name, description, choices, repeats, type }): Flag => ({
    flags: `--${kebab(name)}${type === "boolean" ? "" : ` <${choices?.join("|") ?? "value"}>`}`,
    doc: description,
    ...(choices && { choices }),
    repeats,
    parse: (text, flag) => {
      const { success, data, error } = DataOptions.safeParse({ [name]: text });
      if (success) return data[name as keyof DataOptions];
      const why = `"${text}" is refused (${plainIssue(error.issues[0].message)})`;
      throw bad(flag, why, "See: tersor eval --help");
    },
  }),
);

const dimsFlag: Flag = {
  flags: "--dims <sizes>",
  doc: "Sizes of axes that the model leaves open, without data: H=224,W=224 or input.2=224.",
  parse: dims,
};

const dataFlag: Flag = {
  flags: "--data <data>",
  doc: "Data to measure on: mnist:test, images:folder, npz:file, csv:file, ./my-data.mjs ...",
  suggests: Object.entries(readers).flatMap(([prefix, { usual, training }]) =>
    usual ? [prefix, `${prefix}:${usual}`, `${prefix}:${training}`] : [`${prefix}:`],
  ),
};
const calibFlag: Flag = {
  flags: "--calib <data>",
  doc: "Data to calibrate or train on (default: a part of --data, which is then not measured on).",
};

const metricFlag: Flag = {
  flags: "--metric <name>",
  doc: `What judges the outputs: ${[...metrics.keys()].join(", ")}, or ./my-metric.ts (default: what labels and outputs make clear).`,
  suggests: [...metrics.keys()],
  parse(text) {
    if (!isMetricFile(text)) metricNamed(text, "--metric");
    return text;
  },
};

const onFlag: Flag = {
  flags: "--on <target>",
  doc: `Where the model will run: ${targetIds.join(", ")} (default: this machine). It decides the engine, what methods choose and what is warned of; see docs/targets.md.`,
  choices: targetIds,
};

const timingFlag: Flag = {
  flags: "--timing <time>",
  doc: "Time spent on timing each model beside the original (default 2s).",
  parse: seconds,
};

/** The flags of commands that measure but do not calibrate. */
export const evalFlags: readonly Flag[] = [
  dataFlag,
  metricFlag,
  ...sourceFlags,
  dimsFlag,
  timingFlag,
  onFlag,
];
/** The flags of commands that measure and calibrate or train. */
export const dataFlags: readonly Flag[] = [
  dataFlag,
  calibFlag,
  metricFlag,
  ...sourceFlags,
  dimsFlag,
  timingFlag,
  onFlag,
];

/** The flag of commands that may write without measuring. */
export const measureFlag: Flag = {
  flags: "--no-measure",
  doc: "Write and stop: judge and time nothing, compress no copy to see its download size.",
};

/** The values of `dataFlags` and `evalFlags`, as commander gives them. */
export interface DataFlags extends DataOptions {
  readonly data?: string;
  readonly calib?: string;
  readonly metric?: string;
  readonly dims?: Record<string, number>;
  readonly timing?: number;
  readonly on?: string;
}

/** Whether a value of --input only says how inputs are fed, for which no data are needed. */
const isAlone = (input: DataOptions["input"]): boolean =>
  [...feedingOf(input).values()].every((feed) => feed !== "data");

/** The data to calibrate and train on: those that were named, or that belong to `--data mnist`. */
export const calibOf = ({ data, calib }: DataFlags): string | undefined =>
  calib ?? (data === undefined ? undefined : (trainingPart(data) ?? undefined));

/**
 * The values of the data flags as settings of the API. The same reading options apply to --data and
 * --calib. Throws TersorError "bad-usage" for reading options without any data.
 */
export function dataSettings(flags: DataFlags): {
  data: DataSource | null;
  calib: DataSource | null;
  metric: string | undefined;
  dims: Record<string, number> | undefined;
  input: DataOptions["input"];
  timingSeconds: number | undefined;
  on: string | undefined;
} {
  const names = Object.keys(DataOptions.shape) as (keyof DataOptions)[];
  const given = names.filter((name) => flags[name] !== undefined);
  const options = Object.fromEntries(given.map((name) => [name, flags[name]])) as DataOptions;
  const [first] = given.filter((name) => name !== "input" || !isAlone(flags.input));
  if (first && !flags.data && !flags.calib) {
    throw bad(`--${kebab(first)}`, "says how to read data, and there are none", "Give --data");
  }
  const source = (spec: string | undefined): DataSource | null =>
    spec === undefined ? null : { spec, options };
  return {
    data: source(flags.data),
    calib: source(calibOf(flags)),
    metric: flags.metric,
    dims: flags.dims,
    input: flags.input,
    timingSeconds: flags.timing,
    on: flags.on,
  };
}
