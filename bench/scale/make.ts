/**
 * @file Large models for the bench of scale: chains of layers, shapes like BERT base, ResNet-50,
 * VGG-16, and decoders with external data. Weights are drawn, one tensor at a time.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { Tensor } from "../../src/ir/tensor.ts";
import { makeNet } from "../../src/nets/index.ts";
import { writeModel } from "../../src/onnx/write.ts";
import { decoder, largeDecoder, tinyLlama } from "./decoder.ts";
import { drawn } from "./drawn.ts";

/** A chain of `layers` layers of 16 x 16 with biases and Relus. */
export function chain(layers: number): Model {
  const graph = new Graph("chain");
  let x: Value = graph.addInput("x", "float32", ["N", 16]);
  for (let i = 0; i < layers; i++) {
    const w = graph.addConstant(`w${i}`, drawn([16, 16], 0.3));
    const b = graph.addConstant(`b${i}`, drawn([16], 0.1));
    const y = graph.add("MatMul", [x, w], { name: `fc${i}` }).output;
    x = graph.add("Relu", [graph.add("Add", [y, b], { name: `add${i}` }).output], {
      name: `r${i}`,
    }).output;
  }
  x.name = "y";
  x.dtype = "float32";
  x.shape = ["N", 16];
  graph.setOutputs([x]);
  return createModel(graph, 21);
}

/** Sizes of a transformer. */
interface Sizes {
  readonly layers: number;
  readonly width: number;
  readonly inner: number;
  readonly heads: number;
  readonly words: number;
}

export const bertBase: Sizes = {
  layers: 12,
  width: 768,
  inner: 3072,
  heads: 12,
  words: 30522,
};
/** A transformer without masks: ids [N, T] -> scores [N, T, words]. */
export function transformer({ layers, width, inner, heads, words }: Sizes): Model {
  const graph = new Graph("transformer");
  const ids = graph.addInput("ids", "int64", ["N", "T"]);
  const node = (op: string, inputs: Value[], name: string, attributes = {}): Value =>
    graph.add(op, inputs, { name, attributes }).output;
  const ints = (values: number[]): Value => {
    const data = BigInt64Array.from(values, BigInt);
    return graph.addConstant(
      "shape",
      new Tensor("int64", [values.length], () => new Uint8Array(data.buffer)),
    );
  };
  const linear = (x: Value, from: number, to: number, name: string): Value =>
    node("MatMul", [x, graph.addConstant(`${name}.weight`, drawn([from, to], from ** -0.5))], name);
  const norm = (x: Value, name: string): Value =>
    node(
      "LayerNormalization",
      [
        x,
        graph.addConstant(`${name}.scale`, drawn([width], 1)),
        graph.addConstant(`${name}.bias`, drawn([width], 0.1)),
      ],
      name,
    );
  const split = ints([0, 0, heads, width / heads]);
  const joined = ints([0, 0, width]);
  const table = graph.addConstant("words", drawn([words, width], 0.02));
  let x = node("Gather", [table, ids], "look-up");
  for (let i = 0; i < layers; i++) {
    const name = (part: string): string => `layer.${i}.${part}`;
    const h = norm(x, name("norm1"));
    const head = (part: string, perm: number[]): Value => {
      const rows = node(
        "Reshape",
        [linear(h, width, width, name(part)), split],
        name(`${part}-split`),
      );
      return node("Transpose", [rows], name(`${part}-heads`), {
        perm: { type: "ints", value: perm },
      });
    };
    const [q, k, v] = [head("q", [0, 2, 1, 3]), head("k", [0, 2, 3, 1]), head("v", [0, 2, 1, 3])];
    const scores = node("Softmax", [node("MatMul", [q, k], name("scores"))], name("softmax"));
    const mixed = node("MatMul", [scores, v], name("mix"));
    const back = node("Transpose", [mixed], name("back"), {
      perm: { type: "ints", value: [0, 2, 1, 3] },
    });
    const out = linear(node("Reshape", [back, joined], name("join")), width, width, name("o"));
    x = node("Add", [x, out], name("add1"));
    const g = norm(x, name("norm2"));
    const up = node("Sigmoid", [linear(g, width, inner, name("up"))], name("act"));
    x = node("Add", [x, linear(up, inner, width, name("down"))], name("add2"));
  }
  const y = linear(x, width, words, "head");
  y.name = "scores";
  y.dtype = "float32";
  y.shape = ["N", "T", words];
  graph.setOutputs([y]);
  return createModel(graph, 21);
}

/** A network without the record of how pictures become its input, as numbers are given instead. */
function plainNet(name: string): Model {
  const model = makeNet(name, 1);
  model.metadata.clear();
  return model;
}

export const makers: Readonly<Record<string, () => Model>> = {
  "bert-base": () => transformer(bertBase),
  "resnet-50": () => plainNet("resnet-50"),
  "vgg-16": () => plainNet("vgg-16"),
  "decoder-4gb": () => decoder(tinyLlama),
  "decoder-6gb": () => decoder(largeDecoder),
  /** The same, cut to two layers. */
  "decoder-2-layers": () => decoder({ ...largeDecoder, layers: 2 }),
  ...Object.fromEntries([100, 300, 1000, 3000, 5000].map((n) => [`chain-${n}`, () => chain(n)])),
};

/** Writes a model, with external data where it is above 1 GB. */
export function make(id: string, file: string): void {
  const model = makers[id]();
  const name = file.replace(/^.*\//, "");
  let bytes = 0;
  for (const { tensor } of model.graph.constants) bytes += tensor?.byteLength ?? 0;
  const written = writeModel(model, bytes > 1e9 ? { external: { path: `${name}.data` } } : {});
  const { chunks, external } = written;
  save(file, chunks);
  if (external) save(`${file}.data`, external.chunks);
}

function save(path: string, chunks: Iterable<Uint8Array>): void {
  const file = openSync(path, "w");
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += 2 ** 30)
      writeSync(file, chunk.subarray(at, at + 2 ** 30));
  }
  closeSync(file);
}
