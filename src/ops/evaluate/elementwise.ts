/** @file Evaluation of elementwise operators with broadcasting: arithmetic, comparison, logic. */
import { type DType, dtypes } from "../../ir/dtype.ts";
import { type Tensor, tensor } from "../../ir/tensor.ts";
import {
  asTensor,
  bigints,
  broadcastPositions,
  broadcastShape,
  type EvaluateRule,
  type EvaluateRules,
  elements,
  isBig,
  isFloat,
  optional,
  store,
} from "./elements.ts";

type Binary = (a: number, b: number) => number;
type BigBinary = (a: bigint, b: bigint) => bigint | boolean;

/** y = f(x). `big` is f for 64-bit integers; without it the rule does not apply to them. */
function unary(f: (x: number) => number, big?: (x: bigint) => bigint): EvaluateRule {
  return ([x]) => {
    if (!isBig(x.dtype)) return tensor(x.dtype, x.shape, Float64Array.from(x.numbers(), f));
    return big ? ofBigints(x.dtype, x.shape, Array.from(bigints(x), big)) : null;
  };
}

/** y = f(x), a bool. */
function test(f: (x: number) => boolean): EvaluateRule {
  return ([x]) =>
    tensor(
      "bool",
      x.shape,
      Float64Array.from(x.numbers(), (v) => +f(v)),
    );
}

/**
 * z = f(a, b) with broadcasting. `big` is f for 64-bit integers, `whole` for narrower integers
 * where f would round; `result` is another element type than that of a.
 */
function binary(
  f: Binary,
  big?: BigBinary | null,
  options: { readonly whole?: Binary; readonly result?: DType } = {},
): EvaluateRule {
  return ([a, b], { name }) => {
    const dtype = options.result ?? a.dtype;
    const shape = broadcastShape(name, a.shape, b.shape);
    const [i, j] = [a, b].map((x) => broadcastPositions(x.shape, shape));
    if (isBig(a.dtype) && big) {
      const [x, y] = [bigints(a), bigints(b)];
      const values = Array.from(i, (at, k) => big(x[at], y[j[k]]));
      return isBig(dtype)
        ? ofBigints(dtype, shape, values as bigint[])
        : tensor(dtype, shape, values.map(Number));
    }
    const g = (!isFloat(a.dtype) && options.whole) || f;
    const [x, y] = [a.numbers(), b.numbers()];
    return tensor(
      dtype,
      shape,
      Float64Array.from(i, (at, k) => g(x[at], y[j[k]])),
    );
  };
}

/** A tensor of 64-bit integers; arithmetic beyond 64 bits wraps, as in hardware. */
export function ofBigints(
  dtype: DType,
  shape: readonly number[],
  values: readonly bigint[],
): Tensor {
  const array = dtype === "int64" ? BigInt64Array.from(values) : BigUint64Array.from(values);
  return tensor(dtype, shape, array);
}

/** A binary rule applied from left to right to any number of inputs. */
function variadic(rule: EvaluateRule): EvaluateRule {
  return (inputs, node, context) => inputs.reduce((a, b) => rule([a, b], node, context) as Tensor);
}

const compare = (f: Binary, big: BigBinary): EvaluateRule => binary(f, big, { result: "bool" });

function bitwise(f: (a: bigint, b: bigint) => bigint): EvaluateRule {
  return binary((a, b) => Number(f(BigInt(a), BigInt(b))), f);
}

const add = binary(
  (a, b) => a + b,
  (a, b) => a + b,
);
const divide = binary(
  (a, b) => a / b,
  (a, b) => (b === 0n ? 0n : a / b),
  { whole: (a, b) => Math.trunc(a / b) },
);
/** Math.min and Math.max do not take bigints. */
export const lesser = (a: bigint, b: bigint): bigint => (a < b ? a : b);
export const greater = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const min = binary(Math.min, lesser);
const max = binary(Math.max, greater);

const equalNumbers = compare(
  (a, b) => +(a === b),
  (a, b) => a === b,
);

const equal: EvaluateRule = (inputs, node, context) => {
  const [a, b] = inputs;
  if (!a.strings) return equalNumbers(inputs, node, context);
  const shape = broadcastShape(node.name, a.shape, b.shape);
  const [i, j] = [a, b].map((x) => broadcastPositions(x.shape, shape));
  const [x, y] = [elements(a), elements(b)];
  return tensor(
    "bool",
    shape,
    Array.from(i, (at, k) => +(x[at] === y[j[k]])),
  );
};

const bitShift: EvaluateRule = (inputs, node, context) => {
  const { bits } = dtypes[inputs[0].dtype];
  const left = node.text("direction") === "LEFT";
  const shift = bitwise((a, b) => (b >= bits ? 0n : left ? BigInt.asUintN(bits, a << b) : a >> b));
  return shift(inputs, node, context);
};

