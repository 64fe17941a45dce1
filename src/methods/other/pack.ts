/** @file The end of a recipe whose product is a .tersor file. */
import { z } from "zod";
import { defineMethod } from "../method.ts";

export const pack = defineMethod({
  title: "entropy coding",
  cite: "Wiedemann et al. 2019, arXiv 1907.11900; Mahoney 2005",
  summary:
    "Writes the model as a .tersor file, coded as small as it gets; `unpack` gives the ONNX file back, weights bit by bit.",
  needs: [],
  packs: true,
  options: z.object({}),
  survey: [],
  neutral: {},
  apply() {},
});
