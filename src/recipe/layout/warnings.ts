/** @file What is slow, wrong or refused somewhere, by what a file holds and how large it is. */
import type { DtypeName, Trait } from "./dtypes.ts";
import { dtypes } from "./dtypes.ts";

interface Caution {
  readonly trait: Trait;
  readonly text: string;
}

/** Figures: docs/engine.md, and issues of onnxruntime and transformers.js. */
const cautions: readonly Caution[] = [
  {
    trait: "int8",
    text: "WebGPU has no int8 kernels: it falls back to the CPU, or computes wrong without a word on some GPUs. Give its users fp16",
  },
  {
    trait: "int8",
    text: "on phones int8 may run at half the speed of float: time it there before you make it the default",
  },
  {
    trait: "blocks",
    text: "in WebAssembly MatMulNBits takes 10x the time of float at batch 1 (one word at a time): give wasm q8",
  },
  {
    trait: "blocks",
    text: "on WebGPU 4-bit weights compute wrong without a word on some GPUs: compare outputs there with fp16",
  },
  {
    trait: "float16",
    text: "CPUs gain no speed from float16 (native and wasm): it is for WebGPU with shader-f16, and for the download",
  },
];

/** Sizes of one file at which something refuses it. */
const walls = [
  {
    bytes: 25 * 2 ** 20,
    text: "over 25 MiB, which static hosts such as Cloudflare Pages do not serve",
    remedy: "--shard 25MiB splits its weights",
  },
  {
    bytes: 250e6,
    text: "over 250 MB, the unzipped limit of serverless functions (AWS Lambda, Vercel)",
    remedy: "load it from storage, or take fewer bits",
  },
] as const;

/** What to know of these dtypes before files are made: one sentence for each caution that applies. */
export function dtypeWarnings(names: readonly DtypeName[]): string[] {
  return cautions.flatMap(({ trait, text }) => {
    const having = names.filter((name) =>
      (dtypes[name].traits as readonly Trait[]).includes(trait),
    );
    return having.length > 0 ? [`${having.join(", ")}: ${text}`] : [];
  });
}

/** What to know of a file of this many bytes; `name` is the largest one of a model's files. */
export const sizeWarnings = (name: string, bytes: number): string[] =>
  walls
    .filter((wall) => bytes > wall.bytes)
    .map(({ text, remedy }) => `${name} is ${text}: ${remedy}`);
