/** @file The benchmark networks: published sizes and costs, sound graphs, proper beginnings. */
import { describe, expect, test } from "vitest";
import { parsePreprocess, preprocessKey } from "../../src/data/options.ts";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { verify } from "../../src/ir/verify.ts";
import { makeNet, type NetName, nets } from "../../src/nets/index.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { build } from "../../src/ops/builder.ts";
import { costModel } from "../../src/ops/cost.ts";
import { bindDims, inferModel } from "../../src/ops/infer.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { openNodeRuntime } from "../../src/runtime/ort-node.ts";
import { backward } from "../../src/train/backward.ts";

/**
 * Parameters and multiply-accumulates, published where the comment says so; the others from closed
 * forms. Running statistics are no parameters.
 */
const published: Record<NetName, { params: number; macs: number }> = {
  // Han et al. 2015, table 3: 267 K weights.
  "lenet-300-100": { params: 785 * 300 + 301 * 100 + 101 * 10, macs: 784 * 300 + 300 * 100 + 1000 },
  // Han et al. 2015, table 4: 431 K weights; Caffe's lenet.prototxt.
  "lenet-5": { params: 431_080, macs: 24 ** 2 * 500 + 8 ** 2 * 25_000 + 800 * 500 + 5000 },
  // 1.4 M in the paper; 1,369,738 in the Keras implementations.
  "all-cnn-c": {
    params: 1_369_738,
    macs:
      32 ** 2 * (27 * 96 + 864 * 96) +
      16 ** 2 * (864 * 96 + 864 * 192 + 1728 * 192) +
      8 ** 2 * 1728 * 192 +
      6 ** 2 * (1728 * 192 + 192 * 192 + 192 * 10),
  },
  // 966,986 and 0.22 G as its PyTorch ports print.
  nin: { params: 966_986, macs: 222_486_528 },
  // 4.66 M and 0.61 G as papers on binary networks give; 3,584 of it are normalizations'.
  "vgg-small": { params: 4_656_522 + 3584, macs: 607_600_640 },
  // Banbury et al. 2021 and the Keras summary: 78,666 with 480 running statistics; 12.5 M.
  "resnet-8": { params: 78_666 - 480, macs: 12_501_632 },
  // He et al. 2016, table 6: 0.27 M and 0.85 M; 4.06e7 and 1.25e8 (He et al. 2018, 1808.06866).
  "resnet-20": { params: 269_722, macs: cifarMacs(3) },
  "resnet-56": { params: 853_018, macs: cifarMacs(9) },
  // torchvision: 61,100,840 and 0.71 G.
  alexnet: { params: 61_100_840, macs: 714_188_480 },
  // torchvision: 138,357,544 and 15.47 G.
  "vgg-16": { params: 138_357_544, macs: 15_470_264_320 },
  // torchvision: 25,557,032 and 4.09 G.
  "resnet-50": { params: 25_557_032, macs: 4_089_184_256 },
};

/** A stage of n blocks on c channels and s x s positions; the first of a stage reads half as many. */
function cifarMacs(n: number): number {
  const stage = (c: number, s: number, first: number) =>
    s * s * 9 * (first * c + (2 * n - 1) * c * c);
  return 32 * 32 * 27 * 16 + stage(16, 32, 16) + stage(32, 16, 16) + stage(64, 8, 32) + 640;
}

const bytesOf = (spec: string): Uint8Array => concat(writeModel(makeNet(spec, 1)));

const names = Object.keys(nets) as NetName[];
/** The others are there for structure and cost. */
const small = names.filter((name) => published[name].params < 5e6);

