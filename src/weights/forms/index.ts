/** @file The table of forms: a new form is one new file and one line here. */
import type { Form } from "../form.ts";
import { acdc } from "./acdc.ts";
import { affine } from "./affine.ts";
import { asymmetric } from "./asymmetric.ts";
import { blockwise } from "./blockwise.ts";
import { butterfly } from "./butterfly.ts";
import { circulant, signedCirculant } from "./circulant.ts";
import { codebook, codebookInt8 } from "./codebook.ts";
import { copies } from "./copies.ts";
import { dictionary } from "./dictionary.ts";
import { factored } from "./factored.ts";
import { factoredRest } from "./factored-rest.ts";
import { fastfood } from "./fastfood.ts";
import { fourier } from "./fourier.ts";
import { grid } from "./grid.ts";
import { hashed } from "./hashed.ts";
import { kronecker } from "./kronecker.ts";
import { monarch } from "./monarch.ts";
import { oriented } from "./oriented.ts";
import { int8, quantized } from "./quantized.ts";
import { scaled } from "./scaled.ts";
import { sketch } from "./sketch.ts";
import { table } from "./table.ts";
import { tensorTrain3, tensorTrain4 } from "./tensor-train.ts";
import { toeplitzLike } from "./toeplitz-like.ts";
import { vectors } from "./vectors.ts";
import { windows } from "./windows.ts";
import { winograd } from "./winograd.ts";

export const forms = [
  grid,
  asymmetric,
  codebook,
  codebookInt8,
  vectors,
  table,
  affine,
  sketch,
  blockwise,
  hashed,
  kronecker,
  dictionary,
  factored,
  factoredRest,
  monarch,
  circulant,
  signedCirculant,
  tensorTrain3,
  tensorTrain4,
  toeplitzLike,
  fastfood,
  acdc,
  oriented,
  windows,
  copies,
  butterfly,
  winograd,
  fourier,
  ...quantized,
  ...int8,
  // After grid, whose levels times a scale it would match too.
  scaled,
] as unknown as readonly Form[];
