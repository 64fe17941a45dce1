/** @file Progress on stderr: a line that is redrawn on a terminal, a line every 10 s elsewhere. */
import type { Event } from "../recipe/environment.ts";
import { duration, printable } from "../report/format.ts";
import type { Output } from "./shell.ts";

type Progress = Extract<Event, { type: "progress" }>;

/** Nothing is shown during the first two seconds of a task. */
const patienceMs = 2000;
/** Least time between two drawings of the line on a terminal. */
const redrawMs = 100;
/** Least time between two lines where stderr is no terminal. */
const plainMs = 10_000;
const barWidth = 20;

/** The progress of running tasks on stderr. */
export interface ProgressLine {
  show(event: Progress): void;
  /** Removes the line from the terminal, so that other text can be written. */
  clear(): void;
}

/**
 * A progress line. Tasks may be nested (a survey, its recipe, its training); the line shows the
 * outermost and the innermost one, with the estimated time left. `now` is the clock, for tests.
 */
export function createProgress(stderr: Output, now: () => number = Date.now): ProgressLine {
  const isTerminal = stderr.isTTY === true;
  /** The tasks in progress, the outermost first. */
  const tasks = new Map<string, { event: Progress; since: number }>();
  let shownAt = 0;
  let isShown = false;
  const clear = (): void => {
    if (isShown) stderr.write("\r\x1b[2K");
    isShown = false;
    shownAt = now();
  };
  return {
    clear,
    show(event) {
      const time = now();
      const since = tasks.get(event.what)?.since ?? time;
      if (tasks.size === 0) shownAt = time;
      dropFinished(tasks, event.what);
      tasks.set(event.what, { event, since });
      if (event.done >= event.total) tasks.delete(event.what);
      const [outer] = tasks.values();
      const inner = [...tasks.values()].at(-1);
      if (!outer || !inner || time - outer.since < patienceMs) return;
      if (time - shownAt < (isTerminal ? redrawMs : plainMs)) return;
      shownAt = time;
      const text = describe(outer.event, inner.event, (time - inner.since) / 1000, isTerminal);
      if (isTerminal) {
        const width = (stderr.columns || 80) - 1;
        stderr.write(`\r\x1b[2K${[...text].slice(0, width).join("")}`);
        isShown = true;
      } else stderr.write(`${text}\n`);
    },
  };
}

/**
 * Removes finished tasks. Tasks do not report their end, so it is concluded: when a task goes on,
 * those that began after it are over; when a new task begins, those that are at their last part are
 * over.
 */
function dropFinished(tasks: Map<string, { event: Progress }>, what: string): void {
  let isAfter = false;
  const isNew = !tasks.has(what);
  for (const [name, { event }] of tasks) {
    if (isAfter || (isNew && event.done + 1 >= event.total)) tasks.delete(name);
    isAfter ||= name === what;
  }
}

/** The text of the line; `seconds` is the time that the inner task has taken so far. */
function describe(outer: Progress, inner: Progress, seconds: number, withBar: boolean): string {
  const share = inner.total > 0 ? inner.done / inner.total : 0;
  const full = Math.round(share * barWidth);
  const bar = withBar ? `${"█".repeat(full)}${"░".repeat(barWidth - full)} ` : "";
  const left = share > 0.05 ? `, ${duration((seconds * (1 - share)) / share)} left` : "";
  const detail = inner.detail ? `: ${inner.detail}` : "";
  const where =
    outer === inner ? "" : `${printable(outer.what)} ${outer.done + 1}/${outer.total}  `;
  return `${where}${bar}${Math.floor(share * 100)} %  ${printable(inner.what)}${detail}${left}`;
}