describe.each(names)("%s", (name) => {
  const net = nets[name];
  const model = makeNet(name, 1);

  test("has its published number of parameters and multiply-accumulates", () => {
    const { params, macs } = costModel(model);
    expect({ params, macs }).toEqual(published[name]);
  });

  test("is sound; its sizes follow, whatever the batch", () => {
    expect(verify(model)).toEqual([]);
    const copy = cloneModel(model);
    inferModel(copy);
    expect(copy.graph.inputs[0].shape).toEqual(["N", ...net.input]);
    expect(copy.graph.outputs[0]).toMatchObject({
      name: "logits",
      dtype: "float32",
      shape: ["N", net.classes],
    });
    expect(bindDims(model, { N: 3 }).graph.outputs[0].shape).toEqual([3, net.classes]);
    for (const node of copy.graph.nodes) {
      expect(node.output.shape, node.name).toSatisfy((dims: unknown[]) => !dims.includes(null));
    }
    const record = model.metadata.get(preprocessKey);
    if (record) expect(parsePreprocess(record).mean).toHaveLength(net.input[0]);
  });

  test("takes another number of classes", () => {
    const model = net.make(createRandom(1), { classes: 7 });
    expect(bindDims(model, {}).graph.outputs[0].shape).toEqual(["N", 7]);
  });

  test("every weight, scale and bias gets a gradient", () => {
    const copy = cloneModel(model);
    const wanted = [...copy.graph.constants].filter(({ name }) =>
      /\/(weight|bias|scale)$/.test(name),
    );
    const g = build(copy.graph, "loss");
    const loss = g.ReduceSum(g.Mul(copy.graph.outputs[0], copy.graph.outputs[0]), null, {
      keepdims: 0,
    });
    const gradients = backward(copy, loss, wanted);
    for (const value of wanted) expect(gradients.get(value)?.shape).toEqual(value.shape);
  });
});

describe.each(small)("%s, untrained", (name) => {
  const net = nets[name];
  const records = 8;

  test("keeps the signal's power through its depth, and begins near uniform", async () => {
    const model = makeNet(name, 3);
    const order = model.graph.sorted();
    const classifier = weightsOf(model).at(-1)?.node;
    // What flows along the depth: sums of residual blocks, else normalized, else plain layers.
    const kinds = [["Add"], ["BatchNormalization"], ["Conv", "Gemm"]];
    const kind = kinds.find((ops) => order.some(({ op }) => ops.includes(op)))!;
    const watched = order.filter((node) => kind.includes(node.op) && node !== classifier);
    expect(watched.length).toBeGreaterThan(1);
    for (const node of watched) node.output.name = node.name;
    model.graph.setOutputs([model.graph.outputs[0], ...watched.map(({ output }) => output)]);
    const random = createRandom(5);
    const size = net.input.reduce((a, b) => a * b, records);
    const image = Float32Array.from({ length: size }, () => random.normal());
    const outputs = await run(model, image);
    const powers = watched.map(({ name }) => meanSquare(outputs[name]));
    // 1 where normalization has it so; Caffe's filler begins at 1, He's at 2, and pooling adds to it.
    const middle = kind.includes("Conv") ? powers.toSorted((a, b) => a - b)[powers.length >> 1] : 1;
    expect(Math.min(...powers) / middle).toBeGreaterThan(0.3);
    // Residual sums take in one branch of power 1 after another, others hold still.
    const most = kind.includes("Add") ? 2 + powers.length : 3;
    expect(Math.max(...powers) / middle).toBeLessThan(most);
    // Mean divergence of the classes' probabilities from equal ones, in nats.
    const rows = Array.from({ length: records }, (_, i) =>
      outputs.logits.slice(i * net.classes, (i + 1) * net.classes),
    );
    const divergence = rows.map((row) => {
      const sum = row.reduce((total, z) => total + Math.exp(z), 0);
      return Math.log(sum / row.length) - row.reduce((total, z) => total + z, 0) / row.length;
    });
    expect(Math.max(...divergence)).toBeLessThan(0.1);
    expect(Math.min(...divergence)).toBeGreaterThan(0);
  });

  test("same seed, same bytes, whichever weight is read first", () => {
    const bytes = concat(writeModel(makeNet(name, 4)));
    const twin = makeNet(name, 4);
    for (const constant of [...twin.graph.constants].reverse()) constant.tensor?.bytes();
    expect(Buffer.compare(concat(writeModel(twin)), bytes)).toBe(0);
    expect(Buffer.compare(concat(writeModel(makeNet(name, 5))), bytes)).not.toBe(0);
  });

  async function run(model: Model, image: Float32Array): Promise<Record<string, Float32Array>> {
    const runtime = await openNodeRuntime();
    const session = await runtime.open({ bytes: concat(writeModel(model)) });
    const feeds = { image: tensor("float32", [records, ...net.input], image) };
    const outputs = await session.run(feeds);
    await session.close();
    return Object.fromEntries(Object.entries(outputs).map(([name, t]) => [name, t.floats()]));
  }
});

