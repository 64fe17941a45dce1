/** @file Writes docs/errors.md: all errors, with an example message of each. */
import { type ErrorInfo, errors, fail } from "../../src/errors.ts";
import { code, page, table } from "./page.ts";

/**
 * Values for the parameters that an error's text is computed from. Other parameters are shown by
 * their name in angle brackets.
 */
const samples: Readonly<Record<string, unknown>> = {
  classes: 10,
  known: ["sparsity", "scope"],
  near: undefined,
};

/** `source` is the text of src/errors.ts and its parts, whose comments name the folders that throw the errors. */
export function errorsPage(source: string): string {
  const sections = sectionsOf(source);
  return page(
    "# Errors",
    "Bad input or bad usage is a `TersorError` with `code`, `where`, `what` and `remedy`. On the command line it is one line on stderr, `code: where: what. remedy.`, and exit status 2; no file is written. Words in angle brackets depend on the case.",
    ...sections.flatMap(({ title, names }) => [
      `## ${title}`,
      table(["code", "message"], rowsOf(names)),
    ]),
  );
}

/** A row per error; several may have the same code. */
function rowsOf(names: readonly (keyof typeof errors)[]): string[][] {
  return names.map((name) => {
    const info = example(errors[name] as (...args: unknown[]) => ErrorInfo);
    return [code(info.code), code(fail(info).message.slice(info.code.length + 2))];
  });
}

function example(make: (...args: unknown[]) => ErrorInfo): ErrorInfo {
  // The length of a function is the number of parameters before the first with a default.
  const names = /^\(?([^=)]*)/.exec(String(make))![1].split(",", make.length);
  return make(
    ...names.map((name) => {
      const parameter = name.trim();
      return parameter in samples ? samples[parameter] : `<${parameter}>`;
    }),
  );
}

/** The errors in the order of the source, under the comment that stands before them. */
function sectionsOf(source: string): { title: string; names: (keyof typeof errors)[] }[] {
  const sections: { title: string; names: (keyof typeof errors)[] }[] = [];
  for (const [, folder, name] of source.matchAll(/^ {2}(?:\/\/ (.+\/.*)|(\w+): \()/gm)) {
    if (folder) sections.push({ title: folder.replace(/\/(?=,|$)/g, ""), names: [] });
    else sections.at(-1)?.names.push(name as keyof typeof errors);
  }
  return sections;
}
