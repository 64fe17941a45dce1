/**
 * @file Options declared once as a zod schema: from it come types, checks, help, the text form
 * and the search space.
 */
import { z } from "zod";
import { errors, fail } from "./errors.ts";
import { nearest } from "./util/nearest.ts";
import { quote, quotePart, splitQuoted, unquote } from "./util/quoted.ts";

/** Options that select layers, for whatever works on layers: spread them into its schema. */
export const layerOptions = {
  only: z.array(z.string()).default([]).meta({
    description: "Only these layers: globs over node names and operator types, split by |.",
  }),
  except: z.array(z.string()).default([]).meta({
    description: "Not these layers: globs over node names and operator types, split by |.",
  }),
};

/** Options that select the layers of a method. Training moves front ends as well, methods do not. */
export const siteOptions = {
  ...layerOptions,
  frontEnds: z.boolean().default(false).meta({
    description:
      "Also layers whose weights are a table that was computed, found by its values: sines of a Fourier transform, a mel filterbank, a conversion of colours.",
  }),
};

/** Options of a method whose step is done again with fewer layers if it costs too much quality. */
export const rescueOptions = {
  rescue: z.boolean().default(true).meta({
    description:
      "Leaves out the layers that do most damage until calibration records lose at most `tolerance`, unless a later step trains or repairs; false: never.",
  }),
  tolerance: z.number().min(0).max(100).default(1).meta({
    description:
      "For rescue: the points of accuracy that the step may cost (or what another metric counts as a point, see results.md: dB of a PSNR, 10 % of a perplexity; without labels 5 % of the predictions).",
  }),
};

/** The values of these options. */
export interface RescueOptions {
  readonly rescue: boolean;
  readonly tolerance: number;
}

/** One option as help, forms and searches need it. */
export interface OptionInfo {
  readonly name: string;
  readonly type: "number" | "boolean" | "string" | "choice" | "list";
  /** Null where there is none. */
  readonly default: unknown;
  /** The accepted values of a "choice", null for other types. */
  readonly choices: readonly string[] | null;
  /** Inclusive limits of a number, null where there is none. */
  readonly minimum: number | null;
  readonly maximum: number | null;
  /** Limits that a number must not reach, null where there is none. */
  readonly exclusiveMinimum: number | null;
  readonly exclusiveMaximum: number | null;
  readonly description: string;
  /** Values that are worth trying in a survey or a search. */
  readonly search: readonly unknown[];
  /** Whether its flag may be given several times. */
  readonly repeats: boolean;
}

/** The parts of a JSON Schema property that zod writes for an option. */
interface JsonProperty {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly description?: string;
  readonly search?: readonly unknown[];
  readonly repeats?: boolean;
  /** Of an option that takes a number or some words. */
  readonly anyOf?: readonly JsonProperty[];
}

/** What was told of a schema: zod takes a millisecond to write its JSON Schema. */
const described = new WeakMap<z.ZodObject, readonly OptionInfo[]>();

/** The declared options in their order. */
export function describeOptions(schema: z.ZodObject): readonly OptionInfo[] {
  const known = described.get(schema) ?? infosOf(schema);
  described.set(schema, known);
  return known;
}

function infosOf(schema: z.ZodObject): OptionInfo[] {
  const json = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  const properties = (json.properties ?? {}) as Record<string, JsonProperty>;
  return Object.entries(properties).map(([name, whole]) => {
    const numeric = whole.anyOf?.find(({ type }) => type === "number" || type === "integer");
    const property: JsonProperty = { ...whole, ...numeric };
    return {
      name,
      type: property.enum
        ? "choice"
        : property.type === "array"
          ? "list"
          : property.type === "integer"
            ? "number"
            : ((property.type ?? "string") as OptionInfo["type"]),
      default: property.default ?? null,
      choices: property.enum ?? null,
      minimum: bound(property.minimum),
      maximum: bound(property.maximum),
      exclusiveMinimum: bound(property.exclusiveMinimum),
      exclusiveMaximum: bound(property.exclusiveMaximum),
      description: property.description ?? "",
      search: property.search ?? [],
      repeats: property.repeats ?? false,
    };
  });
}

/** A declared limit. zod adds the limits of safe integers to other integers; these are left out. */
function bound(limit: number | undefined): number | null {
  return limit === undefined || Math.abs(limit) >= Number.MAX_SAFE_INTEGER ? null : limit;
}