const meanSquare = (values: Float32Array): number =>
  values.reduce((sum, x) => sum + x * x, 0) / values.length;

describe("weights", () => {
  const weightIn = (name: string, model: Model): Float32Array => {
    const node = [...model.graph.nodes].find((node) => node.name === name);
    return node?.inputs[1]?.tensor?.floats() as Float32Array;
  };

  test("variance: 2 / fan-in where ReLU follows, 1 / fan-in as in Caffe, the last 100 times less", () => {
    const mlp = makeNet("lenet-300-100", 1);
    expect(meanSquare(weightIn("fc1", mlp)) * 784).toBeCloseTo(2, 1);
    expect(meanSquare(weightIn("fc2", mlp)) * 300).toBeCloseTo(2, 1);
    expect(meanSquare(weightIn("fc3", mlp)) * 100).toBeGreaterThan(0.015);
    expect(meanSquare(weightIn("fc3", mlp)) * 100).toBeLessThan(0.025);
    const lenet = makeNet("lenet-5", 1);
    expect(meanSquare(weightIn("conv2", lenet)) * 500).toBeCloseTo(1, 1);
    expect(meanSquare(weightIn("fc1", lenet)) * 800).toBeCloseTo(1, 1);
  });

  test("layers of one shape are drawn apart", () => {
    const model = makeNet("resnet-20", 1);
    const [a, b] = [weightIn("conv2", model), weightIn("conv3", model)];
    const product = a.reduce((sum, x, i) => sum + x * b[i], 0) / a.length;
    expect(Math.abs(product) / meanSquare(a)).toBeLessThan(0.1);
  });
});

describe("makeNet", () => {
  test("options follow the name", () => {
    const model = makeNet("vgg-small?width=16&classes=100", 1);
    expect(bindDims(model, {}).graph.outputs[0].shape).toEqual(["N", 100]);
    // Stages of 16, 32 and 64 channels, the scales and shifts of their norms, 64 maps of 4 x 4.
    const weights = 9 * (3 * 16 + 16 ** 2 + 16 * 32 + 32 ** 2 + 32 * 64 + 64 ** 2);
    const params = weights + 2 * 2 * (16 + 32 + 64) + 64 * 16 * 100 + 100;
    expect(costModel(model).params).toBe(params);
    expect(Buffer.compare(bytesOf("lenet-5?"), bytesOf("lenet-5"))).toBe(0);
  });

  test.each([
    ["lenet5", 'there is no network "lenet5". Did you mean "net:lenet-5"?'],
    ["toString", 'there is no network "toString". Networks: lenet-300-100, lenet-5, all-cnn-c,'],
    ["", 'there is no network "". Networks: lenet-300-100'],
    ["vgg-smal?width=8", 'there is no network "vgg-smal". Did you mean "net:vgg-small"?'],
    [
      "vgg-small?filter=circ",
      'net:vgg-small: there is no option "filter". Did you mean "filters"?',
    ],
    ["vgg-small?filters=cir", 'net:vgg-small: filters="cir" is refused'],
    ["vgg-small?width=12", 'net:vgg-small: width="12" is refused'],
    ["vgg-small?width=8&width=16", "net:vgg-small: width is given twice"],
    ["lenet-5?width=8", 'net:lenet-5: there is no option "width". Options: classes'],
    ["lenet-5?classes", 'net:lenet-5: classes="" is refused'],
  ])("%s is refused", (name, message) => {
    expect(() => makeNet(name, 1)).toThrow(message);
  });
});
