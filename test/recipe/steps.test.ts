import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type MethodId, methods } from "../../src/methods/index.ts";
import type { Method } from "../../src/methods/method.ts";
import { describeOptions } from "../../src/options.ts";
import { formatRecipe, parseRecipe } from "../../src/recipe/steps.ts";

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
      options: { bits: 5, init: "linear", only: [], except: [] },
    });
    expect(parseRecipe("")).toEqual([]);
    expect(parseRecipe([{ method: "share-weights", bits: 4 }])[0].options.bits).toBe(4);
  });

  test.each([
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
  /** Any method with any of the values that its options name. */
  const arbitraryStep = fc.constantFrom(...table).chain(([method, { options }]) =>
    fc
      .record(
        Object.fromEntries(
          describeOptions(options).map((info) => [
            info.name,
            info.type === "list"
              ? fc.array(fc.constantFrom("conv*", "fc1", "/a/b:0/MatMul", "Gemm"), {
                  maxLength: 2,
                })
              : info.type === "boolean"
                ? fc.boolean()
                : fc.constantFrom(
                    ...(info.choices ?? (info.search.length > 0 ? info.search : [info.default])),
                  ),
          ]),
        ),
        { requiredKeys: [] },
      )
      .map((given) => ({ method, ...given })),
  );

  test("parses to the same steps, leaves defaults out, is a fixed point", () => {
    fc.assert(
      fc.property(fc.array(arbitraryStep, { maxLength: 3 }), (drawn) => {
        const inputs = drawn.filter(({ method }, i) => method !== "pack" || i === drawn.length - 1);
        const steps = parseRecipe(inputs as never);
        const text = formatRecipe(steps);
        expect(parseRecipe(text)).toEqual(steps);
        expect(formatRecipe(parseRecipe(text))).toBe(text);
      }),
    );
    expect(formatRecipe(parseRecipe("share-weights:bits=5,init=linear"))).toBe("share-weights");
  });

  test("survey settings are steps", () => {
    for (const [method, { survey, neutral }] of table) {
      for (const options of [...survey, neutral ?? {}]) {
        expect(parseRecipe([{ method, ...options }] as never)[0].id).toBe(method);
      }
    }
  });
});
