/** @file Targets such as `size<=1MB, drop<=0.5, speedup>=1.5`: parsed, and checked on a result. */
import { errors, fail } from "../errors.ts";
import type { Metric, Result } from "../measure/measurement.ts";
import { metrics } from "../measure/metrics/index.ts";
import type { MetricSpec } from "../measure/metrics/spec.ts";
import { nearest } from "../util/nearest.ts";

interface Quantity {
  /** "<=" where smaller is better, ">=" where larger is. */
  readonly sense: "<=" | ">=";
  readonly unit: "bytes" | "number";
  /** What the limit limits: a search that has met all limits goes on with the other kinds. */
  readonly kind: "size" | "quality" | "speed";
  /** Set where it cannot be measured without data, or without labelled data. */
  readonly needs?: "data" | "labels";
  /** Set where a metric that judges against the original's outputs measures it without labels. */
  readonly orOriginal?: true;
  /** Its value in a result; null where it was not measured. */
  of(result: Result): number | null;
}

/** The figure of that name beside another metric, such as the accuracy beside a perplexity. */
function besides(metric: Metric | null, name: string): number | null {
  const figure = metric && (metric as unknown as Record<string, unknown>)[name];
  return typeof figure === "number" ? figure : null;
}

/** The value of each metric is a quantity. */
const values = [...metrics.values()].map(({ id, higherIsBetter, needs }): [string, Quantity] => [
  id,
  {
    kind: "quality",
    sense: higherIsBetter ? ">=" : "<=",
    unit: "number",
    needs: needs === "labels" ? "labels" : "data",
    of: ({ metric }) => (metric?.name === id ? metric.value : besides(metric, id)),
  },
]);

/** The quantities that a target can name. `latency<=0.6x` is read as `speedup>=1/0.6`. */
const quantities: Readonly<Record<string, Quantity>> = {
  size: { kind: "size", sense: "<=", unit: "bytes", of: ({ bytes }) => bytes.raw },
  gzip: { kind: "size", sense: "<=", unit: "bytes", of: ({ bytes }) => bytes.gzip },
  brotli: { kind: "size", sense: "<=", unit: "bytes", of: ({ bytes }) => bytes.brotli },
  packed: { kind: "size", sense: "<=", unit: "bytes", of: ({ bytes }) => bytes.packed },
  drop: {
    kind: "quality",
    sense: "<=",
    unit: "number",
    needs: "labels",
    orOriginal: true,
    of: ({ metric }) => metric?.drop ?? null,
  },
  flips: {
    kind: "quality",
    sense: "<=",
    unit: "number",
    needs: "data",
    of: ({ metric }) => metric?.flips ?? null,
  },
  speedup: { kind: "speed", sense: ">=", unit: "number", of: ({ delta }) => delta.infer },
  latency: {
    kind: "speed",
    sense: "<=",
    unit: "number",
    of: ({ latency }) => latency?.median ?? null,
  },
  ...Object.fromEntries(values),
};

/** One parsed target: a quantity of a result and the limit that it must meet. */
export interface Target {
  /** The target as the user wrote it: `size<=1MB`. */
  readonly text: string;
  /** A key of `quantities`. */
  readonly quantity: string;
  /**
   * In bytes, percent points (drop), percent (flips, accuracy), times (speedup) or ms (latency, by the row's clock).
   */
  readonly limit: number;
  /** "<=" where less is better. */
  readonly sense: "<=" | ">=";
  /** What alone can show if it is met: data, or labelled data. */
  readonly needs: "data" | "labels" | null;
}

const known = Object.entries(quantities)
  .map(([name, { sense }]) => `${name}${sense}`)
  .join(", ");

/** Parses targets separated by commas. Throws TersorError "bad-target". */
export function parseTargets(text: string): Target[] {
  const parts = text.split(",").map((part) => part.trim());
  return parts.map((part) => {
    const bad = (why: string, remedy: string) =>
      fail(errors.badTarget(`target "${part}"`, why, remedy));
    const [, name = "", sense = "", value = ""] =
      /^([\w-]+)\s*(<=|>=|<|>|=)?\s*(.*)$/.exec(part) ?? [];
    if (!Object.hasOwn(quantities, name)) {
      const near = nearest(name, Object.keys(quantities));
      const remedy = near ? `Did you mean "${near}"?` : `Targets: ${known}`;
      throw bad(name ? `"${name}" is nothing to aim at` : "says nothing", remedy);
    }
    const quantity = quantities[name];
    if (sense !== quantity.sense) {
      throw bad(
        `needs ${quantity.sense}`,
        `Write it as: ${name}${quantity.sense}${value || "..."}`,
      );
    }
    const share = name === "latency" ? /^(\d*\.?\d+)x$/.exec(value)?.[1] : undefined;
    if (Number(share) > 0) {
      return {
        text: part,
        quantity: "speedup",
        limit: 1 / Number(share),
        sense: ">=",
        needs: null,
      };
    }
    const limit =
      quantity.unit === "bytes"
        ? parseBytes(value)
        : Number(value.replace(/[x%]$/, "") || Number.NaN);
    if (!Number.isFinite(limit)) {
      const example = quantity.unit === "bytes" ? "500kB, 1.5MB or 2MiB" : "0.5";
      throw bad(
        `"${value}" is no ${quantity.unit === "bytes" ? "size" : "number"}`,
        `Give for example ${example}`,
      );
    }
    return {
      text: part,
      quantity: name,
      limit,
      sense: quantity.sense,
      needs: quantity.needs ?? null,
    };
  });
}

