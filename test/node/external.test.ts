/** @file Models with external data on disk: read in parts, links, written in pieces. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { rawTensor, Tensor } from "../../src/ir/tensor.ts";
import { saveFile } from "../../src/node/files.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { readModel } from "../../src/onnx/read.ts";
import { bytesOf, concat, sameFiles, writeFile, writeModel } from "../../src/onnx/write.ts";
import { loadModel } from "../../src/recipe/load.ts";
import { rewrite } from "../../src/rewrite/index.ts";

/** x + w of 512 floats, for each of `weights`. */
function modelOf(weights: readonly Tensor[]): Model {
  const graph = new Graph("g");
  const x = graph.addInput("x", "float32", [512]);
  const sums = weights.map((w, i) => {
    const add = graph.add("Add", [x, graph.addConstant(`w${i}`, w)], { name: `y${i}` });
    add.output.dtype = "float32";
    return add.output;
  });
  graph.setOutputs(sums);
  return createModel(graph, 21);
}

const bytes = (seed: number): Uint8Array =>
  new Uint8Array(Float32Array.from({ length: 512 }, (_, i) => seed + i).buffer);
const plain = (seed: number): Tensor => rawTensor("float32", [512], bytes(seed));

const folder = (): string => mkdtempSync(join(tmpdir(), "tersor-external-"));

/** Writes the model with all weights in m.onnx.data. */
async function onDisk(where: string, model = modelOf([plain(1), plain(2)])): Promise<string> {
  const path = join(where, "m.onnx");
  await saveFile(path, (name) => writeModel(model, { external: { path: `${name}.data` } }));
  return path;
}

describe("reading", () => {
  test("a file is opened once, and read where it is asked for", async () => {
    const path = await onDisk(folder());
    const opened: string[] = [];
    const read: [number, number][] = [];
    const source: typeof nodePlatform.files.source = (path) => {
      opened.push(path);
      const file = nodePlatform.files.source(path);
      return {
        ...file,
        read(at, n) {
          read.push([at, n]);
          return file.read(at, n);
        },
      };
    };
    const platform = { ...nodePlatform, files: { ...nodePlatform.files, source } };
    const { model, bytes: size } = await loadModel(path, platform);
    expect(opened).toEqual([`${path}.data`]);
    expect(size).toBe(readFileSync(path).length + 4096);
    read.length = 0;
    const [, second] = [...model.graph.constants];
    expect(second.tensor?.head(8)).toEqual(bytes(2).subarray(0, 8));
    expect(second.tensor?.bytes()).toEqual(bytes(2));
    expect(read).toEqual([
      [2048, 8],
      [2048, 2048],
    ]);
  });

  test("a link out of the folder is refused, one within a folder of linked files is not", async () => {
    const [models, elsewhere] = [folder(), folder()];
    const path = await onDisk(elsewhere);
    writeFileSync(join(models, "m.onnx"), readFileSync(path));
    symlinkSync(`${path}.data`, join(models, "m.onnx.data"));
    const outside = { code: "external-outside" };
    await expect(loadModel(join(models, "m.onnx"), nodePlatform)).rejects.toMatchObject(outside);
    // As in caches of downloads, where both are links to one folder.
    const cache = join(models, "cache");
    mkdirSync(cache);
    symlinkSync(path, join(cache, "m.onnx"));
    symlinkSync(`${path}.data`, join(cache, "m.onnx.data"));
    await expect(loadModel(join(cache, "m.onnx"), nodePlatform)).resolves.toBeDefined();
  });
});

describe("writing", () => {
  test("a tensor is read when its piece comes, each time anew", () => {
    let reads = 0;
    const lazy = new Tensor("float32", [512], () => {
      reads++;
      return bytes(3);
    });
    const written = writeModel(modelOf([lazy]));
    expect(reads).toBe(0);
    expect(written.byteLength).toBe(concat(written).length);
    expect(concat(written)).toEqual(concat(writeModel(modelOf([plain(3)]))));
    expect(reads).toBe(2);
  });

  test("files are compared piece by piece, however they are cut", () => {
    const [a, b] = [writeFile(modelOf([plain(1)])), writeFile(modelOf([plain(1)]))];
    const cut = { ...b, chunks: [concat(b).subarray(0, 7), concat(b).subarray(7)] };
    expect(sameFiles(a, b) && sameFiles(a, cut) && sameFiles(cut, a)).toBe(true);
    expect(sameFiles(a, writeFile(modelOf([plain(2)])))).toBe(false);
    expect(sameFiles(a, writeModel(modelOf([plain(1)]), { external: { path: "d" } }))).toBe(false);
    expect(bytesOf(a)).toBe(a.byteLength);
  });

  test("a model of more than 2 GB gets external data, which is not read for that", () => {
    const never = (): Uint8Array => {
      throw new Error("it was read");
    };
    const huge = new Tensor("float32", [512, 2 ** 20], never);
    const written = writeFile(modelOf([huge]), "big.onnx");
    expect(written.external?.path).toBe("big.onnx.data");
    expect(written.external?.byteLength).toBe(2 ** 31);
    expect(written.byteLength).toBeLessThan(1000);
  });

  test("both files are written whole or not at all", async () => {
    const where = folder();
    const path = await onDisk(where);
    expect(readdirSync(where)).toEqual(["m.onnx", "m.onnx.data"]);
    const { model } = await loadModel(path, nodePlatform);
    expect([...model.graph.constants].map(({ tensor }) => tensor?.bytes())).toEqual([
      bytes(1),
      bytes(2),
    ]);
    // The data file of another model is not overwritten.
    const save = () =>
      saveFile(join(where, "n.onnx"), () =>
        writeModel(model, { external: { path: "m.onnx.data" } }),
      );
    await expect(save()).rejects.toMatchObject({ code: "output-exists" });
    expect(readdirSync(where)).toEqual(["m.onnx", "m.onnx.data"]);
  });
});

test("equal constants are found with each tensor read once, and far from equal ones by their start", () => {
  const reads = new Map<string, number>();
  const counted = (name: string, data: Uint8Array): Tensor =>
    new Tensor("float32", [512], (length = data.length) => {
      if (length === data.length) reads.set(name, (reads.get(name) ?? 0) + 1);
      return data.subarray(0, length);
    });
  const late = bytes(1);
  late[2047] ^= 1;
  const model = modelOf([
    counted("a", bytes(1)),
    counted("b", late),
    counted("c", bytes(9)),
    ...Array.from({ length: 50 }, (_, i) => {
      const other = bytes(1);
      other[1024 + i] ^= 1;
      return counted(`d${i}`, other);
    }),
  ]);
  rewrite(model, { rules: ["share-constants"] });
  expect(model.graph.constants.size).toBe(53); // all differ
  expect(reads.get("c")).toBeUndefined(); // its first bytes tell
  expect(Math.max(...reads.values())).toBe(1);
  const twice = modelOf([plain(4), plain(4), plain(5)]);
  rewrite(twice, { rules: ["share-constants"] });
  expect(twice.graph.constants.size).toBe(2);
  expect(readModel(concat(writeModel(twice))).graph.outputs.length).toBe(3);
});
