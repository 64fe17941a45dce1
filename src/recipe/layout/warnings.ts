/** @file What is slow, wrong or refused somewhere, by what a dtype holds and how large its file is. */
import { targets } from "../../targets/index.ts";
import {
  published,
  type Representation,
  representations,
  type Source,
  troubleOf,
  type Work,
} from "../../targets/target.ts";
import { webLimits } from "../../targets/web-wasm.ts";
import { type Dtype, type DtypeName, dtypes } from "./dtypes.ts";

/** Where pages run, and the works that transformers are made of. */
const places = targets.filter(({ id }) => ["web-wasm", "web-webgpu", "arm"].includes(id));
const asked: readonly Work[] = ["product-1", "product-128", "look-up"];

/** What users reported beyond the tables of targets. */
const reports: readonly { representation: Representation; text: string; source: Source | null }[] =
  [
    {
      representation: "dynamic-int8",
      text: "on web-webgpu outputs were silently wrong on some GPUs: give its users fp16",
      source: published("https://github.com/huggingface/transformers.js/issues/1512"),
    },
    {
      representation: "dynamic-int8",
      text: "on phones users saw half the speed of float: time it there before you make it the default",
      source: null,
    },
    {
      representation: "float16",
      text: "in wasm and natively float16 gains no speed, only bytes",
      source: { kind: "measured", where: "docs/engine.md" },
    },
  ];

/**
 * What to know of these dtypes before files are made: one sentence for each target and representation
 * that its table has something against, and for each report.
 */
export function dtypeWarnings(names: readonly DtypeName[]): string[] {
  const having = (representation: Representation): string =>
    names.filter((name) => (dtypes[name] as Dtype).computes.includes(representation)).join(", ");
  return (Object.keys(representations) as Representation[]).flatMap((representation) => {
    const own = having(representation);
    if (own === "") return [];
    const troubles = places.flatMap((target) => {
      const [first] = asked.flatMap((work) => troubleOf(target, representation, work) ?? []);
      return first ? [`${first.text} (${first.source.where})`] : [];
    });
    const told = reports
      .filter((report) => report.representation === representation)
      .map(({ text, source }) => (source ? `${text} (${source.where})` : text));
    return [...troubles, ...told].map((text) => `${own}: ${text}`);
  });
}

/** Sizes of one file at which something refuses it. */
const walls = [
  ...webLimits.map(({ bytes, what }) => ({
    ...{ bytes, what, size: `${bytes / 2 ** 20} MiB`, remedy: "--shard 25MiB divides its weights" },
  })),
  {
    bytes: 250e6,
    size: "250 MB",
    what: "the unzipped package of a serverless function (AWS Lambda, Vercel)",
    remedy: "load it from storage, or take fewer bits",
  },
];

/** What to know of a file of which the largest part has this many bytes. */
export const sizeWarnings = (name: string, bytes: number): string[] =>
  walls
    .filter((wall) => bytes > wall.bytes)
    .map(({ size, what, remedy }) => `${name} is over ${size}, the limit of ${what}: ${remedy}`);