/** The limits of a number in words: "2 to 8", "from 1", "above 0 to 10"; "" without limits. */
export function rangeText(info: OptionInfo): string {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = info;
  const low = exclusiveMinimum === null ? (minimum ?? "") : `above ${exclusiveMinimum}`;
  const high = exclusiveMaximum === null ? (maximum ?? "") : `below ${exclusiveMaximum}`;
  if (high === "") return exclusiveMinimum === null && low !== "" ? `from ${low}` : String(low);
  if (low === "") return exclusiveMaximum === null ? `to ${high}` : String(high);
  return `${low} to ${high}`;
}

/** The defaults of the options that have one. */
export function defaultsOf({ shape }: z.ZodObject): Record<string, unknown> {
  const usual = Object.entries(shape).flatMap(([name, option]) => {
    const { success, data } = z.safeParse(option, undefined);
    return success ? [[name, data] as const] : [];
  });
  return Object.fromEntries(usual);
}

/**
 * Checks options and fills in the defaults. `given` holds text ("sparsity=0.9", "only=conv*|fc*")
 * or values of the option's type, by name.
 *
 * With `isRecipe` the texts come from a recipe, where any value may be quoted; otherwise only the
 * parts of lists may be. Throws TersorError "unknown-option" or "bad-option", which name `where`.
 */
export function parseOptions<S extends z.ZodObject>(
  schema: S,
  given: Readonly<Record<string, unknown>>,
  where: string,
  isRecipe = false,
): z.output<S> {
  const infos = new Map(describeOptions(schema).map((info) => [info.name, info]));
  const values: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    const info = infos.get(name);
    if (!info)
      throw fail(errors.unknownOption(where, name, nearest(name, infos.keys()), [...infos.keys()]));
    // A choice such as false, true, auto also takes the booleans themselves.
    const given = info.type === "choice" && typeof value === "boolean" ? String(value) : value;
    values[name] = typeof given === "string" ? fromText(given, info, where, isRecipe) : given;
  }
  const parsed = schema.safeParse(values);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const name = String(issue.path[0] ?? "");
  const shown = JSON.stringify(given[name]);
  throw fail(
    errors.badOption(
      where,
      `${name}=${shown} is refused (${plainIssue(issue.message)})`,
      remedyOf(infos.get(name)),
    ),
  );
}

/**
 * The value of an option's text. Text that is no number or boolean is returned as it is, so that
 * the schema refuses it with its own message.
 */
function fromText(text: string, info: OptionInfo, where: string, isRecipe: boolean): unknown {
  const open = (quoted: string): string => {
    const value = unquote(quoted);
    if (value !== null) return value;
    const why = `${info.name}=${quoted} is no quoted text`;
    throw fail(errors.badOption(where, why, 'Write it as a JSON string: "a > b", "say \\"so\\""'));
  };
  if (info.type === "list") {
    if (text.trim() === "") return [];
    return splitQuoted(text, "|").map((part) => open(part.trim()));
  }
  const value = isRecipe ? open(text) : text;
  switch (info.type) {
    case "number":
      return value.trim() === "" || Number.isNaN(Number(value)) ? value : Number(value);
    case "boolean":
      return value === "true" || value === "" ? true : value === "false" ? false : value;
    default:
      return value;
  }
}

/** Numbers, booleans and texts as they are; what else a method of the user's own takes as JSON. */
const plainText = (value: unknown): string =>
  typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);

/** The text of a value in a recipe: the inverse of parseOptions with `isRecipe`. */
export function optionText(value: unknown): string {
  if (Array.isArray(value)) return value.map((part) => quotePart(plainText(part))).join("|");
  return quote(plainText(value));
}

/** zod's message without its heading ("Too big: expected number to be <=16") and quotes. */
export function plainIssue(message: string): string {
  const [, words = message] = /^[A-Z][\w ]*: (.*)$/s.exec(message) ?? [];
  return words
    .replace(/, received .*$/s, "")
    .replaceAll('"', "")
    .replaceAll("|", ", ");
}

/** The remedy of a refused option: its choices or its range. */
function remedyOf(info: OptionInfo | undefined): string {
  if (!info) return "See: tersor methods";
  if (info.choices) return `Give one of: ${info.choices.join(", ")}`;
  const range = rangeText(info);
  return `Give a ${info.type} ${/^-?\d/.test(range) ? "from " : ""}${range}`.trimEnd();
}
