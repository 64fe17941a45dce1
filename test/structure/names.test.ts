/** @file Forms are named in weights/forms, methods in methods/: everything else asks their tables. */
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { describe, expect, test } from "vitest";
import { metrics } from "../../src/measure/metrics/index.ts";
import { families, methods } from "../../src/methods/index.ts";
import { forms } from "../../src/weights/forms/index.ts";

const root = new URL("../../src/", import.meta.url);
const files = readdirSync(root, { recursive: true, encoding: "utf8" })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => path.endsWith(".ts"))
  .map((path) => ({ path, code: withoutComments(readFileSync(new URL(path, root), "utf8")) }));

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:"'`])\/\/.*$/gm, "$1");
}

/** Files outside `home` that fit, but for those with a reason. */
function strangers(
  home: string,
  fits: (code: string, path: string) => boolean,
  reasons: Readonly<Record<string, string>>,
): string[] {
  const found = files.filter(({ path, code }) => !path.startsWith(home) && fits(code, path));
  const used = new Set(found.map(({ path }) => path));
  // A reason that nobody needs any more is taken out again.
  expect(Object.keys(reasons).filter((path) => !used.has(path))).toEqual([]);
  return [...used].filter((path) => !Object.hasOwn(reasons, path));
}

describe("forms", () => {
  test("no shared code names one", () => {
    const kinds = forms.map(({ kind }) => kind);
    // As a text of its own, however it is compared, or by a part of it.
    const pattern = new RegExp(`["'\`](${kinds.join("|")})["'\`]|\\bform\\??\\.kind\\.\\w+\\(`);
    const reasons = {
      "codec/coder-name.ts": "names of its own coders",
      "ops/schema-table.ts": "inputs of operators",
      "report/curve.ts": "a class of the style sheet",
      "report/scatter.ts": "a class of the style sheet",
    };
    expect(strangers("weights/forms/", (code) => pattern.test(code), reasons)).toEqual([]);
  });

  test("only methods make weights of a form of their own choice", () => {
    const imports = (code: string, path: string): boolean =>
      [...code.matchAll(/from "(\.[^"]+)"/g)]
        .map(([, to]) => posix.join(posix.dirname(path), to))
        .some((to) => /^weights\/forms\/(?!index\.ts)/.test(to));
    const outside = strangers("weights/forms/", imports, {
      "factor/tables.ts": "the product that a table of low rank is looked up in",
      "filters/copied.ts": "copies of base filters, by both methods that find them",
      "nets/filters.ts": "the filters of networks that learn them from the beginning",
      "int8/store-table.ts":
        "tables that int8 methods look up are stored in 8 bits by both of them",
      "rounding/by-layer.ts": "the grids that all rounding methods store",
      "rounding/kernel-times.ts": "a grid for the n-bit kernel, whose time is measured",
      "rounding/rate-sites.ts": "the uniform grid that a price per bit is for",
      "learned/gaussian-mixture.ts": "the codebook that a mixture collapses to",
      "learned/connect.ts": "levels of one bit, by BinaryConnect and by BNN",
      "learned/scaled.ts": "levels of one or two bits, of every method that fits scales to them",
      "learned/step.ts": "grids of one step, by LSQ and for the ends of binary networks",
      "learned/tanh.ts": "even levels through tanh, by DoReFa and by PACT with its weights",
      "weights/gains.ts": "a grid, whose scales take up factors of channels",
      ...methodsThatMake(),
    });
    expect(outside).toEqual([]);
  });

  function methodsThatMake(): Record<string, string> {
    const own = files.filter(
      ({ path, code }) => path.startsWith("methods/") && code.includes("weights/forms/"),
    );
    return Object.fromEntries(own.map(({ path }) => [path, "the form that it projects to"]));
  }
});

describe("methods", () => {
  // `train` and `pack` are words of their own, and commands of the command line.
  const ids = Object.keys(methods).filter((id) => id.includes("-"));
  const named = new RegExp(`["'\`\\s:](${ids.join("|")})["'\`\\s:,]`);

  test("no shared code names one", () => {
    const reasons = {
      "cli/compress.ts": "examples of recipes",
      "cli/doctor.ts": "a remedy in words",
      "cli/methods.ts": "an example of its usage",
      "cli/inspect.ts": "an example of a recipe",
      "recipe/layout/dtypes.ts": "dtypes of files are recipes",
      "recipe/presets.ts": "presets are recipes",
      "recipe/sensitivity.ts": "what it tries where the user names none are recipes",
      "recipe/survey.ts": "combinations are recipes",
      "recipe/advice.ts": "advice is recipes",
    };
    expect(strangers("methods/", (code) => named.test(code), reasons)).toEqual([]);
  });

  test("a family is a folder", () => {
    const text = readFileSync(new URL("methods/index.ts", root), "utf8");
    const folders = new Map(
      [...text.matchAll(/import \{ (\w+) \} from "\.\/([\w-]+)\/([\w-]+)\.ts"/g)].map(
        ([, , folder, id]) => [id, folder],
      ),
    );
    for (const [family, table] of Object.entries(families)) {
      for (const id of Object.keys(table)) expect([id, folders.get(id)]).toEqual([id, family]);
    }
    expect(folders.size).toBe(Object.keys(methods).length);
  });

  test("the folders hold methods and nothing else", () => {
    const others = files.filter(
      ({ path, code }) =>
        path.startsWith("methods/") &&
        !["methods/index.ts", "methods/method.ts"].includes(path) &&
        !code.includes("defineMethod({"),
    );
    expect(others.map(({ path }) => path)).toEqual([]);
  });
});

describe("metrics", () => {
  test("no shared code names one", () => {
    const named = new RegExp(`["'\`](${[...metrics.keys()].join("|")})["'\`]`);
    const reasons = {
      "recipe/advice.ts": "a goal of that name",
      "cli/advise.ts": "a goal of that name",
    };
    expect(strangers("measure/metrics/", (code) => named.test(code), reasons)).toEqual([]);
  });
});
