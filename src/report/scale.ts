/** @file Axis scales: the mapping from values to pixels, and round values for the ticks. */

/** An axis. */
export interface Scale {
  /** The pixel of a value. */
  at(value: number): number;
  /** The values of the ticks, ascending. */
  readonly ticks: readonly number[];
}

type Range = readonly [number, number];

/** Maps lo..hi to from..to, linear in bend(value). */
function project([lo, hi]: Range, [from, to]: Range, bend: (v: number) => number) {
  const [a, b] = [bend(lo), bend(hi)];
  return (value: number) => from + ((bend(value) - a) / (b - a || 1)) * (to - from);
}

/** The step that gives about `count` ticks over `span`: 1, 2 or 5 times a power of ten. */
function niceStep(span: number, count: number): number {
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  return power * (raw / power < 1.5 ? 1 : raw / power < 3.5 ? 2 : raw / power < 7.5 ? 5 : 10);
}

/** About `count` round values from lo to hi, at equal distances. */
export function linearTicks([lo, hi]: Range, count = 5): number[] {
  if (!(hi > lo)) return [lo];
  const step = niceStep(hi - lo, count);
  const first = Math.ceil(lo / step - 1e-9);
  const last = Math.floor(hi / step + 1e-9);
  // Ticks are multiples rounded to the digits of the step; sums would give 0.30000000000000004.
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  return Array.from({ length: last - first + 1 }, (_, i) =>
    Number(((first + i) * step).toFixed(digits)),
  );
}

/**
 * Round values for a logarithmic axis from lo to hi: more per decade the fewer decades there are.
 */
export function logTicks([lo, hi]: Range): number[] {
  const decades = Math.log10(hi / lo);
  const digits = decades > 3 ? [1] : decades > 1 ? [1, 2, 5] : [1, 1.5, 2, 3, 5, 7];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(lo)); power <= Math.ceil(Math.log10(hi)); power++)
    for (const digit of digits) {
      const tick = Number((digit * 10 ** power).toPrecision(3));
      if (tick >= lo * 0.999 && tick <= hi * 1.001) ticks.push(tick);
    }
  return ticks;
}

/**
 * A logarithmic scale from lo to hi, with a margin on both sides so that no point is on the edge.
 */
export function logScale([lo, hi]: Range, range: Range): Scale {
  const margin = Math.max(1.12, (hi / lo) ** 0.06);
  const domain: Range = [lo / margin, hi * margin];
  return { at: project(domain, range, Math.log), ticks: logTicks(domain) };
}

/**
 * The scale y = asinh(v / unit): linear within about `unit` of zero, logarithmic beyond, for both
 * signs. Drops of 0.1 and of 70 points are then both readable on one axis. Ticks are at least
 * `apart` pixels from each other.
 */
export function bentScale([lo, hi]: Range, range: Range, unit: number, apart = 20): Scale {
  const bend = (v: number) => Math.asinh(v / unit);
  const margin = 0.06 * (bend(hi) - bend(lo)) || 0.5;
  const domain: Range = [unit * Math.sinh(bend(lo) - margin), unit * Math.sinh(bend(hi) + margin)];
  const at = project(domain, range, bend);
  // In order of preference: zero, powers of ten, five times and twice those. A tick that is too
  // close to an earlier one is left out.
  const reach = Math.max(Math.abs(domain[0]), Math.abs(domain[1]));
  const powers = Array.from({ length: 12 }, (_, i) => 10 ** (Math.ceil(Math.log10(reach)) - i));
  const wanted = [0, ...[1, 5, 2].flatMap((digit) => powers.map((power) => digit * power))];
  const ticks: number[] = [];
  for (const tick of wanted.flatMap((t) => [t, -t]).map((t) => Number(t.toPrecision(1)) + 0)) {
    const inside = tick >= domain[0] && tick <= domain[1];
    if (inside && ticks.every((other) => Math.abs(at(other) - at(tick)) >= apart)) ticks.push(tick);
  }
  return { at, ticks: ticks.sort((a, b) => a - b) };
}
