import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { type MethodId, methods } from "../../src/methods/index.ts";
import { defineMethod, type Method } from "../../src/methods/method.ts";
import { describeOptions, type OptionInfo } from "../../src/options.ts";
import { formatRecipe, parseRecipe } from "../../src/recipe/steps.ts";
import { nameOf } from "../../src/recipe/trial.ts";

const table = Object.entries(methods) as unknown as [MethodId, Method][];

describe("parseRecipe", () => {
  test("text, data and defaults", () => {
    const [first, second] = parseRecipe(
      " prune-magnitude : sparsity = 0.9 , only = conv*|fc? > share-weights",
    );
    expect(first).toMatchObject({
      id: "prune-magnitude",
      method: methods["prune-magnitude"],
      options: { sparsity: 0.9, scope: "layer", only: ["conv*", "fc?"], except: [] },
    });
    expect(second).toEqual({
      id: "share-weights",
      method: methods["share-weights"],
      options: {
        ...{ bits: 5, init: "linear", sensitivity: "none", penalty: 0, records: 128 },
        ...{ only: [], except: [], frontEnds: false, rescue: true, tolerance: 1 },
      },
    });
    expect(parseRecipe("")).toEqual([]);
    expect(parseRecipe([{ method: "share-weights", bits: 4 }])[0].options.bits).toBe(4);
  });

  test("simplify is the recipe without steps, wherever it is named", () => {
    expect(parseRecipe("simplify")).toEqual([]);
    expect(parseRecipe([{ method: "simplify" }])).toEqual([]);
    const two = parseRecipe("simplify > share-weights > simplify");
    expect(two.map(({ id }) => id)).toEqual(["share-weights"]);
    const data = parseRecipe([{ method: "simplify" }, { method: "share-weights", bits: 4 }]);
    expect(formatRecipe(data)).toBe("share-weights:bits=4");
    expect(nameOf(parseRecipe("simplify"))).toBe("simplify");
    // A step after `pack` is refused, and this is none.
    expect(parseRecipe("pack > simplify").map(({ id }) => id)).toEqual(["pack"]);
  });

  test.each([
    [
      "simplfy",
      'unknown-method: recipe step 1: there is no method "simplfy". Did you mean "simplify"? See: tersor methods.',
    ],
    [
      "store-float16 > simplify:level=2",
      'unknown-option: recipe step 2 (simplify): there is no option "level". Options: none.',
    ],
    [
      "prune-magnitud",
      'unknown-method: recipe step 1: there is no method "prune-magnitud". Did you mean "prune-magnitude"? See: tersor methods.',
    ],
    [
      "share-weights > > prune-random",
      "bad-recipe: recipe: step 2 is empty. Write steps as: method:option=value,option=value > method.",
    ],
    [
      "share-weights:5",
      'bad-recipe: recipe: "5" has no value. Write steps as: method:option=value,option=value > method.',
    ],
    [
      "share-weights:bits=5,bits=4",
      'bad-recipe: recipe: share-weights has "bits" twice. Write steps as: method:option=value,option=value > method.',
    ],
    [
      "share-weights:method=store-float16",
      'bad-recipe: recipe: share-weights has "method" twice. Write steps as: method:option=value,option=value > method.',
    ],
    [
      "share-weights:__proto__=5",
      'unknown-option: recipe step 1 (share-weights): there is no option "__proto__"',
    ],
    [
      "share-weights:bit=5",
      'unknown-option: recipe step 1 (share-weights): there is no option "bit". Did you mean "bits"?',
    ],
    [
      "share-weights:bits=17",
      'bad-option: recipe step 1 (share-weights): bits="17" is refused (expected number to be <=16). Give a number from 1 to 16.',
    ],
    [
      "share-weights:bits=4.5",
      'bad-option: recipe step 1 (share-weights): bits="4.5" is refused (expected int). Give a number from 1 to 16.',
    ],
    [
      "prune-random:scope=net",
      'bad-option: recipe step 1 (prune-random): scope="net" is refused (expected one of layer, global, row). Give one of: layer, global, row.',
    ],
    [
      "store-float16 > constructor",
      'unknown-method: recipe step 2: there is no method "constructor". See: tersor methods.',
    ],
  ])("%s", (text, message) => {
    expect(() => parseRecipe(text)).toThrow(message);
  });

  test("data that is no recipe", () => {
    for (const steps of [[{}], [{ method: 7 }], [null], [[]], ["share-weights"]]) {
      expect(() => parseRecipe(steps as never)).toThrow(/^bad-recipe: recipe step 1/);
    }
    for (const recipe of [null, 7, {}]) {
      expect(() => parseRecipe(recipe as never)).toThrow(/^bad-recipe: /);
    }
  });
});

