/** @file Store: bytes by key, which machines share; a folder, or a bucket of an S3-compatible server. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { errors, fail } from "../errors.ts";
import { saveFile } from "../node/files.ts";
import { bucketStore } from "./bucket.ts";

export interface Store {
  /** Its place, for messages. */
  readonly name: string;
  has(key: string): Promise<boolean>;
  /** Null if there is nothing under the key. */
  get(key: string): Promise<Uint8Array | null>;
  /** Whole or not at all: no reader sees a part. */
  put(key: string, bytes: Uint8Array): Promise<void>;
}

/**
 * Opens the store that `--store` names. Without a name it is a folder of this machine, which suits a
 * queue on this machine only. Throws TersorError "bad-usage" and "cannot-write".
 */
export function openStore(place: string | undefined, queue: string): Store {
  if (place === undefined) {
    const { hostname } = new URL(queue);
    if (["localhost", "127.0.0.1", "[::1]"].includes(hostname)) {
      return folderStore(join(tmpdir(), `tersor-store-${process.getuid?.() ?? 0}`));
    }
    const why = "is on another machine, with which files are exchanged through a store";
    const remedy =
      "Give --store: a shared folder, s3://bucket/prefix or https://host/bucket/prefix";
    throw fail(errors.badUsage(`--queue ${queue}`, why, remedy));
  }
  return /^(s3|https?):\/\//.test(place) ? bucketStore(place, process.env) : folderStore(place);
}

/** A store of one file per key in a folder, which is made. */
export function folderStore(folder: string): Store {
  const pathOf = (key: string): string => join(folder, ...key.split("/"));
  return {
    name: folder,
    has: async (key) => existsSync(pathOf(key)),
    async get(key) {
      const path = pathOf(key);
      return existsSync(path) ? new Uint8Array(await readFile(path)) : null;
    },
    async put(key, bytes) {
      const path = pathOf(key);
      // Others may not put models there, which this user would then run.
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      await saveFile(path, bytes, { overwrite: true });
    },
  };
}

const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Stores bytes under their SHA-256, which it returns; those that are there are not sent again. */
export async function putBlob(store: Store, bytes: Uint8Array): Promise<string> {
  const hash = hashOf(bytes);
  if (!(await store.has(`blobs/${hash}`))) await store.put(`blobs/${hash}`, bytes);
  return hash;
}

/** The bytes with that SHA-256. Throws TersorError "cannot-read" if they are missing or damaged. */
export async function getBlob(store: Store, hash: string): Promise<Uint8Array> {
  const bytes = await store.get(`blobs/${hash}`);
  const where = `${store.name}/blobs/${hash}`;
  if (!bytes) throw fail(errors.cannotRead(where, "it is not in the store"));
  if (hashOf(bytes) !== hash) throw fail(errors.cannotRead(where, "it is damaged"));
  return bytes;
}
