/** @file docs/benchmarks.md: decompositions of large matrices, from bench/results/large.json. */
import type { Runs } from "../../bench/record.ts";
import { code, latest } from "./page.ts";

export interface LargeBench {
  readonly command: string;
  /** CPU seconds for 128 singular values; numpy's for all of them, if it was there. */
  readonly singularValues: { readonly ours: number; readonly numpy: number | null };
  /** CPU seconds of both steps, and MB of 10^6 bytes. */
  readonly vgg: Readonly<Record<"tucker" | "svd" | "opened" | "most" | "file" | "written", number>>;
}

export function largeSection(runs: Runs<LargeBench>): string[] {
  const { command, singularValues, vgg } = latest(runs);
  const { ours, numpy } = singularValues;
  const beside = numpy === null ? "" : `; numpy takes ${numpy} s for all 1,024`;
  return [
    "## Low rank of large matrices",
    `128 singular values of a 1024 x 1024 matrix with random vectors (${code("src/numeric/randomized-svd.ts")}): ${ours} s of CPU time${beside}. A VGG-16 of ${vgg.file} MB with its convolutions by ${code("factor-tucker:ranks=share,budget=0.4")} and its dense layers by ${code("factor-svd:ranks=share,budget=0.1")}: ${vgg.tucker} and ${vgg.svd} s of CPU time, ${vgg.written} MB written. The process held ${vgg.opened} MB once the model was open and ${vgg.most} MB at most. ${code(command)}.`,
  ];
}