/**
 * Throws TersorError "bad-target" for a target that cannot be measured on `data`, the records that
 * judge.
 */
export function checkTargets(
  targets: readonly Omit<Target, "limit">[],
  data: { readonly labelled: boolean } | null,
  metric: MetricSpec | null = null,
): void {
  const isCompared = metric !== null && metric.needs !== "labels";
  const unmeasured = targets.find(
    ({ needs, quantity }) =>
      (needs && !data) ||
      (needs === "labels" && !data?.labelled && !(quantities[quantity]?.orOriginal && isCompared)),
  );
  if (!unmeasured) return;
  const where = `target "${unmeasured.text}"`;
  if (!data) throw fail(errors.badTarget(where, "cannot be measured without data", "Give --data"));
  const why = "cannot be measured on data without labels";
  const other = quantities[unmeasured.quantity].orOriginal
    ? ", or a metric that judges against the original: --metric"
    : "";
  throw fail(errors.badTarget(where, why, `Give labelled data, or a limit on flips${other}`));
}

/**
 * A sentence for each target that the result misses. A target whose quantity was not measured
 * counts as missed.
 */
export function missedTargets(targets: readonly Target[], result: Result): string[] {
  return targets.flatMap(({ text, quantity: name, limit }) => {
    const quantity = quantities[name];
    const value = quantity.of(result);
    if (value === null || Number.isNaN(value)) return [`${text}: ${name} was not measured`];
    const isMet = quantity.sense === "<=" ? value <= limit : value >= limit;
    if (isMet) return [];
    const unit = quantity.unit === "bytes" ? " bytes" : "";
    return [`${text}: it is ${Number(value.toPrecision(4))}${unit}`];
  });
}

/** The quantities that targets can limit. */
export const quantityNames: readonly string[] = Object.keys(quantities);

/** What a target says of its quantity, one of `quantityNames`, without a limit. */
export function targetOn(quantity: string): Pick<Target, "quantity" | "sense" | "needs"> {
  const { sense, needs = null } = quantities[quantity];
  return { quantity, sense, needs };
}

/** What the target's quantity is in a result; null where it was not measured. */
export const amountOf = ({ quantity }: Pick<Target, "quantity">, result: Result): number | null =>
  quantities[quantity].of(result);

/** What the target limits. */
export const kindOf = ({ quantity }: Pick<Target, "quantity">): Quantity["kind"] =>
  quantities[quantity].kind;

/**
 * By how much the result misses the target, 0 if it is met: ln(1 + e), where e is the share of the
 * limit that is missing; for qualities it is in units of the limit or of one point, whichever is more.
 * So twice the bytes count as much as a drop of twice the limit, and a network that guesses is not
 * hopelessly worse than one that is ten times too large.
 */
export function excessOf(target: Target, result: Result): number {
  const value = amountOf(target, result);
  if (value === null || Number.isNaN(value)) return Infinity;
  const { kind, sense } = quantities[target.quantity];
  const sign = sense === "<=" ? 1 : -1;
  if (kind !== "quality") return Math.max(0, sign * Math.log(value / target.limit));
  const unit = Math.max(1, sense === "<=" ? target.limit : 0);
  return Math.log1p(Math.max(0, (sign * (value - target.limit)) / unit));
}

const scales: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};

/** "1.5MB" -> 1500000; NaN if it is no size. Units are SI: 1 kB is 1000 bytes, 1 KiB is 1024. */
export function parseBytes(text: string): number {
  const [, value = "", unit = "?"] = /^(\d*\.?\d+)\s*([a-z]*)$/i.exec(text) ?? [];
  return Number(value || Number.NaN) * (scales[unit.toLowerCase()] ?? Number.NaN);
}
