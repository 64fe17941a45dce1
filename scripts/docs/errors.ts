/** @file docs/errors.md: the catalogue with an example message of each error. */
import { type ErrorInfo, errors, fail } from "../../src/errors.ts";
import { code, page, table } from "./page.ts";

/** Stand-ins for parameters that are computed with; the others show their name in angle brackets. */
const samples: Readonly<Record<string, unknown>> = {
  classes: 10,
  known: ["sparsity", "scope"],
  near: undefined,
};

/** `source` is src/errors.ts: its comments name the folder that raises what follows. */
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

/** Several errors may share a code. */
function rowsOf(names: readonly (keyof typeof errors)[]): string[][] {
  return names.map((name) => {
    const info = example(errors[name] as (...args: unknown[]) => ErrorInfo);
    return [code(info.code), code(fail(info).message.slice(info.code.length + 2))];
  });
}

function example(make: (...args: unknown[]) => ErrorInfo): ErrorInfo {
  // `length` counts the parameters before the first with a default.
  const names = /^\(?([^=)]*)/.exec(String(make))![1].split(",", make.length);
  return make(
    ...names.map((name) => {
      const parameter = name.trim();
      return parameter in samples ? samples[parameter] : `<${parameter}>`;
    }),
  );
}

function sectionsOf(source: string): { title: string; names: (keyof typeof errors)[] }[] {
  const sections: { title: string; names: (keyof typeof errors)[] }[] = [];
  const body = source.slice(source.indexOf("export const errors"));
  for (const [, folder, name] of body.matchAll(/^ {2}(?:\/\/ (.+\/.*)|(\w+): \()/gm)) {
    if (folder) sections.push({ title: folder.replace(/\/(?=,|$)/g, ""), names: [] });
    else sections.at(-1)?.names.push(name as keyof typeof errors);
  }
  return sections;
}
