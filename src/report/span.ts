/** @file Span: a piece of text with a tone (such as "good"), shown by each format in its way. */
import { displayWidth, printable } from "./format.ts";

export type Tone = "plain" | "dim" | "bold" | "code" | "good" | "fair" | "bad" | "alert";

/** A piece of text with one tone. */
export interface Span {
  readonly text: string;
  readonly tone: Tone;
}

/** A line of text as spans. */
export type Line = readonly Span[];

/** A span; characters that a terminal must not print are replaced. */
export function span(text: string, tone: Tone = "plain"): Span {
  return { text: printable(text), tone };
}

/** A line from spans and from strings, which become plain spans. */
export function line(...parts: readonly (string | Span)[]): Line {
  return parts.map((part) => (typeof part === "string" ? span(part) : part));
}

export function plainText(parts: Line): string {
  return parts.map((part) => part.text).join("");
}

/** Columns of a terminal that the line takes. */
export function lineWidth(parts: Line): number {
  return displayWidth(plainText(parts));
}

/** Several lines as one, with a separator between them. */
export function joined(lines: readonly Line[], separator = " "): Line {
  return lines.flatMap((item, i) => (i === 0 ? item : [span(separator), ...item]));
}

/** ANSI codes (SGR) of the tones. */
const ansi: Readonly<Record<Tone, string>> = {
  plain: "",
  dim: "2",
  bold: "1",
  code: "36",
  good: "32",
  fair: "33",
  bad: "31",
  alert: "1;35",
};

/** The line as text, with ANSI colours if `color`. */
export function paint(parts: Line, color: boolean): string {
  return parts
    .map(({ text, tone }) => (color && ansi[tone] ? `\u001b[${ansi[tone]}m${text}\u001b[0m` : text))
    .join("");
}

/**
 * Breaks a line at spaces into lines of at most `width` columns; lines after the first begin with
 * `indent`. A word that is longer than a line is cut. A recipe is never broken between ">" and the
 * step behind it, so that a step begins its line with ">".
 */
export function wrap(parts: Line, width: number, indent = ""): Line[] {
  const text = plainText(parts);
  const lines: Span[][] = [[]];
  let room = width;
  const breakLine = () => {
    lines.push(indent ? [span(indent)] : []);
    room = Math.max(1, width - indent.length);
  };
  for (const match of text.matchAll(/\s+|> \S+|\S+/g)) {
    let [at, end] = [match.index, match.index + match[0].length];
    const fresh = room === (lines.length > 1 ? Math.max(1, width - indent.length) : width);
    const blank = !match[0].trim();
    if (blank && fresh) continue;
    if (displayWidth(match[0]) > room && !fresh) {
      breakLine();
      if (blank) continue;
    }
    while (displayWidth(text.slice(at, end)) > room) {
      const cut = at + cutAt(text.slice(at, end), room);
      lines[lines.length - 1].push(...slice(parts, at, cut));
      at = cut;
      if (at === end) break;
      breakLine();
    }
    lines[lines.length - 1].push(...slice(parts, at, end));
    room -= displayWidth(text.slice(at, end));
  }
  return lines.map(trimEnd).filter((parts, i) => i === 0 || parts.length > 0);
}

/** The part of a line between two offsets of its plain text. */
function slice(parts: Line, from: number, to: number): Span[] {
  const found: Span[] = [];
  let start = 0;
  for (const { text, tone } of parts) {
    const piece = text.slice(Math.max(0, from - start), Math.max(0, to - start));
    if (piece) found.push({ text: piece, tone });
    start += text.length;
  }
  return found;
}

/** Where a long word may be cut, the best places first: behind these characters. */
const joints = [/[:,|]/, /[=/]/, /[-._]/];

/**
 * Where to cut a word: the number of UTF-16 units that fit into `width` columns, at least one
 * character, up to the last joint of the best kind. So `prune:ratio=0.5` is cut behind the colon.
 */
function cutAt(text: string, width: number): number {
  let [at, used] = [0, 0];
  const found = joints.map(() => 0);
  for (const char of text) {
    used += displayWidth(char);
    if (used > width && at > 0) return found.find((cut) => cut > 0) ?? at;
    at += char.length;
    joints.forEach((joint, i) => {
      if (joint.test(char)) found[i] = at;
    });
  }
  return at;
}

/** The line without blank spans at its end. */
function trimEnd(parts: Line): Line {
  const kept = [...parts];
  while (kept.length && !kept[kept.length - 1].text.trim()) kept.pop();
  return kept;
}
