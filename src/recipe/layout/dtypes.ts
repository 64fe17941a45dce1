/**
 * @file The dtypes of transformers.js: the suffix of the file, and the recipe that makes it. A new one
 * is an entry here.
 */

import type { Representation } from "../../targets/target.ts";

export interface Dtype {
  /** Follows the name of the model: model -> model_q4.onnx. */
  readonly suffix: string;
  /** What is in the file, in one phrase. */
  readonly doc: string;
  /** The steps of tersor; null for the float file itself, or with `why` where there are none. */
  readonly recipe: string | null;
  readonly why?: string;
  /** What engines compute with; nothing for weights that are unpacked at load. */
  readonly computes: readonly Representation[];
}

/** Embeddings in 8 bits per row, the other weights in blocks of 32 that the engine multiplies with. */
const blocks = (bits: number, kernel: "integer" | "float"): string =>
  `quantize-embeddings:bits=8 > quantize-weights:bits=${bits},block=32,kernel=${kernel}`;
const int8 = "quantize-dynamic > quantize-weights:bits=8";
const half = "store-float16:compute=float16";
const signs =
  "1-bit weights need training (binarize-bwn, binarize-loss-aware): compress with such a recipe, and name the file yourself";

/** As in the file utils/dtypes.js of transformers.js 4.3.2. */
export const dtypes = {
  fp32: { suffix: "", doc: "the float model", recipe: null, computes: [] },
  fp16: {
    suffix: "_fp16",
    doc: "float16 weights; layers compute in it unless they overflow; inputs and outputs stay float32",
    recipe: half,
    computes: ["float16"],
  },
  int8: {
    suffix: "_int8",
    doc: "int8 weights, activations rounded at run time; what has no such kernel is unpacked at load",
    recipe: int8,
    computes: ["dynamic-int8"],
  },
  uint8: {
    suffix: "_uint8",
    doc: "uint8 weights",
    recipe: null,
    why: "quantize-dynamic stores int8 weights, which are as fast in WebAssembly and 1.6x faster on x64 CPUs with VNNI (q8 holds them)",
    computes: [],
  },
  q8: {
    suffix: "_quantized",
    doc: "int8 weights, activations rounded at run time; what has no such kernel is unpacked at load",
    recipe: int8,
    computes: ["dynamic-int8"],
  },
  q4: {
    suffix: "_q4",
    doc: "int4 weights in blocks of 32, which ONNX Runtime fuses to MatMulNBits; embeddings in 8 bits",
    recipe: blocks(4, "integer"),
    computes: ["weights-4"],
  },
  q4f16: {
    suffix: "_q4f16",
    doc: "as q4, and the other weights in float16; layers of int4 weights compute in float32",
    recipe: `${blocks(4, "integer")} > ${half}`,
    computes: ["weights-4", "float16"],
  },
  bnb4: {
    suffix: "_bnb4",
    doc: "NF4 tables in blocks of 64, unpacked at load (not the operator MatMulBnb4)",
    recipe: "quantize-table:table=nf4,block=64",
    computes: [],
  },
  q2: {
    suffix: "_q2",
    doc: "2-bit weights in blocks of 32, unpacked at load; embeddings in 8 bits",
    recipe: blocks(2, "float"),
    computes: [],
  },
  q2f16: {
    suffix: "_q2f16",
    doc: "as q2, and the other weights in float16",
    recipe: `${blocks(2, "float")} > ${half}`,
    computes: ["float16"],
  },
  q1: { suffix: "_q1", doc: "1-bit weights", recipe: null, why: signs, computes: [] },
  q1f16: { suffix: "_q1f16", doc: "1-bit weights", recipe: null, why: signs, computes: [] },
} as const satisfies Readonly<Record<string, Dtype>>;

export type DtypeName = keyof typeof dtypes;

/** What is made where nothing is asked for. */
export const usualDtypes: readonly DtypeName[] = ["fp32", "fp16", "q8", "q4", "q4f16"];
