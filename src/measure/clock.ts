/** @file The clock that runs are timed by: process CPU time where that says how fast they are. */
import type { Platform } from "../platform.ts";

/** Which time counts: that of the process's CPU, or that on the wall. */
export type ClockKind = "cpu" | "wall";

/** A clock in milliseconds. */
export interface Clock {
  readonly kind: ClockKind;
  /** Milliseconds since a moment that is always the same. */
  now(): number;
  /** The smallest difference, other than 0, between two readings. */
  readonly step: number;
  /** The time between two readings with nothing between them, on average. */
  readonly reading: number;
}

/** A CPU clock of larger steps is not used (Windows counts in steps of 15.6 ms). */
const coarsest = 0.1;
/** Readings after which a clock that has not moved is taken for one that other things move. */
const mostReadings = 20_000;
/** Steps that are observed. */
const steps = 20;

/**
 * The clocks for runs on `threads` engine threads, the better first. With one thread that is process
 * CPU time, because other work on the machine lengthens wall time. With several threads, whose CPU
 * times add up, and where the platform has no fine clock for CPU time, it is wall time.
 */
export function clocksFor(
  platform: Pick<Platform, "wallMs" | "cpuMs">,
  threads: number,
): readonly Clock[] {
  // Reading the wall time takes some 50 ns, which is nothing beside any run.
  const wall: Clock = { ...observe("wall", platform.wallMs), reading: 0 };
  if (threads !== 1 || platform.cpuMs() === null) return [wall];
  const cpu = observe("cpu", () => platform.cpuMs() as number);
  return cpu.step <= coarsest ? [cpu, wall] : [wall];
}

/** Reads a clock until it has moved a few times. */
function observe(kind: ClockKind, now: () => number): Clock {
  const first = now();
  let [last, count, moves, step] = [first, 0, 0, Number.POSITIVE_INFINITY];
  while (moves < steps && count < mostReadings) {
    const time = now();
    count++;
    if (time === last) continue;
    step = Math.min(step, time - last);
    last = time;
    moves++;
  }
  return { kind, now, step: moves > 0 ? step : 0, reading: (last - first) / count };
}
