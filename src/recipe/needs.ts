/** @file What recipes need (calibration, training records, labels), told before any work is done. */
import type { Need } from "../context.ts";
import { errors, fail, type TersorError } from "../errors.ts";
import { families, familyOf } from "../methods/index.ts";
import { type Method, needsOf } from "../methods/method.ts";
import { defaultsOf, describeOptions, type OptionInfo } from "../options.ts";
import type { Environment } from "./environment.ts";
import { formatRecipe, type Step } from "./steps.ts";

type Records = Pick<Environment, "calibration" | "training">;

/** There are no records of any kind: what is known where neither data nor calib was named. */
export const noRecords: Records = { calibration: null, training: null };

const errorOf = {
  calibration: errors.needsData,
  training: errors.needsTraining,
  labels: errors.needsLabels,
} as const satisfies Record<Need, unknown>;

/** The error that the first unmet need of a recipe is; null where the records meet all. */
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

/** Throws TersorError "needs-data", "needs-training" or "needs-labels". */
export function checkNeeds(steps: readonly Step[], records: Records): void {
  const error = unmetNeed(steps, records);
  if (error) throw error;
}

/** Whether some step takes gradients: then records are set aside for that. */
export function needsTraining(steps: readonly Step[]): boolean {
  return steps.some((step) => needsOf(step).includes("training"));
}

/** What a method needs when no option is given. */
export function defaultNeeds(method: Method): readonly Need[] {
  return needsOf({ method, options: defaultsOf(method.options) });
}

/** Values of an option that make a method need more than with its defaults. */
export interface NeedsWith {
  readonly option: string;
  /** Of a choice; null: other numbers than the default. */
  readonly values: readonly unknown[] | null;
  readonly needs: readonly Need[];
}

/** Found by trying: each choice of an option, or the numbers at both ends, over the defaults. */
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

/** Names that a remedy gives at most. */
const named = 3;

/** What is possible where a need cannot be met: without an option, or by other methods of the family. */
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
    ([other, found]) => other !== id && !found.isControl && defaultNeeds(found).length === 0,
  );
  const names = others.slice(0, named).map(([other]) => other);
  return names.length > 0 ? `, or take what needs none: ${names.join(", ")}` : "";
}
