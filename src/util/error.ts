/** @file TersorError: bad input or bad usage, with a code, what is wrong, where, and the remedy. */

/** The parts of an error's message, which reads "code: where: what. remedy." */
export interface ErrorInfo {
  /** Stable identifier in kebab-case. */
  readonly code: string;
  /** What is wrong, in one clause without a final full stop. */
  readonly what: string;
  /** The file, node, option or record concerned. */
  readonly where: string;
  /** What to do about it, in the imperative. */
  readonly remedy: string;
}

/** Bad input or bad usage. The command line prints `message` in one line and exits with 2. */
export class TersorError extends Error implements ErrorInfo {
  override readonly name = "TersorError";
  readonly code: string;
  readonly what: string;
  readonly where: string;
  readonly remedy: string;

  constructor(info: ErrorInfo, options?: ErrorOptions) {
    super(oneLine(`${info.code}: ${info.where}: ${info.what}. ${info.remedy}.`), options);
    this.code = info.code;
    this.what = info.what;
    this.where = info.where;
    this.remedy = info.remedy;
  }
}

/**
 * Makes the error to throw: `throw fail(errors.notAModel(path, why))`. This is the only way in
 * which the library raises errors. `cause` is the error that led to this one, if there is one.
 */
export function fail(info: ErrorInfo, cause?: unknown): TersorError {
  return new TersorError(info, cause === undefined ? undefined : { cause });
}

/** Whether an error only says that the user ended the work. */
export const isAborted = (error: unknown): boolean =>
  error instanceof TersorError && error.code === "aborted";

/** Whether an error says what cannot be done, and not that the user ended the work or a mistake in code. */
export const isRefusal = (error: unknown): error is TersorError =>
  error instanceof TersorError && !isAborted(error);

/** One line of text, without the full stop where the remedy has its own punctuation. */
function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").replace(/([.?!])\.$/, "$1");
}
