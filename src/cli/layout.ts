/** @file tersor compress <folder> --layout transformers.js: all files that the library loads. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { errors, fail } from "../errors.ts";
import { checkOutput, saveFile } from "../node/files.ts";
import { load, nodePlatform, variants } from "../node.ts";
import { bytesOf, type Written, writeModel } from "../onnx/write.ts";
import { chooseDtypes } from "../recipe/layout/choose.ts";
import { withLayout } from "../recipe/layout/config.ts";
import { dtypes, usualDtypes } from "../recipe/layout/dtypes.ts";
import { dataName, fileName, floatModels, parseDtypes } from "../recipe/layout/names.ts";
import { checkData, type Variant } from "../recipe/layout/variants.ts";
import { dtypeWarnings, sizeWarnings } from "../recipe/layout/warnings.ts";
import type { Loaded } from "../recipe/load.ts";
import {
  type LayoutFile,
  type LayoutRefusal,
  type LayoutReport,
  layoutJson,
  layoutMarkdown,
} from "../report/layout.ts";
import { type DataFlags, dataFlags, dataSettings, type Flag, fileSize } from "./flags.ts";
import type { Shell } from "./shell.ts";

export interface LayoutFlags extends Omit<DataFlags, "layout"> {
  readonly output?: string;
  readonly layout?: DataFlags["layout"] | typeof LAYOUT;
  readonly dtypes?: string;
  readonly shard?: number;
  readonly measure: boolean;
}

/** The one layout of folders. The data have an option of the same name, which holds for pictures. */
export const LAYOUT = "transformers.js";

/** Flags of the data and of folders. */
export const layoutFlags: readonly Flag[] = [
  ...dataFlags.map((flag) =>
    flag.flags.startsWith("--layout ")
      ? {
          flags: `--layout <nchw|nhwc|${LAYOUT}>`,
          doc: `${LAYOUT}: <model> is a folder with config.json and onnx/; -o gets such a folder with a file for each of --dtypes, under the names that the library loads, and a table for the model card. nchw, nhwc: ${flag.doc}`,
          choices: ["nchw", "nhwc", LAYOUT],
        }
      : flag,
  ),
  {
    flags: "--dtypes <list>",
    doc: `For --layout: some of ${Object.keys(dtypes).join(", ")} (default ${usualDtypes.join(",")}).`,
  },
  {
    flags: "--shard <size>",
    doc: "For --layout: the most bytes of one file; weights beyond go into files of external data (default 2GB).",
    parse: fileSize,
  },
];

/** The flags of the data. */
export function dataOf({ layout, ...flags }: LayoutFlags): DataFlags {
  return layout === undefined || layout === LAYOUT ? flags : { ...flags, layout };
}

/** Throws TersorError "bad-usage" for a flag that means nothing without --layout. */
export function refuseAlone(flags: LayoutFlags): void {
  const alone = (["dtypes", "shard"] as const).find((name) => flags[name] !== undefined);
  if (!alone) return;
  const why = "is for --layout, which is missing";
  throw fail(errors.badUsage(`--${alone}`, why, "Add --layout transformers.js"));
}

/** Weights beyond this go into files of external data: protobuf ends at 2 GiB. */
const MOST = 2 ** 31 - 2 ** 26;

/** The name of the table that is written beside the files, for the model card. */
const SNIPPET = "README.snippet.md";

