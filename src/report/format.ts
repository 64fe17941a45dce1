/** @file Numbers and names as text for people; a value that was not measured is "-". */
import { aboutOf } from "../measure/about.ts";
import type { Metric } from "../measure/measurement.ts";

type Maybe = number | null | undefined;

const known = (n: Maybe): n is number => typeof n === "number" && Number.isFinite(n);

/** Three significant digits with an SI prefix, for example 1.72 M; whole numbers below 1000. */
function si(n: number, units: readonly string[]): string {
  let [value, power] = [n, 0];
  // 999.5 would be rounded to 1000; in the next unit it is 1.00.
  while (Math.abs(value) >= 999.5 && power < units.length - 1) {
    value /= 1000;
    power += 1;
  }
  const digits = power === 0 ? String(Math.round(value)) : significant(value);
  return `${digits} ${units[power]}`.trimEnd();
}

/** Three significant digits without an exponent: 0.183, 12.3; whole numbers from 1,000 on. */
function significant(value: number): string {
  const size = Math.abs(value);
  if (size >= 999.5) return count(value);
  return size === 0 ? "0" : Number(value.toPrecision(3)).toFixed(decimals(size));
}

/** The number of decimals that gives three significant digits, at most 6. */
function decimals(size: number): number {
  const exponent = Math.floor(Math.log10(Number(size.toPrecision(3))));
  return Math.min(6, Math.max(0, 2 - exponent));
}

/** A size in SI units (1 kB = 1000 bytes): 1.72 MB, 431 kB, 512 B. */
export function bytes(n: Maybe): string {
  return known(n) ? si(n, ["B", "kB", "MB", "GB", "TB"]) : "-";
}

/** A large number in short: 1.81 G, 416 k, 12. */
export function quantity(n: Maybe): string {
  return known(n) ? si(n, ["", "k", "M", "G", "T"]) : "-";
}

/** A whole number with thousands separators: 431,080. */
export function count(n: Maybe): string {
  return known(n)
    ? Math.round(n)
        .toString()
        .replace(/\B(?=(\d{3})+$)/g, ",")
    : "-";
}

/** Milliseconds without the unit, to the microsecond at the finest: 0.071, 12.3, 1,234. */
export function milliseconds(n: Maybe): string {
  if (!known(n)) return "-";
  if (n >= 1) return significant(n);
  return n > 0 && n < 0.0005 ? "<0.001" : n.toFixed(3);
}

/** Three significant digits: 0.000275, 12.3. */
export function precise(n: Maybe): string {
  return known(n) ? significant(n) : "-";
}

/** A number with the given decimals; never "-0.00". */
export function fixed(n: Maybe, digits = 2): string {
  return known(n) ? n.toFixed(digits).replace(/^-(?=[0.]*$)/, "") : "-";
}

/** A difference with its sign, such as percent points: +0.52, -0.10, 0.00. */
export function points(n: Maybe, digits = 2): string {
  const text = fixed(n, digits);
  return /^\d/.test(text) && Number(text) !== 0 ? `+${text}` : text;
}

/** A share 0..1 as a percentage: 4.2 %. */
export function percent(share: Maybe, digits = 1): string {
  return known(share) ? `${fixed(share * 100, digits)} %` : "-";
}

/** A factor: 0.97x, 3.9x, 124x. */
export function ratio(n: Maybe): string {
  if (!known(n)) return "-";
  const digits = n < 1.995 ? 2 : n < 99.95 ? 1 : 0;
  return `${digits ? n.toFixed(digits) : count(n)}x`;
}

/** A time in seconds as 0.8 s, 42 s, 3 min 5 s, 10 min or 1 h 12 min. */
export function duration(seconds: Maybe): string {
  if (!known(seconds)) return "-";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  return whole < 3600 ? parts(whole, "min", "s") : parts(Math.round(whole / 60), "h", "min");
}

/** `n` small units as large and small ones, of which 60 are a large one. */
function parts(n: number, large: string, small: string): string {
  return `${Math.floor(n / 60)} ${large}${n % 60 ? ` ${n % 60} ${small}` : ""}`;
}

/** A shape as 3x32x32; an unknown dimension is "?", a shape without dimensions "scalar". */
export function shape(dims: readonly (number | string | null)[]): string {
  return dims.length ? dims.map((d) => printable(String(d ?? "?"))).join("x") : "scalar";
}

/** What of a measured metric tells how its figures are printed. */
type Named = Pick<Metric, "name" | "about">;

/** A metric's value with its unit: "99.13 %". Equal outputs of an infinite ratio are "exact". */
export function score(metric: Named & Pick<Metric, "value" | "exact">): string {
  return isExact(metric) ? "exact" : metricValue(metric, metric.value);
}

/** Whether the value is the ratio of a signal and no noise. */
export const isExact = ({ value, exact }: Pick<Metric, "value" | "exact">): boolean =>
  exact === true && value === Number.POSITIVE_INFINITY;

/** A value of a metric with its unit. */
export function metricValue(metric: Named, value: Maybe): string {
  const { unit, digits } = aboutOf(metric);
  return `${fixed(value, digits)} ${unit}`.trimEnd();
}

/**
 * A short name for each recipe: without its options, if no other recipe is then called the same.
 */
export function shortNames(recipes: readonly string[]): Map<string, string> {
  const bare = (recipe: string) => recipe.replace(/:[^>]*?(?=\s*(>|$))/g, "");
  const seen = new Map<string, number>();
  for (const recipe of new Set(recipes)) seen.set(bare(recipe), (seen.get(bare(recipe)) ?? 0) + 1);
  return new Map(recipes.map((r) => [r, seen.get(bare(r)) === 1 ? bare(r) : r]));
}

/** A count with its noun: "1 recipe", "3 recipes". */
export function plural(n: number, noun: string): string {
  return `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
}

/**
 * Replaces control, bidirectional and zero-width characters. Names come from model files, which may
 * be hostile, and such characters could change what a terminal shows.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, "\uFFFD");
}

/** The text with a capital first letter. */
export const capitalized = (text: string): string => text.replace(/^./, (c) => c.toUpperCase());

/** How many columns of a terminal the text takes: combining marks none, CJK and emoji two. */
export function displayWidth(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  let width = 0;
  for (const char of text) {
    if (/\p{Mn}|\p{Me}/u.test(char)) continue;
    width += wide.test(char) ? 2 : 1;
  }
  return width;
}

const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
