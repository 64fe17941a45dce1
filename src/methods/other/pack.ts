/** @file Packing: the last step of a recipe, which writes the result as a .tersor file. */
import { z } from "zod";
import { defineMethod } from "../method.ts";

export const pack = defineMethod({
  title: "entropy coding",
  cite: "Wiedemann et al. 2019, arXiv 1907.11900; Mahoney 2005",
  summary:
    "Writes the model as an entropy-coded .tersor file; `unpack` gives the ONNX file back, with the same weights bit for bit.",
  needs: [],
  packs: true,
  options: z.object({}),
  survey: [],
  neutral: {},
  apply() {},
});