/**
 * The remainder of a / b. With fmod = 1 it has the sign of a (as in C), otherwise that
 * of b (as in Python).
 */
const mod: EvaluateRule = (inputs, node, context) => {
  const isC = node.int("fmod", 0) === 1;
  const rule = binary(
    (a, b) => {
      const rest = a % b;
      return !isC && rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
    },
    (a, b) => {
      const rest = b === 0n ? 0n : a % b;
      return !isC && rest !== 0n && rest < 0n !== b < 0n ? rest + b : rest;
    },
  );
  return rule(inputs, node, context);
};

const pow: EvaluateRule = ([a, b], node, context) => {
  const big = isFloat(b.dtype) ? null : (x: bigint, y: bigint) => (y < 0n ? 0n : x ** y);
  return binary((x, y) => x ** y, big)([a, b], node, context);
};

const clip: EvaluateRule = (inputs, node, context) => {
  const [low, high] = [optional(inputs, 1), optional(inputs, 2)];
  const raised = low ? (max([inputs[0], low], node, context) as Tensor) : inputs[0];
  return high ? min([raised, high], node, context) : raised;
};

const mean: EvaluateRule = (inputs, node, context) => {
  const sum = variadic(add)(inputs, node, context) as Tensor;
  return divide([sum, tensor(sum.dtype, [], inputs.length)], node, context);
};

const where: EvaluateRule = ([condition, a, b], { name }) => {
  const shape = broadcastShape(name, condition.shape, a.shape, b.shape);
  const [c, i, j] = [condition, a, b].map((x) => broadcastPositions(x.shape, shape));
  const [choose, x, y] = [condition, a, b].map(elements);
  const result = store(a.dtype, c.length);
  for (let k = 0; k < c.length; k++) result[k] = choose[c[k]] ? x[i[k]] : y[j[k]];
  return asTensor(a.dtype, shape, result);
};

/** The nearest integer; halves go to the even one. */
export function roundEven(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
}

export const elementwise = {
  Abs: unary(Math.abs, (x) => (x < 0n ? -x : x)),
  Acos: unary(Math.acos),
  Acosh: unary(Math.acosh),
  Add: add,
  And: binary((a, b) => a & b),
  Asin: unary(Math.asin),
  Asinh: unary(Math.asinh),
  Atan: unary(Math.atan),
  Atanh: unary(Math.atanh),
  BitShift: bitShift,
  BitwiseAnd: bitwise((a, b) => a & b),
  BitwiseNot: unary(
    (x) => ~x,
    (x) => ~x,
  ),
  BitwiseOr: bitwise((a, b) => a | b),
  BitwiseXor: bitwise((a, b) => a ^ b),
  Ceil: unary(Math.ceil),
  Clip: clip,
  Cos: unary(Math.cos),
  Cosh: unary(Math.cosh),
  Div: divide,
  Equal: equal,
  Exp: unary(Math.exp),
  Floor: unary(Math.floor),
  Greater: compare(
    (a, b) => +(a > b),
    (a, b) => a > b,
  ),
  GreaterOrEqual: compare(
    (a, b) => +(a >= b),
    (a, b) => a >= b,
  ),
  IsInf: (inputs, node, context) => {
    const [negative, positive] = [node.int("detect_negative", 1), node.int("detect_positive", 1)];
    const rule = test((x) => (x === Infinity && !!positive) || (x === -Infinity && !!negative));
    return rule(inputs, node, context);
  },
  IsNaN: test(Number.isNaN),
  Less: compare(
    (a, b) => +(a < b),
    (a, b) => a < b,
  ),
  LessOrEqual: compare(
    (a, b) => +(a <= b),
    (a, b) => a <= b,
  ),
  Log: unary(Math.log),
  Max: variadic(max),
  Mean: mean,
  Min: variadic(min),
  Mod: mod,
  Mul: binary(
    (a, b) => a * b,
    (a, b) => a * b,
    { whole: Math.imul },
  ),
  Neg: unary(
    (x) => -x,
    (x) => -x,
  ),
  Not: test((x) => !x),
  Or: binary((a, b) => a | b),
  Pow: pow,
  Reciprocal: unary((x) => 1 / x),
  Round: unary(roundEven),
  Sign: unary(Math.sign, (x) => BigInt(Number(x > 0n) - Number(x < 0n))),
  Sin: unary(Math.sin),
  Sinh: unary(Math.sinh),
  Sqrt: unary(Math.sqrt),
  Sub: binary(
    (a, b) => a - b,
    (a, b) => a - b,
  ),
  Sum: variadic(add),
  Tan: unary(Math.tan),
  Where: where,
  Xor: binary((a, b) => a ^ b),
} satisfies EvaluateRules;
