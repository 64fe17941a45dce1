/** @file Real models on real data through the readers: the scores that others measured. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { batches } from "../../src/data/dataset.ts";
import { openData } from "../../src/data/open.ts";
import type { DataOptions } from "../../src/data/options.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { assets } from "../support/assets.ts";

const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

it.each<[string, string, string, DataOptions, number, number]>([
  ["kws_dscnn", "npz", "kws/kws01_1000.npz", {}, 901, 1000],
  ["sst2_transformer", "npz", "sst2/test.npz", {}, 1429, 1821], // 78.47 %
  ["mnist_cntk", "mnist", "test", { scale: 1 }, 9891, 10_000],
  // Counted with Pillow, NumPy and onnxruntime in Python; all 10,000 give the README's 87.50 %.
  [
    "resnet20_cifar10_jpegft",
    "images",
    "cifar10/test.zip",
    { ...imagenet, limit: 1000 },
    880,
    1000,
  ],
])("%s on %s:%s", async (model, reader, path, options, right, length) => {
  const file = assets(`models/${model}.onnx`);
  const place = reader === "mnist" ? path : assets(`data/${path}`);
  if (!file || !place) return;
  const { runtime } = await nodePlatform.runtime("auto");
  const session = await runtime.open({ bytes: readFileSync(file) });
  const data = await openData(`${reader}:${place}`, session.inputs, options, nodePlatform);
  let correct = 0;
  const fixed = session.inputs[0].dims[0];
  for await (const { inputs, label, size } of batches(data, fixed === 1 ? 1 : 100)) {
    const [output] = Object.values(await session.run(inputs));
    const scores = output.floats();
    const classes = scores.length / size;
    for (let i = 0; i < size; i++) {
      const row = scores.subarray(i * classes, (i + 1) * classes);
      if (row.indexOf(Math.max(...row)) === label!.numbers()[i]) correct++;
    }
  }
  await session.close();
  expect([correct, data.length]).toEqual([right, length]);
});
