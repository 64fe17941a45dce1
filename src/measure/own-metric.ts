/** @file A metric of the user's own: an object, or the default export of a module. */
import { errors, fail } from "../errors.ts";
import type { Interval } from "../numeric/statistics.ts";
import { nearest } from "../util/nearest.ts";
import { metrics } from "./metrics/index.ts";
import {
  defineMetric,
  type Fit,
  type Judge,
  type MetricSpec,
  type Output,
  type Outputs,
} from "./metrics/spec.ts";

/** A metric that a program or a module brings along. */
export interface OwnMetric {
  /** Its name in results, in kebab-case; none of the table's. */
  readonly name: string;
  readonly higherIsBetter: boolean;
  /** Unit of values and drops, such as "dB" (default none). */
  readonly unit?: string;
  /** Decimals of printed figures (default 2). */
  readonly digits?: number;
  /** The drop that counts like one point of accuracy, for marks (default 1). */
  readonly point?: number;
  /** The outputs that it reads (default all). */
  readonly outputs?: readonly string[];
  /**
   * What it cannot do without (default "either"). With "original" the labels, if there are any, do
   * not count as what it judges by.
   */
  readonly needs?: "labels" | "original" | "either";
  /**
   * Adds one record: its outputs by name, its label (null without labels) and the original model's
   * outputs, each as { values, shape } without the batch axis. `original` is null where nothing is
   * compared. The original itself is judged first, beside its own outputs.
   */
  add(outputs: Outputs, label: Output | null, original: Outputs | null): void;
  /** The value of the records since the last `finish`, which it forgets. */
  finish(): {
    readonly value: number;
    readonly ci95?: Interval | null;
    /** What the value means for these records. */
    readonly words?: string;
  };
}

const example =
  'Write: export default { name: "mean-error", higherIsBetter: false, add(outputs, label, original) {}, finish: () => ({ value: 0 }) }';

/** Declares a metric of your own; it only checks the types. */
export const ownMetric = (metric: OwnMetric): OwnMetric => metric;

/**
 * The spec of a user's metric, or of a function that makes one for each pass over the data. Throws
 * TersorError "bad-module", which names `where`.
 */
export function specOfOwn(given: unknown, where: string): MetricSpec {
  const make = typeof given === "function" ? (given as () => unknown) : () => given;
  const made = make();
  const wrong = faultIn(made);
  if (wrong) throw fail(errors.badModule(where, wrong, example));
  const metric = made as OwnMetric;
  const { name, higherIsBetter, unit = "", needs = "either", point = 1, digits } = metric;
  return defineMetric({
    id: name,
    title: name,
    doc: "",
    higherIsBetter,
    unit: { value: unit, drop: unit },
    ...(digits !== undefined && { digits }),
    scale: { point, collapse: Number.POSITIVE_INFINITY },
    needs,
    reads: { outputs: (metric.outputs ?? ["all outputs"]).join(", "), label: "as it likes" },
    fits({ outputs, label }): Fit | string {
      const names = metric.outputs ?? Object.keys(outputs);
      const missing = names.find((name) => !Object.hasOwn(outputs, name));
      if (missing !== undefined) {
        const near = nearest(missing, Object.keys(outputs)) ?? Object.keys(outputs).join(", ");
        return `the model has no output "${missing}" (but ${near})`;
      }
      const against = label && needs !== "original" ? "labels" : "original";
      return {
        outputs: names,
        against,
        anySize: true,
        itself: true,
        judge: () => judgeBy(make() as OwnMetric, against, where),
      };
    },
  });
}

function judgeBy(metric: OwnMetric, against: Fit["against"], where: string): Judge {
  let predictions = 0;
  let broken = 0;
  return {
    add({ outputs, label, original }) {
      if (against === "original" && !original) return false;
      metric.add(outputs, label, original);
      predictions++;
      const isBroken = Object.values(outputs).some(({ values }) => !values.every(Number.isFinite));
      if (isBroken) broken++;
      return isBroken;
    },
    finish() {
      const found = predictions > 0 ? metric.finish() : { value: Number.NaN };
      const { value, ci95 = null, words } = { ci95: null, words: undefined, ...found };
      if (typeof value !== "number") {
        throw fail(
          errors.badModule(where, "its finish() gives no { value } that is a number", example),
        );
      }
      return {
        value,
        ci95,
        dropCi95: null,
        ...(words !== undefined && { words }),
        predictions,
        broken,
      };
    },
  };
}

/** What is wrong with a user's metric, where no compiler has checked it; null if nothing. */
function faultIn(given: unknown): string | null {
  if (typeof given !== "object" || given === null) return "its default export is no metric";
  const { name, higherIsBetter, add, finish } = given as Partial<OwnMetric>;
  if (typeof name !== "string" || !/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) {
    return "its metric has no name in kebab-case";
  }
  if (metrics.has(name)) return `its metric is called ${name}, which is one of tersor's own`;
  if (typeof higherIsBetter !== "boolean") return `${name} does not say whether higherIsBetter`;
  if (typeof add !== "function") return `${name} has no function add`;
  return typeof finish === "function" ? null : `${name} has no function finish`;
}