describe("formatRecipe", () => {
  /** Whatever may stand in a text: separators, quotes, blanks, nothing. */
  const anyText = fc.oneof(
    fc.constantFrom(
      "",
      " ",
      "conv*",
      "flip+crop=4",
      "a,b",
      "a > b",
      "a|b",
      'say "so"',
      "\\d",
      "#1",
    ),
    fc.string({ unit: fc.constantFrom(...'ab *?=,>|:"\\#\n\t+/é') }),
    fc.string({ unit: "binary" }),
  );

  /** Any value of an option that its schema takes, -0 apart: no text needs it. */
  function valuesOf({ type, choices, search, default: usual, minimum, maximum }: OptionInfo) {
    if (choices) return fc.constantFrom(...choices);
    if (type === "list") return fc.array(anyText, { maxLength: 3 });
    if (type === "boolean") return fc.boolean();
    const known = fc.constantFrom(usual, ...search);
    if (type === "string") return fc.oneof(known, anyText);
    const [min, max] = [minimum ?? -1e6, maximum ?? 1e6];
    const [least, most] = [Math.ceil(min), Math.floor(max)];
    return fc.oneof(
      known,
      ...(least <= most ? [fc.integer({ min: least, max: most })] : []),
      fc.double({ min, max, noNaN: true }).map((x) => x + 0),
    );
  }

  const optionsOf = (info: OptionInfo, method: Method) =>
    valuesOf(info).filter((value) => method.options.safeParse({ [info.name]: value }).success);

  const arbitraryStep = fc.constantFrom(...table).chain(([id, method]) => {
    const infos = describeOptions(method.options);
    const values = Object.fromEntries(infos.map((info) => [info.name, optionsOf(info, method)]));
    return fc.record(values, { requiredKeys: [] }).map((given) => ({ method: id, ...given }));
  });

  test("parses to the same steps, leaves defaults out, is a fixed point", () => {
    fc.assert(
      fc.property(fc.array(arbitraryStep, { maxLength: 3 }), (drawn) => {
        const inputs = drawn.filter(({ method }, i) => method !== "pack" || i === drawn.length - 1);
        const steps = parseRecipe(inputs as never);
        const text = formatRecipe(steps);
        expect(parseRecipe(text)).toEqual(steps);
        expect(formatRecipe(parseRecipe(text))).toBe(text);
      }),
      { numRuns: 500 },
    );
    expect(formatRecipe(parseRecipe("share-weights:bits=5,init=linear"))).toBe("share-weights");
  });

  test("plain text stays as it is; what would end a value stands in quotes", () => {
    for (const text of [
      "train:rates=fc*=0.1|conv*=0.5,augment=flip+crop=4,batchnorm=unfold",
      "prune-magnitude:pattern=2:4,only=/a/b:0/MatMul|Gemm > pack",
      "prune-channels:budget=latency<=0.7,allocation=sensitivity",
      'share-weights:only="a,b"|"c > d"|"e|f"|""|"#1"|" g"|"say \\"so\\"" > pack',
    ]) {
      expect(formatRecipe(parseRecipe(text))).toBe(text);
    }
    const only = ["a,b", "c > d", "e|f", "", "#1", " g", 'say "so"'];
    const [step] = parseRecipe([{ method: "share-weights", only }]);
    expect(parseRecipe(formatRecipe([step]))).toEqual([step]);
    expect(parseRecipe('share-weights:bits="4"')[0].options.bits).toBe(4);
    expect(parseRecipe("share-weights:only=")[0].options.only).toEqual([]);
  });

  test("quotes that are not closed are an error", () => {
    for (const text of ['share-weights:only="a', 'train:augment="flip"x']) {
      expect(() => parseRecipe(text)).toThrow(/^bad-option: recipe step 1 .* is no quoted text/);
    }
  });

  test("survey settings are steps", () => {
    for (const [method, { survey, neutral }] of table) {
      for (const options of [...survey, neutral ?? {}]) {
        expect(parseRecipe([{ method, ...options }] as never)[0].id).toBe(method);
      }
    }
  });
});

