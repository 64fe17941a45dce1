/** @file Numbers that JSON has no word for, NaN and the infinities, kept beside the JSON. */

/** Those in a value, as text by their path: { "results.1.metric.sqnr": "Infinity" }. */
export const numbersNotFinite = (value: unknown): Record<string, string> =>
  Object.fromEntries(found(value, ""));

function* found(value: unknown, path: string): Generator<[string, string]> {
  if (typeof value === "number" && !Number.isFinite(value)) yield [path, String(value)];
  if (typeof value !== "object" || value === null) return;
  for (const [key, part] of Object.entries(value)) {
    yield* found(part, path === "" ? key : `${path}.${key}`);
  }
}

/** Puts these numbers back in the places of the nulls that JSON has for them. */
export function restore(value: unknown, numbers: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(numbers)) put(value, path.split("."), text);
}

function put(value: unknown, [key, ...rest]: readonly string[], text: string): void {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return;
  const parts = value as Record<string, unknown>;
  if (rest.length > 0) put(parts[key], rest, text);
  else if (parts[key] === null) parts[key] = Number(text);
}
