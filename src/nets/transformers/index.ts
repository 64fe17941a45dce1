/**
 * @file Small transformers by name, as the models and JSON files of a folder that transformers.js
 * loads. A new one is a file in this folder and a line here.
 */
import { decoder } from "./decoder.ts";
import type { TransformerNet } from "./net.ts";
import { speech } from "./speech.ts";
import { textEncoder } from "./text-encoder.ts";
import { vit } from "./vit.ts";

export const transformers = {
  "text-encoder": textEncoder,
  decoder,
  vit,
  speech,
} as const satisfies Readonly<Record<string, TransformerNet>>;

export type TransformerName = keyof typeof transformers;