describe("a method of your own", () => {
  const mine = defineMethod({
    ...{ id: "round-all", family: "quantization", title: "rounding", cite: "none" },
    ...{ summary: "Rounds.", needs: [], survey: [], neutral: null },
    options: z.object({
      share: z.number().min(0).max(1).default(1),
      layers: z.array(z.string()).default([]),
      digits: z.int(),
    }),
    apply() {},
  });

  test("is a step with its options checked, and has a text", () => {
    const steps = parseRecipe([{ method: mine, digits: 2, layers: ["a,b"] }, { method: "pack" }]);
    expect(steps[0]).toEqual({
      id: "round-all",
      method: mine,
      options: { share: 1, layers: ["a,b"], digits: 2 },
    });
    expect(formatRecipe(steps)).toBe('round-all:layers="a,b",digits=2 > pack');
    expect(parseRecipe(steps)).toEqual(steps);
    expect(() => parseRecipe([{ method: mine, digits: 2.5 }])).toThrow(
      "bad-option: recipe step 1 (round-all): digits=2.5 is refused (expected int). Give a number.",
    );
    expect(() => parseRecipe([{ method: mine, digit: 2 } as never])).toThrow(/^unknown-option/);
  });

  test("has a name of its own", () => {
    const called = (id: string) => [{ method: { ...mine, id }, digits: 1 }] as const;
    expect(() => parseRecipe(called("Round all"))).toThrow(
      "bad-recipe: recipe step 1: names a method of your own whose id is not in kebab-case.",
    );
    expect(() => parseRecipe(called("share-weights"))).toThrow(
      "bad-recipe: recipe step 1: calls a method of your own like share-weights.",
    );
    expect(() => parseRecipe([{ method: methods.train }] as never)).toThrow(/not in kebab-case/);
    expect(() => parseRecipe("round-all:digits=2")).toThrow(/^unknown-method/);
  });

  test.each<[string, object]>([
    ["options, a schema made with z.object", { options: undefined }],
    ["options, a schema made with z.object", { options: { digits: 2 } }],
    ["apply, a function", { apply: 5 }],
    ["needs, a list of some of calibration, training, labels", { needs: undefined }],
    ["needs, a list of some of calibration, training, labels", { needs: ["gpu"] }],
  ])("is refused without %s", (missing, change) => {
    const steps = [{ method: { ...mine, ...change }, digits: 1 }];
    expect(() => parseRecipe(steps as never)).toThrow(
      `bad-recipe: recipe step 1: names round-all, a method without ${missing}.`,
    );
  });

  test("may have options of any name and type, which stand in its text", () => {
    const options = z.object({
      id: z.string(),
      options: z.string(),
    });
    const names = parseRecipe([{ method: { ...mine, options }, id: "a", options: "b" }] as never);
    expect(names[0].options).toEqual({ id: "a", options: "b" });
    const shapes = { ...mine, options: z.object({ at: z.object({ x: z.number() }) }) };
    const text = (x: number): string =>
      formatRecipe(parseRecipe([{ method: shapes, at: { x } }] as never));
    expect([text(1), text(2)]).toEqual([
      'round-all:at="{\\"x\\":1}"',
      'round-all:at="{\\"x\\":2}"',
    ]);
  });
});
