/** @file Chains in place of a convolution: the engine gives what the product of their kernels gives. */
import fc from "fast-check";
import { describe, test } from "vitest";
import type { Value } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import type { Chain } from "../../src/layers/chain.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { kernelOf, normal, stage } from "./kernels.ts";
import { expectAlike } from "./replaced.ts";

const [C, N] = [4, 6];
/** Different along each axis, so that one taken for another shows. */
const SIDES = [3, 2, 4];
const INPUT = [13, 11, 12];

const ones = (rank: number): number[] => new Array<number>(rank).fill(1);
/** `size` along one axis, 1 along the others. */
const only = (sides: readonly number[], axis: number): number[] =>
  sides.map((size, i) => (i === axis ? size : 1));

/** Every decomposition in use, for a kernel of these sides: all products of stages. */
const chains: Record<string, (sides: readonly number[]) => Chain> = {
  "svd: k, 1": (k) => [stage("down", [3, C, ...k]), stage("up", [N, 3, ...ones(k.length)])],
  "1, k": (k) => [stage("in", [3, C, ...ones(k.length)]), stage("core", [N, 3, ...k])],
  "Tai: one axis each": (k) =>
    k.map((_, axis) =>
      stage(`axis${axis}`, [axis === k.length - 1 ? N : 3, axis === 0 ? C : 3, ...only(k, axis)]),
    ),
  "one axis each, the last first": (k) =>
    k.map((_, i) => {
      const axis = k.length - 1 - i;
      return stage(`axis${axis}`, [axis === 0 ? N : 3, i === 0 ? C : 3, ...only(k, axis)]);
    }),
  "Tucker-2: 1, k, 1": (k) => [
    stage("in", [3, C, ...ones(k.length)]),
    stage("core", [2, 3, ...k]),
    stage("out", [N, 2, ...ones(k.length)]),
  ],
  "CP: 1, depthwise per axis, 1": (k) => [
    stage("in", [5, C, ...ones(k.length)]),
    ...k.map((_, axis) => stage(`axis${axis}`, [5, 1, ...only(k, axis)], { groups: 5 })),
    stage("out", [N, 5, ...ones(k.length)]),
  ],
  "depthwise separable": (k) => [
    stage("depthwise", [2 * C, 1, ...k], { groups: C }),
    stage("pointwise", [N, 2 * C, ...ones(k.length)]),
  ],
  "in groups": (k) => [
    stage("grouped", [6, C / 2, ...k], { groups: 2 }),
    stage("mixed", [N, 6, ...ones(k.length)]),
  ],
  "low rank + sparse": (k) => [
    {
      join: "sum",
      branches: [
        [stage("down", [2, C, ...k]), stage("up", [N, 2, ...ones(k.length)])],
        [stage("sparse", [N, C, ...k])],
      ],
    },
  ],
  "fire: 1, then 1 beside k": (k) => [
    stage("squeeze", [3, C, ...ones(k.length)]),
    {
      join: "concat",
      branches: [[stage("point", [2, 3, ...ones(k.length)])], [stage("wide", [N - 2, 3, ...k])]],
    },
  ],
  "smaller kernels in the middle": (k) => [
    stage("small", [N, C, ...k.map((size) => Math.max(1, size - 2))]),
  ],
  "a branch that goes on as it came": (k) => [
    stage("first", [N / 2, C, ...k]),
    { join: "concat", branches: [[], [stage("more", [N / 2, N / 2, ...ones(k.length)])]] },
  ],
};

interface Geometry {
  readonly strides?: readonly number[];
  readonly dilations?: readonly number[];
  /** Begins, then ends, of three axes. */
  readonly pads?: readonly number[];
  readonly auto_pad?: string;
  readonly kernel_shape?: true;
  readonly group?: number;
}

