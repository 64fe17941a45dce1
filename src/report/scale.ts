/** @file Axis scales: values to pixels, and the round values worth a tick. */

export interface Scale {
  at(value: number): number;
  readonly ticks: readonly number[];
}

type Range = readonly [number, number];

function project([lo, hi]: Range, [from, to]: Range, bend: (v: number) => number) {
  const [a, b] = [bend(lo), bend(hi)];
  return (value: number) => from + ((bend(value) - a) / (b - a || 1)) * (to - from);
}

/** 1, 2 or 5 times a power of ten: the step that gives about `count` ticks. */
function niceStep(span: number, count: number): number {
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  return power * (raw / power < 1.5 ? 1 : raw / power < 3.5 ? 2 : raw / power < 7.5 ? 5 : 10);
}

/** Round values from lo to hi, about `count` of them. */
export function linearTicks([lo, hi]: Range, count = 5): number[] {
  if (!(hi > lo)) return [lo];
  const step = niceStep(hi - lo, count);
  const first = Math.ceil(lo / step - 1e-9);
  const last = Math.floor(hi / step + 1e-9);
  // Multiplied, not summed, and rounded to the step: 0.1 + 0.2 is no tick.
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  return Array.from({ length: last - first + 1 }, (_, i) =>
    Number(((first + i) * step).toFixed(digits)),
  );
}

/** 1, 2, 5 in every decade; whole decades only where that would crowd the axis. */
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

/** Logarithmic, with a margin on both sides so that no point lies on the edge. */
export function logScale([lo, hi]: Range, range: Range): Scale {
  const margin = Math.max(1.12, (hi / lo) ** 0.06);
  const domain: Range = [lo / margin, hi * margin];
  return { at: project(domain, range, Math.log), ticks: logTicks(domain) };
}

/**
 * y = asinh(v / unit): linear near zero, logarithmic beyond, on both sides of it. Drops of 0.1 and
 * of 70 points then share an axis, and each can be read. Ticks are at least `apart` pixels apart.
 */
export function bentScale([lo, hi]: Range, range: Range, unit: number, apart = 20): Scale {
  const bend = (v: number) => Math.asinh(v / unit);
  const margin = 0.06 * (bend(hi) - bend(lo)) || 0.5;
  const domain: Range = [unit * Math.sinh(bend(lo) - margin), unit * Math.sinh(bend(hi) + margin)];
  const at = project(domain, range, bend);
  // Zero, then whole decades, then their halves and fifths, wherever there is room left.
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