/** Makes the files, prints the table. Resolves with the exit status. */
export async function compressLayout(
  shell: Shell,
  folder: string,
  flags: LayoutFlags,
): Promise<number> {
  const { models, jsons } = filesIn(folder);
  const names = parseDtypes(flags.dtypes);
  const settings = { ...shell.settings, ...dataSettings(dataOf(flags)), measures: flags.measure };
  checkData(models, settings);
  const out = flags.output ?? `${folder.replace(/[\\/]+$/, "")}-tersor`;
  const isInPlace = resolve(out) === resolve(folder);
  const made = names.filter((name) => !isInPlace || name !== "fp32");
  const saving = { force: shell.force };
  const warnings = dtypeWarnings(made);
  for (const text of warnings) shell.warn(text);
  const open = async (model: string): Promise<Loaded> =>
    load(join(folder, "onnx", fileName(model, "fp32")), settings);
  if (existsSync(join(out, "onnx"))) {
    for (const model of models)
      for (const name of made) checkOutput(join(out, "onnx", fileName(model, name)), saving);
  }
  for (const name of [SNIPPET, ...(isInPlace ? ["config.json"] : jsons)]) {
    if (existsSync(out)) checkOutput(join(out, name), saving);
  }
  const files: LayoutFile[] = [];
  const refused: LayoutRefusal[] = [];
  for (const model of models) {
    const original = await open(model);
    const found = await variants(original, { ...settings, dtypes: made });
    for (const { dtype, why } of found.refused) {
      const file = fileName(model, dtype);
      refused.push({ file, dtype, why });
      shell.warn(`${file} is not made: ${why}`);
    }
    mkdirSync(join(out, "onnx"), { recursive: true });
    for (const variant of found.made) {
      files.push(await save(variant, model, { out, shard: flags.shard, shell }));
    }
  }
  for (const name of jsons) {
    if (isInPlace || name === "config.json") continue;
    await saveFile(join(out, name), readFileSync(join(folder, name)), saving);
  }
  const config = configOf(folder);
  if (config) {
    const text = `${JSON.stringify(withLayout(config, files, chooseDtypes(files)), null, 2)}\n`;
    await saveFile(join(out, "config.json"), text, saving);
  }
  const report: LayoutReport = {
    ...{ folder: out, files, refused, warnings },
    platform: `${nodePlatform.name}, ${nodePlatform.cores} cores`,
  };
  const text = layoutMarkdown(report);
  await saveFile(join(out, SNIPPET), text, saving);
  shell.print(shell.json ? layoutJson(report) : `${text}\n-> ${out}`);
  return 0;
}

/** Warns of the sizes of one variant's files, and writes them; `name` is that of the model. */
async function save(
  { model, ...variant }: Variant,
  name: string,
  { out, shard, shell }: { out: string; shard: number | undefined; shell: Shell },
): Promise<LayoutFile> {
  const file = fileName(name, variant.dtype);
  const written = writtenAs(model, file, shard);
  const parts = [
    written,
    ...(written.external ? [written.external] : []),
    ...(written.shards ?? []),
  ];
  const largest = Math.max(...parts.map(({ byteLength }) => byteLength));
  for (const text of [
    ...variant.warnings.map((why) => `${file}: ${why}`),
    ...sizeWarnings(file, largest),
  ]) {
    shell.warn(text);
  }
  await saveFile(join(out, "onnx", file), () => written, { force: shell.force });
  return { ...variant, file, model: name, bytes: bytesOf(written), shards: parts.length - 1 };
}

/** The model as transformers.js names its parts; `shard` is the most bytes of one. */
function writtenAs(model: Variant["model"], file: string, shard: number | undefined): Written {
  const plain = writeModel(model, { external: { path: dataName(file, 0), most: shard ?? MOST } });
  return bytesOf(plain) <= (shard ?? MOST) ? writeModel(model) : plain;
}

/** The float models and the JSON files of a folder. Throws TersorError "bad-usage" where there are none. */
function filesIn(folder: string): { models: string[]; jsons: string[] } {
  const onnx = join(folder, "onnx");
  if (!isFolder(folder) || !isFolder(onnx)) {
    const why = "holds no folder onnx/";
    throw fail(errors.badUsage(folder, why, "Name the folder that has config.json and onnx/"));
  }
  const models = floatModels(readdirSync(onnx));
  if (models.length === 0) {
    const why = "holds no float model (one without a suffix such as _q4)";
    throw fail(errors.badUsage(onnx, why, "Add model.onnx"));
  }
  const isText = (name: string): boolean => /\.(json|txt|model|jinja)$/.test(name);
  return { models, jsons: readdirSync(folder).filter(isText).sort() };
}

const isFolder = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

function configOf(folder: string): Readonly<Record<string, unknown>> | null {
  const path = join(folder, "config.json");
  if (!existsSync(path)) return null;
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    throw fail(errors.cannotRead(path, `${basename(path)} is no JSON`));
  }
}
