/** @file Shapes of the com.microsoft operators that tersor writes. */
import { type InferRule, ofInput, sameShape, shapeOf } from "./dims.ts";
import { matMulShape } from "./nn.ts";

/** A [..., K] by a packed [N, K]. */
const matMulNBits: InferRule = ofInput((shape, node) => [...shape.slice(0, -1), node.int("N", 0)]);

const fusedMatMul: InferRule = (node) => {
  const [a, b] = [0, 1].map((i) => {
    const shape = shapeOf(node, i);
    const isTransposed = node.int(i === 0 ? "transA" : "transB", 0) === 1;
    if (!shape || !isTransposed || shape.length < 2) return shape;
    return [...shape.slice(0, -2), shape[shape.length - 1], shape[shape.length - 2]];
  });
  return [matMulShape(a, b)];
};

export const inferContrib: Readonly<Record<string, InferRule>> = {
  FastGelu: sameShape,
  FusedMatMul: fusedMatMul,
  Gelu: sameShape,
  MatMulNBits: matMulNBits,
  QuickGelu: sameShape,
};
