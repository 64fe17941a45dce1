/** @file A section of docs/benchmarks.md: Deep Compression's networks, stage by stage. */
import type { Stage } from "../../bench/lenet.ts";
import { code, table, thousands } from "./page.ts";

interface Network {
  readonly published: {
    readonly error: number;
    readonly stages: { readonly pruned: number; readonly shared: number };
    readonly coded: { readonly bytes: number; readonly error: number };
    readonly smallest: { readonly bytes: number; readonly error: number };
  };
  readonly stages: readonly Stage[];
}

export interface LenetBench {
  readonly "lenet-300-100"?: Network;
  readonly "lenet-5"?: Network;
}

export function lenetSection(bench: LenetBench): string[] {
  const nets = (["lenet-300-100", "lenet-5"] as const).flatMap((net) => {
    const found = bench[net];
    return found ? networkTable(net, found) : [];
  });
  return [
    "## Deep Compression's networks",
    "MNIST. Bytes of whole files; error of the unpacked `.tersor` file on all 10,000 test images, everything chosen on held-out training images. Huffman: gaps and entries coded as in the paper, codebooks and biases included. Published: Han et al. 2016 (arXiv 1510.00149), and for the last row Oktay et al. 2020 (arXiv 1906.06624). `npm run bench:lenet` makes `examples/*.tersor`.",
    ...nets,
  ];
}

function networkTable(net: string, { published, stages }: Network): string[] {
  const whole = stages[0].nonzeros * 4;
  const theirs: Record<string, string> = {
    original: `${published.error.toFixed(2)} %`,
    pruned: `${published.stages.pruned}x`,
    shared: `${published.stages.shared}x; coded ${thousands(published.coded.bytes)} at ${published.coded.error.toFixed(2)} %`,
    [stages[stages.length - 1].stage]:
      `${thousands(published.smallest.bytes)} at ${published.smallest.error.toFixed(2)} %`,
  };
  const rows = stages.map(({ stage, nonzeros, bits, onnx, huffman, packed, error }) => [
    stage,
    thousands(nonzeros),
    bits.join(", "),
    thousands(onnx),
    huffman === null ? "-" : thousands(huffman),
    thousands(packed),
    `${(whole / packed).toFixed(1)}x`,
    `${error.toFixed(2)} %`,
    theirs[stage] ?? "",
  ]);
  const head = ["stage", "parameters left", "bits", "ONNX", "Huffman", ".tersor", "rate", "error"];
  return [
    `### ${net}`,
    table([...head, "published"], rows),
    stages.map(({ stage, recipe }) => `${stage}: ${code(recipe)}`).join("  \n"),
  ];
}
