/** @file Checks, before any work, a recipe's needs (calibration, training, labels). */
import type { Need } from "../context.ts";
import { errors, fail, type TersorError } from "../errors.ts";
import { families, familyOf } from "../methods/index.ts";
import { type Method, needsOf } from "../methods/method.ts";
import { defaultsOf, describeOptions, type OptionInfo } from "../options.ts";
import type { Environment } from "./environment.ts";
import { formatRecipe, type Step } from "./steps.ts";

type Records = Pick<Environment, "calibration" | "training">;

/** No records of any kind: the case where the user named neither data nor calibration data. */
export const noRecords: Records = { calibration: null, training: null };

const errorOf = {
  calibration: errors.needsData,
  training: errors.needsTraining,
  labels: errors.needsLabels,
} as const satisfies Record<Need, unknown>;

/** The error for the first need of a recipe that the records do not meet; null if all are met. */
export function unmetNeed(steps: readonly Step[], records: Records): TersorError | null {
  const isMet: Record<Need, boolean> = {
    calibration: records.calibration !== null,
    training: records.training !== null,
    labels: records.training?.labelled ?? false,
  };
  for (const step of steps) {
    const need = needsOf(step).find((need) => !isMet[need]);
    if (need) return fail(errorOf[need](formatRecipe([step]), without(step, need)));
  }
  return null;
}

/** Throws TersorError "needs-data", "needs-training" or "needs-labels" for the first unmet need. */
export function checkNeeds(steps: readonly Step[], records: Records): void {
  const error = unmetNeed(steps, records);
  if (error) throw error;
}

/** Whether some step trains. If so, records have to be set aside for training. */
export function needsTraining(steps: readonly Step[]): boolean {
  return steps.some((step) => needsOf(step).includes("training"));
}

/** What a method needs with all options at their defaults. */
export function defaultNeeds(method: Method): readonly Need[] {
  return needsOf({ method, options: defaultsOf(method.options) });
}

/** Values of one option with which a method needs something that it does not need by default. */
export interface NeedsWith {
  readonly option: string;
  /** The values, for an option with choices; null for a number: any other than the default. */
  readonly values: readonly unknown[] | null;
  readonly needs: readonly Need[];
}

/**
 * For the documents: the options that change what a method needs. `needs` is a function, so they
 * are found by trying each choice of each option (of a number its minimum and maximum), with all
 * other options at their defaults.
 */
export function needsByOption(method: Method): NeedsWith[] {
  const defaults = defaultsOf(method.options);
  const usual = needsOf({ method, options: defaults });
  return describeOptions(method.options).flatMap((info) => {
    const values = new Map<Need, unknown[]>();
    for (const value of triedValues(info)) {
      const { data } = method.options.safeParse({ ...defaults, [info.name]: value });
      for (const need of data ? needsOf({ method, options: data }) : []) {
        if (!usual.includes(need)) values.set(need, [...(values.get(need) ?? []), value]);
      }
    }
    return Array.from(values, ([need, found]) => ({
      option: info.name,
      values: info.type === "number" ? null : found,
      needs: [need],
    }));
  });
}

function triedValues({ type, choices, minimum, maximum }: OptionInfo): readonly unknown[] {
  if (choices) return choices;
  if (type === "boolean") return [false, true];
  return [minimum, maximum].filter((limit) => limit !== null);
}

/** How many other methods a remedy names at most. */
const named = 3;

/**
 * The end of an error's remedy: what works without the need. If options cause the need, it says to
 * leave them out; if the method has it by default, it names methods of the same family without it.
 */
function without(step: Step, need: Need): string {
  const { method, id, options } = step;
  const defaults = defaultsOf(method.options);
  if (!needsOf({ method, options: defaults }).includes(need)) {
    const culprits = Object.keys(options).filter((name) =>
      needsOf({ method, options: { ...defaults, [name]: options[name] } }).includes(need),
    );
    const own = culprits.map((name) => `${name}=${options[name]}`);
    return own.length > 0 ? `, or leave out ${own.join(" and ")}` : "";
  }
  const family = familyOf(id);
  if (family === "other") return "";
  const others = (Object.entries(families[family]) as [string, Method][]).filter(
    ([other, found]) =>
      other !== id && !found.isControl && !found.prepares && defaultNeeds(found).length === 0,
  );
  const names = others.slice(0, named).map(([other]) => other);
  return names.length > 0 ? `, or take what needs none: ${names.join(", ")}` : "";
}
