/** @file docs/benchmarks.md: forms and latents on MNIST, from bench/results/forms.json. */
import type { FormStage } from "../../bench/forms.ts";
import * as format from "../../src/report/format.ts";
import { code, table } from "./page.ts";

export interface FormsBench {
  readonly cpu: string;
  readonly structured: Readonly<Record<string, readonly FormStage[]>>;
  readonly learned: readonly FormStage[];
}

export function formsSection({ cpu, structured, learned }: FormsBench): string[] {
  const header = ["step", "first layer's weight", "numbers", "ONNX", ".tersor", "accuracy"];
  const row = ({ recipe, form, stored, onnx, packed, accuracy }: FormStage): string[] => [
    code(recipe),
    form,
    String(stored),
    format.bytes(onnx),
    format.bytes(packed),
    `${accuracy.toFixed(2)} %`,
  ];
  return [
    "## Forms: structured matrices, step by step",
    `LeNet-300-100 (98.99 %), its two large layers at an eighth of their numbers; each step starts from the file that the step before it wrote, the last one from that of the training. The structure stays whatever is done to its parts, and int8 is computed from it without storing more. ${cpu}.`,
    ...Object.values(structured).map((stages) => table(header, stages.map(row))),
    "## Latents: learned quantization of LeNet-5",
    "From 99.36 %. LSQ: weights and activations in 4 bits, the first and the last layer in 8. BinaryConnect: every weight in one bit.",
    table(header, learned.map(row)),
  ];
}
