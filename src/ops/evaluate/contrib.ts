/** @file Evaluation of the com.microsoft operators that tersor writes. */
import type { Tensor } from "../../ir/tensor.ts";
import { tensor } from "../../ir/tensor.ts";
import { type EvaluateRule, optional } from "./elements.ts";
import { array64, matMul } from "./linear.ts";
import { transposed } from "./movement.ts";

/** The code at `index` of a list of `bits`-bit codes packed in bytes, lowest bits first. */
function codeAt(bytes: ArrayLike<number>, index: number, bits: number): number {
  const perByte = 8 / bits;
  return (bytes[Math.floor(index / perByte)] >> ((index % perByte) * bits)) & (2 ** bits - 1);
}

/**
 * A [..., K] times the transpose of B [N, K], packed as [N, blocks, bytes]: B = (code - zero point)
 * * scale with one scale and zero point per block of a row.
 */
const matMulNBits: EvaluateRule = (inputs, node) => {
  const [a, packed, scale] = inputs;
  const [K, N] = [node.int("K", 0), node.int("N", 0)];
  const [bits, block] = [node.int("bits", 4), node.int("block_size", 32)];
  const blocks = Math.ceil(K / block);
  const [bytes, scales] = [packed.numbers(), scale.numbers()];
  const zeroPoints = optional(inputs, 3);
  if (optional(inputs, 4)) return null; // group indices: deprecated
  const zeros = zeroPoints?.numbers();
  // Rows of packed zero points are padded to whole bytes.
  const zeroRow = Math.ceil((blocks * bits) / 8) * (8 / bits);
  const zeroAt = (n: number, b: number): number => {
    if (!zeros || !zeroPoints) return 2 ** (bits - 1);
    return zeroPoints.dtype === "uint8"
      ? codeAt(zeros, n * zeroRow + b, bits)
      : zeros[n * blocks + b];
  };
  const weight = new Float64Array(K * N);
  for (let n = 0; n < N; n++) {
    for (let k = 0; k < K; k++) {
      const b = Math.floor(k / block);
      const code = codeAt(bytes, n * blocks * block + k, bits);
      weight[k * N + n] = (code - zeroAt(n, b)) * scales[n * blocks + b];
    }
  }
  const { shape, values } = matMul(array64(a), { shape: [K, N], values: weight }, node.name);
  const bias = optional(inputs, 5)?.numbers();
  return tensor(
    a.dtype,
    shape,
    Float64Array.from(values, (v, i) => v + (bias?.[i % N] ?? 0)),
  );
};

/** alpha A' B' with A' and B' possibly transposed in their last two axes. */
const fusedMatMul: EvaluateRule = ([a, b], node) => {
  const flip = (x: Tensor, name: string): Tensor => {
    const rank = x.shape.length;
    if (node.int(name, 0) === 0 || rank < 2) return x;
    const order = [...x.shape.keys()];
    return transposed(x, [...order.slice(0, -2), rank - 1, rank - 2]);
  };
  if (node.int("transBatchA", 0) || node.int("transBatchB", 0)) return null;
  const left = array64(flip(a, "transA"));
  const { shape, values } = matMul(left, array64(flip(b, "transB")), node.name);
  const alpha = node.float("alpha", 1);
  return tensor(
    a.dtype,
    shape,
    Float64Array.from(values, (v) => alpha * v),
  );
};

export const contrib: Readonly<Record<string, EvaluateRule>> = {
  FusedMatMul: fusedMatMul,
  MatMulNBits: matMulNBits,
};
