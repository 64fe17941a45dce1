/** @file Parcel: a brief for other machines; models and data are in a store, by their SHA-256. */
import { mkdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { contentOf, filesOfSource } from "../data/content.ts";
import type { DataOptions } from "../data/options.ts";
import { tokenizers } from "../data/text.ts";
import { errors, fail } from "../errors.ts";
import { saveFile } from "../node/files.ts";
import { nodePlatform } from "../node/platform.ts";
import { type DataSource, isMetricFile, sourceOf } from "../recipe/prepare.ts";
import { sha256Text } from "../util/sha256.ts";
import type { Brief, Files, PlainSettings } from "./brief.ts";
import { getBlob, putBlob, type Store } from "./store.ts";

/** A file by its name, below a folder of its own, and its SHA-256. */
interface SentFile {
  readonly name: string;
  readonly hash: string;
}

interface SentModel {
  readonly name: string;
  readonly bytes: string;
  readonly external: readonly SentFile[];
}

/** Data: their files; null where each machine has them as a package, with the content to expect. */
interface SentData {
  readonly prefix: string;
  readonly options: DataOptions;
  /** The file that the source names, or "" for the folder; then `part`: "train", "test" or "". */
  readonly path: string;
  readonly part: string;
  readonly files: readonly SentFile[] | null;
  readonly content: string | null;
  readonly tokenizer: string | null;
}

/** JSON can hold it. */
export interface Parcel {
  readonly model: SentModel;
  readonly teacher: SentModel | null;
  readonly data: SentData | null;
  readonly calib: SentData | null;
  readonly settings: Omit<PlainSettings, "data" | "calib">;
}

/**
 * Puts what a brief is about into the store. Throws TersorError "bad-option" for data or a metric
 * that are modules, whose imports nobody knows, and what the store throws.
 */
export async function send(store: Store, { model, teacher, settings }: Brief): Promise<Parcel> {
  const { data, calib, ...others } = settings;
  if (others.metric && isMetricFile(others.metric)) refuse("metric", others.metric);
  const beside = dirname(model.name);
  return {
    model: await sendModel(store, model),
    teacher: teacher && (await sendModel(store, teacher)),
    data: data ? await sendData(store, data, "data", beside) : null,
    calib: calib ? await sendData(store, calib, "calib", beside) : null,
    settings: others,
  };
}

function refuse(option: string, path: string): never {
  const why = `${path} is a module, which cannot be sent to other machines`;
  throw fail(errors.badOption(option, why, "Use --jobs, or data in files and a named metric"));
}

async function sendModel(store: Store, { name, source }: Files): Promise<SentModel> {
  const external: SentFile[] = [];
  for (const { path, data } of source.external ?? []) {
    external.push({ name: path, hash: await putBlob(store, data) });
  }
  return { name: basename(name), bytes: await putBlob(store, source.bytes), external };
}

async function sendData(
  store: Store,
  source: DataSource | string,
  option: string,
  beside: string,
): Promise<SentData> {
  const { spec, options } = sourceOf(source);
  const { prefix, part, found, folder } = await filesOfSource(spec, nodePlatform);
  if (prefix === "module") refuse(option, spec);
  const given = { prefix, options };
  if (prefix === "mnist") {
    const content = await contentOf(spec, nodePlatform);
    return { ...given, path: "", part, files: null, content, tokenizer: null };
  }
  const files: SentFile[] = [];
  for (const { name, path } of found) {
    const bytes = await nodePlatform.files.read(path);
    files.push({ name: name || basename(path), hash: await putBlob(store, bytes) });
  }
  const near = [beside, dirname(found[0]?.path ?? "")].flatMap((place) =>
    tokenizers.map((name) => join(place, name)),
  );
  const tokenizer =
    options.tokenizer ??
    (prefix === "text" ? near.find((path) => nodePlatform.files.exists(path)) : undefined);
  return {
    ...given,
    path: folder === null ? basename(found[0].path) : "",
    part: folder === null ? "" : part,
    ...{ files, content: null },
    tokenizer: tokenizer ? await putBlob(store, await nodePlatform.files.read(tokenizer)) : null,
  };
}

/**
 * The brief of a parcel; files of data are written below `folder`. Throws TersorError "cannot-read"
 * for what the store lacks, and "unknown-data" for data that this machine should have.
 */
export async function receive(
  store: Store,
  key: string,
  { model, teacher, data, calib, settings }: Parcel,
  folder: string,
): Promise<Brief> {
  return {
    key,
    model: await receiveModel(store, model),
    teacher: teacher && (await receiveModel(store, teacher)),
    settings: {
      ...settings,
      data: data && (await receiveData(store, data, folder)),
      calib: calib && (await receiveData(store, calib, folder)),
    },
  };
}

async function receiveModel(store: Store, { name, bytes, external }: SentModel): Promise<Files> {
  const others: { path: string; data: Uint8Array }[] = [];
  for (const file of external) {
    others.push({ path: file.name, data: await getBlob(store, file.hash) });
  }
  const whole = await getBlob(store, bytes);
  return {
    name,
    source: others.length > 0 ? { bytes: whole, external: others } : { bytes: whole },
  };
}

async function receiveData(store: Store, sent: SentData, folder: string): Promise<DataSource> {
  const { prefix, options, path, part, files, content, tokenizer } = sent;
  if (files === null) {
    const spec = `${prefix}:${part}`;
    if ((await contentOf(spec, nodePlatform)) === content) return { spec, options };
    const why = "are not here, or others than those of the survey";
    throw fail(errors.unknownData(spec, why, "Install the same package beside tersor worker"));
  }
  const place = join(folder, (await sha256Text(JSON.stringify(files))).slice(0, 16));
  for (const file of files) await receiveFile(store, file, place);
  if (tokenizer) await receiveFile(store, { name: "tokenizer.json", hash: tokenizer }, place);
  return {
    spec: `${prefix}:${path ? join(place, path) : place}${part && `:${part}`}`,
    options: { ...options, ...(tokenizer && { tokenizer: join(place, "tokenizer.json") }) },
  };
}

async function receiveFile(store: Store, { name, hash }: SentFile, place: string): Promise<void> {
  if (!/^[^/\\]/.test(name) || name.split(/[/\\]/).includes("..")) {
    throw fail(errors.cannotRead(name, "its name leaves the folder of the data"));
  }
  const path = join(place, name);
  mkdirSync(dirname(path), { recursive: true });
  await saveFile(path, await getBlob(store, hash), { overwrite: true });
}
