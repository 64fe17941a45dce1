/** @file What is sent to other machines arrives there as it was, or is refused. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type Brief, briefOf, localFiles } from "../../src/cluster/brief.ts";
import { receive, send } from "../../src/cluster/parcel.ts";
import { queueName } from "../../src/cluster/redis.ts";
import { getResult, putResult } from "../../src/cluster/results.ts";
import { folderStore } from "../../src/cluster/store.ts";
import type { DataSource } from "../../src/recipe/prepare.ts";
import { externalFile } from "../../src/runtime/runtime.ts";
import { temporaryFolder } from "../cli/run.ts";
import { lenet } from "../report/fixture.ts";

const folder = temporaryFolder();
afterAll(() => folder.close());
const store = folderStore(folder.in("store"));
const cache = folder.in("cache");
const files = {
  "here/data.jsonl": "{}",
  "here/lines.txt": "a b",
  "here/tokenizer.json": "{tokens}",
  "here/pictures/cat/1.png": "cat",
  "here/pictures/dog/1.png": "dog",
};
for (const [name, text] of Object.entries(files)) {
  mkdirSync(join(folder.in(name), ".."), { recursive: true });
  writeFileSync(folder.in(name), text);
}
const external = [{ path: "weights/w.bin", data: Uint8Array.of(4, 5) }];
const model = { name: folder.in("here/m.onnx"), source: { bytes: Uint8Array.of(1), external } };
const briefWith = (settings: Brief["settings"]): Brief => ({
  ...{ key: "k", model, settings },
  teacher: { name: "t.onnx", source: { bytes: Uint8Array.of(2) } },
});
/** Through JSON, as through the queue. */
const travel = async (settings: Brief["settings"]): Promise<Brief> => {
  const parcel = JSON.parse(JSON.stringify(await send(store, briefWith(settings))));
  return receive(store, "k", parcel, cache);
};
const text = (source: unknown): string => (source as DataSource).spec;

test("a model whose external data are files is read by each process of this machine", () => {
  const file = { byteLength: 2, read: () => Uint8Array.of(4, 5) };
  const open = { ...model, source: { ...model.source, external: [externalFile("w.bin", file)] } };
  expect(localFiles(open)).toEqual({ name: model.name, source: null });
  expect(structuredClone(localFiles(model))).toEqual(model);
});

describe("a parcel", () => {
  test("has the models, with their external data", async () => {
    const { model: sent, teacher } = await travel({});
    expect(sent).toEqual({ name: "m.onnx", source: model.source });
    expect(teacher).toEqual({ name: "t.onnx", source: { bytes: Uint8Array.of(2) } });
  });

  test("has the data, file or folder, with options and part", async () => {
    const { settings } = await travel({
      data: { spec: `jsonl:${folder.in("here/data.jsonl")}`, options: { limit: 3 } },
      calib: `images:${folder.in("here/pictures")}`,
      seed: 7,
    });
    expect(settings.seed).toBe(7);
    expect(settings.data).toMatchObject({ options: { limit: 3 } });
    const [, file] = /^jsonl:(.*)$/.exec(text(settings.data)) ?? [];
    expect(file).toMatch(/cache.*data\.jsonl$/);
    expect(readFileSync(file, "utf8")).toBe("{}");
    const [, place] = /^images:(.*)$/.exec(text(settings.calib)) ?? [];
    expect(readFileSync(join(place, "dog/1.png"), "utf8")).toBe("dog");
    const { settings: other } = await travel({ data: `idx:${folder.in("here/pictures")}:train` });
    expect(text(other.data)).toMatch(/^idx:.*cache.*:train$/);
  });

  test("has the tokenizer of a text that lies beside the model", async () => {
    const { settings } = await travel({ data: `text:${folder.in("here/lines.txt")}` });
    const { tokenizer } = (settings.data as DataSource).options;
    expect(readFileSync(tokenizer!, "utf8")).toBe("{tokens}");
  });

  test("has no modules, and no file outside its folder", async () => {
    await expect(send(store, briefWith({ data: "./data.mjs" }))).rejects.toThrow("module");
    await expect(send(store, briefWith({ metric: "./own.ts" }))).rejects.toThrow("module");
    const own = { metric: () => null } as never;
    expect(() => briefOf({ model, settings: own, job: {} } as never, "")).toThrow("metric");
    const parcel = await send(store, briefWith({ data: `jsonl:${folder.in("here/data.jsonl")}` }));
    for (const name of ["../x", "/etc/x", "a/../../x"]) {
      const data = { ...parcel.data!, files: [{ ...parcel.data!.files![0], name }] };
      await expect(receive(store, "k", { ...parcel, data }, cache)).rejects.toThrow("leaves");
    }
  });
});

test("a result comes back as it was, numbers that JSON lacks included", async () => {
  const row = lenet().results[1];
  const odd = { ...row, metric: { ...row.metric!, sqnr: Infinity, drop: Number.NaN } };
  const errors = { recipe: row.recipe, layers: [{ name: "a.b", sqnr: -Infinity }] };
  const tried = { row: odd, bytes: Uint8Array.of(1, 2), errors, varies: true };
  await putResult(store, "id", tried);
  expect(await getResult(store, "id")).toEqual(tried);
  expect(await getResult(store, "other")).toBe(null);
});

test("each version and engine has a queue of its own", () => {
  expect(queueName("onnxruntime-node 1.30.0")).toMatch(/^tersor-[\d.]+-onnxruntime-node-1\.30\.0$/);
});
