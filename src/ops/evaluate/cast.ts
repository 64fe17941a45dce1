/** @file Cast between element types. */
import { type DType, dtypeOfCode, dtypes } from "../../ir/dtype.ts";
import { Tensor, tensor } from "../../ir/tensor.ts";
import { bigints, type EvaluateRule, type EvaluateRules, isBig, isFloat } from "./elements.ts";
import { decodeFloat8, encodeFloat8, isFloat8 } from "./float8.ts";

/**
 * Converts the elements to another type, as the operator Cast. Floats lose their fraction towards
 * zero; integers that do not fit keep their low bits. `saturate` is for 8-bit floats. Null for
 * types that hold no numbers.
 */
export function cast(x: Tensor, to: DType, saturate = true): Tensor | null {
  if (x.dtype === to) return x;
  if (isFloat8(x.dtype)) return cast(decodeFloat8(x), to, saturate);
  if (isFloat8(to)) {
    const numbers = cast(x, "float32");
    return numbers && encodeFloat8(numbers, to, saturate);
  }
  if (to === "string") return toText(x);
  if (x.dtype === "string") return cast(fromText(x), to);
  if (dtypes[x.dtype].kind === "opaque" || dtypes[to].kind === "opaque") return null;
  if (to === "bool")
    return tensor(
      to,
      x.shape,
      Float64Array.from(x.numbers(), (v) => (v ? 1 : 0)),
    );
  if (isFloat(to)) return tensor(to, x.shape, Float64Array.from(x.numbers()));
  const whole = isBig(x.dtype) ? Array.from(bigints(x)) : Array.from(x.numbers(), toWhole);
  const { bits } = dtypes[to];
  if (to === "int64") return tensor(to, x.shape, BigInt64Array.from(whole));
  if (to === "uint64") return tensor(to, x.shape, BigUint64Array.from(whole));
  return tensor(
    to,
    x.shape,
    whole.map((v) => Number(BigInt.asUintN(bits, v))),
  );
}

/**
 * The integer part of a float. The standard leaves open what happens outside the range of int64.
 */
function toWhole(x: number): bigint {
  return Number.isFinite(x) ? BigInt(Math.trunc(x)) : 0n;
}

function toText(x: Tensor): Tensor | null {
  if (dtypes[x.dtype].kind === "opaque") return null;
  const text = isBig(x.dtype)
    ? Array.from(bigints(x), String)
    : Array.from(x.numbers(), numberText);
  return new Tensor("string", x.shape, () => new Uint8Array(0), text);
}

/** The shortest digits that read back as the same float32, as NumPy prints. */
function numberText(x: number): string {
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "INF" : "-INF";
  for (let digits = 1; digits <= 9; digits++) {
    const short = Number(x.toPrecision(digits));
    if (Math.fround(short) === Math.fround(x)) return String(short);
  }
  return String(x);
}

function fromText(x: Tensor): Tensor {
  const parse = (text: string): number =>
    Number(text.replace(/^([+-]?)inf(inity)?$/i, "$1Infinity").replace(/^\+/, ""));
  return tensor("float64", x.shape, (x.strings ?? []).map(parse));
}

const castRule: EvaluateRule = ([x], node) => {
  const to = dtypeOfCode(node.int("to", 0));
  return to ? cast(x, to, node.int("saturate", 1) === 1) : null;
};

export const casts = {
  Cast: castRule,
  CastLike: ([x, like], node) => cast(x, like.dtype, node.int("saturate", 1) === 1),
} satisfies EvaluateRules;
