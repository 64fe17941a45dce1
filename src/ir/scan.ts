/**
 * @file The scanner of ONNX's text form: it reads piece by piece and reports errors with line and
 * column.
 */
import { errors, fail } from "../errors.ts";
import { quote } from "./text.ts";

/**
 * A cursor over a text. Blanks and comments (from # to the end of the line) are skipped before each
 * piece. Methods that do not return null throw where the piece is missing.
 */
export interface Scanner {
  /** Consumes the punctuation if it comes next; returns whether it did. */
  skip(mark: string): boolean;
  /** Consumes the punctuation, or throws. */
  expect(mark: string): void;
  /** Whether the punctuation comes next; it is not consumed. */
  sees(mark: string): boolean;
  /** The next bare word, which is not consumed, or null. */
  peekWord(): string | null;
  word(): string;
  /** A bare or quoted name. */
  name(): string;
  /** A bare or quoted name, or null. */
  maybeName(): string | null;
  /** Quoted text, or null. */
  maybeText(): string | null;
  text(): string;
  /** A number as it is written, or null. */
  maybeNumber(): string | null;
  number(): string;
  /** A whole number from 0 on. */
  size(): number;
  /** Items between two marks, separated by commas. */
  list<T>(open: string, close: string, item: () => T): T[];
  /** Whether the text is used up. */
  end(): boolean;
  /** An error for the current line and column. */
  reject(why: string): Error;
}

/** A scanner of `source`. Errors call the text `where`; all are TersorError "bad-text". */
export function createScanner(source: string, where: string): Scanner {
  let at = 0;

  function blank(): void {
    at += (take(/(?:\s+|#[^\n]*)*/y) ?? "").length;
  }

  /** The match at the current place, which does not move. */
  function take(pattern: RegExp): string | null {
    pattern.lastIndex = at;
    return pattern.exec(source)?.[0] ?? null;
  }

  /** The match after any blanks; moves behind it. */
  function next(pattern: RegExp): string | null {
    blank();
    const found = take(pattern);
    if (found) at += found.length;
    return found;
  }

  function reject(why: string): Error {
    blank();
    const before = source.slice(0, at).split("\n");
    const column = (before.at(-1) as string).length + 1;
    return fail(errors.badText(`${where}:${before.length}:${column}`, why));
  }

  function required<T>(found: T | null, what: string): T {
    if (found === null) throw reject(`${what} is expected here`);
    return found;
  }

  const sees = (mark: string): boolean => {
    blank();
    return source.startsWith(mark, at);
  };
  const skip = (mark: string): boolean => {
    if (!sees(mark)) return false;
    at += mark.length;
    return true;
  };
  const expect = (mark: string): void => {
    if (!skip(mark)) throw reject(`${quote(mark)} is expected here`);
  };
  const maybeWord = (): string | null => next(/[A-Za-z_][A-Za-z0-9_]*/y);
  const maybeText = (): string | null =>
    next(/"(?:[^"\\]+|\\[^])*"/y)
      ?.slice(1, -1)
      .replace(/\\([^])/g, "$1") ?? null;
  const maybeName = (): string | null => maybeText() ?? maybeWord();
  const maybeNumber = (): string | null =>
    next(/[-+]?(?:inf\b|nan\b|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)/y);

  return {
    sees,
    skip,
    expect,
    peekWord() {
      blank();
      return take(/[A-Za-z_][A-Za-z0-9_]*/y);
    },
    word: () => required(maybeWord(), "a word"),
    name: () => required(maybeName(), "a name"),
    maybeName,
    maybeText,
    text: () => required(maybeText(), "quoted text"),
    maybeNumber,
    number: () => required(maybeNumber(), "a number"),
    size: () => Number(required(next(/\d+/y), "a size")),
    list(open, close, item) {
      expect(open);
      const items: ReturnType<typeof item>[] = [];
      while (!skip(close)) {
        if (items.length > 0) expect(",");
        items.push(item());
      }
      return items;
    },
    end() {
      blank();
      return at === source.length;
    },
    reject,
  };
}