const geometries: Geometry[] = [
  {},
  { kernel_shape: true, group: 1 },
  { strides: [2, 3, 1] },
  { pads: [1, 0, 2, 0, 3, 1] },
  { dilations: [2, 1, 3], pads: [0, 2, 1, 3, 0, 4] },
  { strides: [1, 2, 3], dilations: [1, 3, 2], pads: [2, 1, 0, 0, 2, 1] },
  { auto_pad: "VALID", strides: [3, 1, 2], dilations: [1, 2, 1] },
  { auto_pad: "SAME_UPPER" },
  { auto_pad: "SAME_UPPER", strides: [2, 3, 2] },
  { auto_pad: "SAME_LOWER", strides: [3, 2, 1] },
  { auto_pad: "NOTSET", pads: [1, 1, 1, 1, 1, 1] },
];

/** The attributes of the first `rank` axes. */
function attributesOf(geometry: Geometry, sides: readonly number[]): Record<string, unknown> {
  const rank = sides.length;
  const { strides, dilations, pads, auto_pad, kernel_shape, group } = geometry;
  return {
    ...(strides && { strides: strides.slice(0, rank) }),
    ...(dilations && { dilations: dilations.slice(0, rank) }),
    ...(pads && { pads: [...pads.slice(0, rank), ...pads.slice(3, 3 + rank)] }),
    ...(auto_pad && { auto_pad }),
    ...(kernel_shape && { kernel_shape: sides }),
    ...(group && { group }),
  };
}

const biases = [null, "constant", "computed"] as const;

/** The convolution that has the chain's product as its kernel. */
function drawConv(
  chain: Chain,
  sides: readonly number[],
  attributes: Readonly<Record<string, unknown>>,
  bias: (typeof biases)[number],
) {
  const { shape, values } = kernelOf(chain, C, sides);
  const biasOf = (g: Builder, x: Value): Value => {
    const constant = g.constant(normal(N), { name: "bias" });
    return bias === "constant" ? constant : g.Mul(constant, g.ReduceMax(x, null, { keepdims: 0 }));
  };
  return (g: Builder, x: Value): Value =>
    g.Conv(x, g.constant(tensor("float32", shape, values)), bias && biasOf(g, x), attributes);
}

describe.each([1, 2, 3])("%d axes", (rank) => {
  const sides = SIDES.slice(0, rank);
  test.each(geometries.map((geometry, i) => [JSON.stringify(geometry), geometry, i] as const))(
    "%s",
    async (_, geometry, i) => {
      const attributes = attributesOf(geometry, sides);
      const layers = Object.entries(chains).map(([name, chainOf], k) => {
        const chain = chainOf(sides);
        const bias = biases[(rank + i + k) % 3];
        return [name, { chain, draw: drawConv(chain, sides, attributes, bias) }];
      });
      const input = ["N", C, ...INPUT.slice(0, rank)];
      await expectAlike(input, Object.fromEntries(layers));
    },
  );
});

test("any geometry of any decomposition", async () => {
  const upTo = (min: number, max: number) =>
    fc.array(fc.integer({ min, max }), { minLength: 3, maxLength: 3 });
  const explicit = fc.record({ begins: upTo(0, 3), ends: upTo(0, 3), dilations: upTo(1, 2) });
  // The engine has no dilated SAME.
  const automatic = fc.constantFrom("SAME_UPPER", "SAME_LOWER", "VALID");
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 3 }),
      upTo(1, 4),
      upTo(1, 3),
      fc.oneof(explicit, automatic),
      upTo(8, 11),
      async (rank, allSides, strides, padding, sizes) => {
        const sides = allSides.slice(0, rank);
        const padded =
          typeof padding === "string"
            ? { auto_pad: padding }
            : { pads: [...padding.begins, ...padding.ends], dilations: padding.dilations };
        const attributes = attributesOf({ strides, ...padded }, sides);
        const layers = Object.entries(chains).map(([name, chainOf], k) => {
          const chain = chainOf(sides);
          return [name, { chain, draw: drawConv(chain, sides, attributes, biases[k % 3]) }];
        });
        await expectAlike([2, C, ...sizes.slice(0, rank)], Object.fromEntries(layers));
      },
    ),
    { numRuns: 40, seed: 7 },
  );
});
