/** @file Shapes of the com.microsoft operators that tersor writes. */
import { type InferRule, mapDim, ofInput, sameShape, shapeOf } from "./dims.ts";
import { matMulShape } from "./nn.ts";

/** A [..., K] by a packed B [N, K] -> [..., N]. */
const matMulNBits: InferRule = ofInput((shape, node) => [...shape.slice(0, -1), node.int("N", 0)]);

/** A MatMul whose operands may be transposed in their last two axes. */
const fusedMatMul: InferRule = (node) => {
  const [a, b] = [0, 1].map((i) => {
    const shape = shapeOf(node, i);
    const isTransposed = node.int(i === 0 ? "transA" : "transB", 0) === 1;
    if (!shape || !isTransposed || shape.length < 2) return shape;
    return [...shape.slice(0, -2), shape[shape.length - 1], shape[shape.length - 2]];
  });
  return [matMulShape(a, b)];
};

/**
 * Rows of a table [vocabulary, width], quantized in blocks along the width. A uint8 table packs two
 * 4-bit codes per byte.
 */
const gatherBlockQuantized: InferRule = (node) => {
  const [data, index] = [shapeOf(node, 0), shapeOf(node, 1)];
  if (!data || !index) return [null];
  const perByte = node.inputs[0]?.dtype === "uint8" ? 8 / node.int("bits", 4) : 1;
  const last = mapDim(data.at(-1), (bytes) => bytes * perByte);
  return [data.with(-1, last).toSpliced(node.int("gather_axis", 0), 1, ...index)];
};

/**
 * Shapes of operators of ai.onnx that only ONNX Runtime knows; exporters of language models write
 * them.
 */
export const inferUnlisted: Readonly<Record<string, InferRule>> = {
  SimplifiedLayerNormalization: (node) => [shapeOf(node, 0)],
};

export const inferContrib: Readonly<Record<string, InferRule>> = {
  FastGelu: sameShape,
  FusedMatMul: fusedMatMul,
  GatherBlockQuantized: gatherBlockQuantized,
  Gelu: sameShape,
  MatMulNBits: matMulNBits,
  QuickGelu: sameShape,
};
