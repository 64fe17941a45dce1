/** @file What a method needs and takes, in words: for `tersor methods` and for docs/methods.md. */
import type { Need } from "../methods/method.ts";
import { type OptionInfo, rangeText } from "../options.ts";
import type { NeedsWith } from "../recipe/needs.ts";

/** Marks a setting as code, as each format does it. */
export type AsCode = (text: string) => string;

const needWords: Readonly<Record<Need, string>> = {
  calibration: "inputs to calibrate on, without labels",
  training: "records to train on",
  labels: "labels of those",
};

interface Needy {
  /** With all options at their defaults. */
  readonly needs: readonly Need[];
  readonly needsWith: readonly NeedsWith[];
}

/** "nothing; with criterion=activation: inputs to calibrate on, without labels". */
export function needsText({ needs, needsWith }: Needy, code: AsCode): string {
  const others = needsWith.map(({ option, values, needs: added }) => {
    const setting = code(values ? `${option}=${values.join("|")}` : option);
    return `with ${values ? "" : "another "}${setting}: ${added.map((need) => needWords[need]).join(", ")}`;
  });
  return [needs.map((need) => needWords[need]).join(", ") || "nothing", ...others].join("; ");
}

/** What has to be given at least, in a word or two: "data", "training data", or nothing. */
export function shortNeeds({ needs }: Pick<Needy, "needs">): string {
  if (needs.includes("training")) return "training data";
  return needs.length > 0 ? "data" : "";
}

/** The values that an option takes: "2 to 8", "number above 0", "minmax, mse". */
export function valuesText(info: OptionInfo, code: AsCode): string {
  const { type, choices } = info;
  if (choices) return choices.map(code).join(", ");
  if (type === "list") return `names with ${code("*")}, separated by ${code("|")}`;
  if (type === "boolean") return `${code("true")}, ${code("false")}`;
  const range = rangeText(info);
  return /^-?\d/.test(range) ? range : `${type} ${range}`.trimEnd();
}

/** The default of an option; "none" for an empty one. */
export function defaultText({ default: value }: OptionInfo, code: AsCode): string {
  const text = Array.isArray(value) ? value.join("|") : String(value ?? "");
  return text === "" ? "none" : code(text);
}

/** Whether the option is among those that decide most: its declaration lists values to try. */
export function isMain({ search }: OptionInfo): boolean {
  return search.length > 0;
}

/** The options, those that decide most first. */
export function mainFirst(options: readonly OptionInfo[]): OptionInfo[] {
  return [...options.filter(isMain), ...options.filter((option) => !isMain(option))];
}
