/** @file Every error tersor raises: a code, what is wrong, where, and the remedy. */

export interface ErrorInfo {
  /** Stable kebab-case identifier. */
  readonly code: string;
  /** What is wrong, in one clause without a final full stop. */
  readonly what: string;
  /** The file, node, option or record concerned. */
  readonly where: string;
  /** What to do about it, in the imperative. */
  readonly remedy: string;
}

/** Bad input or bad usage: the command line prints `message` in one line and exits with 2. */
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

/** The only way to raise: `throw fail(errors.notAModel(path, why))`. */
export function fail(info: ErrorInfo, cause?: unknown): TersorError {
  return new TersorError(info, cause === undefined ? undefined : { cause });
}

/** The catalogue. Grouped by the folder that raises it; the test corpus quotes these messages. */
export const errors = {
  // onnx/
  notAModel: (where: string, why: string) => ({
    code: "not-a-model",
    what: `is not an ONNX model (${why})`,
    where,
    remedy: "Give the .onnx file itself, complete",
  }),
  // numeric/
  badNumber: (where: string, why: string, remedy: string) => ({
    code: "bad-number",
    what: why,
    where,
    remedy,
  }),
  // methods/, recipe/
  unknownMethod: (where: string, name: string, near: string | undefined) => ({
    code: "unknown-method",
    what: `there is no method "${name}"`,
    where,
    remedy: near ? `Did you mean "${near}"? See: tersor methods` : "See: tersor methods",
  }),
  badOption: (where: string, why: string, remedy = "See: tersor methods") => ({
    code: "bad-option",
    what: why,
    where,
    remedy,
  }),
  aborted: (where: string) => ({
    code: "aborted",
    what: "was interrupted",
    where,
    remedy: "Run it again; finished parts are kept",
  }),
} satisfies Record<string, (...args: never[]) => ErrorInfo>;

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").replace(/([.?!])\.$/, "$1");
}
