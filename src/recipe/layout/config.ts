/** @file What config.json tells transformers.js of the files: shards of external data, dtypes. */
import type { DtypeName } from "./dtypes.ts";

/** A file that was written. */
export interface Written {
  readonly model: string;
  readonly dtype: DtypeName;
  readonly file: string;
  /** Files of external data. */
  readonly shards: number;
}

/** The dtype of each device that transformers.js should load where the page names none. */
export type Choice = Readonly<Record<string, Readonly<Record<string, DtypeName>>>>;

type Settings = Readonly<Record<string, unknown>>;

const key = "transformers.js_config";

/**
 * config.json with `transformers.js_config`: the number of files of external data for each ONNX file
 * (where any has some), and the dtypes of devices, of each model or one for all. What else the author
 * wrote stays, and so do the dtypes of the author.
 */
export function withLayout(config: Settings, files: readonly Written[], choice: Choice): Settings {
  const own = objectOf(config[key]);
  const external = externalOf(own.use_external_data_format, files);
  const devices = objectOf(own.device_config);
  const chosen = Object.entries(choice).map(([device, models]) => {
    const before = objectOf(devices[device]);
    return [device, { dtype: onlyOne(models), ...before }] as const;
  });
  const settings = {
    ...own,
    ...(external && { use_external_data_format: external }),
    ...(chosen.length > 0 && { device_config: { ...devices, ...Object.fromEntries(chosen) } }),
  };
  return Object.keys(settings).length > 0 ? { ...config, [key]: settings } : config;
}

/** One dtype where all models have the same. */
function onlyOne(models: Readonly<Record<string, DtypeName>>) {
  const all = new Set(Object.values(models));
  return all.size === 1 ? [...all][0] : models;
}

/** The shards of every file; null where neither a file nor the author has any. */
function externalOf(before: unknown, files: readonly Written[]): Settings | null {
  if (!before && files.every(({ shards }) => shards === 0)) return null;
  return {
    ...objectOf(before),
    ...Object.fromEntries(files.map(({ file, shards }) => [file, shards])),
  };
}

const objectOf = (value: unknown): Settings =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Settings) : {};
