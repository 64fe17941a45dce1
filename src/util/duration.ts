/** @file Times as text: "90s", "10m". */

/** Seconds in each unit of time. */
const units: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, min: 60, h: 3600 };

/** "10m" -> 600 seconds; without a unit seconds are meant. NaN if it is no time above 0. */
export function parseSeconds(text: string): number {
  const [, value = "", unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m|min|h)?$/.exec(text) ?? [];
  return value !== "" && Number(value) > 0 ? Number(value) * units[unit] : Number.NaN;
}
