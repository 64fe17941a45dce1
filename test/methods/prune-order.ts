/** @file What a criterion must be better than, on three real models and their data. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openData } from "../../src/data/open.ts";
import type { DataOptions } from "../../src/data/options.ts";
import type { Tensor } from "../../src/ir/tensor.ts";
import type { MethodId } from "../../src/methods/index.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { simplify } from "../../src/recipe/trial.ts";
import { apply, environmentOf, outputsOf, runtime } from "../support/apply.ts";
import { assets } from "../support/assets.ts";
import { layerErrors } from "../support/layer-errors.ts";
import { nets } from "../support/nets.ts";

const cifar = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const file = (path: string): string => new URL(`../../${path}`, import.meta.url).pathname;

/** Model, data, how to read them. */
export type Case = readonly [string, string | null, string, DataOptions];

export const lenet: Case = ["LeNet-5", file("examples/lenet5.onnx"), "mnist:train", {}];
export const others: readonly Case[] = [
  [
    "ResNet-20",
    assets("models/resnet20_cifar10_jpegft.onnx"),
    `images:${assets("data/cifar10/train_25k.zip")}`,
    cifar,
  ],
  [
    "transformer",
    assets("models/sst2_transformer.onnx"),
    `npz:${assets("data/sst2/train.npz")}`,
    {},
  ],
];

export function describeOrder(cases: readonly Case[]): void {
  describe.each(cases.filter(([, path]) => path))("%s", (name, path, spec, options) => {
    /** Relative squared error of all layers' outputs, summed, and the bytes. */
    async function prepare() {
      const model = readModel(readFileSync(path as string), { name });
      inferModel(model);
      const start = simplify(model);
      inferModel(start);
      const session = await runtime.open({ bytes: readFileSync(path as string) });
      const ports = session.inputs;
      await session.close();
      const data = await openData(spec, ports, { ...options, limit: 48 }, nodePlatform);
      const { inputs } = await data.read(Array.from({ length: 48 }, (_, i) => i));
      const env = environmentOf(nets[0], { calibration: data, training: data, feeds: inputs });
      const original = await outputsOf(concat(writeModel(start)), inputs);
      return async (id: MethodId, given: Readonly<Record<string, unknown>>, seed = 1) => {
        const settings = { sparsity: 0.6, ...given };
        const { model: pruned, bytes } = await apply(start, id, settings, { ...env, seed });
        const errors = await layerErrors(start, pruned, inputs);
        expect(errors.size).toBeGreaterThan(3);
        const noise = squares(await outputsOf(bytes, inputs), original) / squares(original);
        return { error: [...errors.values()].reduce((a, b) => a + b, 0), noise, bytes };
      };
    }

    test("magnitude beats random, Wanda beats magnitude, surgeons beat Wanda", async () => {
      const run = await prepare();
      const random = await run("prune-random", {});
      const magnitude = await run("prune-magnitude", {});
      const wanda = await run("prune-wanda", {});
      const rows = [
        await run("prune-magnitude", { scope: "row" }),
        await run("prune-wanda", { scope: "row" }),
      ];
      const sparsegpt = await run("prune-sparsegpt", {});
      const obs = await run("prune-obs", {});
      expect(magnitude.error).toBeLessThan(random.error);
      expect(wanda.error).toBeLessThan(magnitude.error);
      expect(rows[1].error).toBeLessThan(rows[0].error);
      expect(sparsegpt.error).toBeLessThan(0.7 * wanda.error);
      expect(obs.error).toBeLessThan(sparsegpt.error);
    });

    test("under one threshold for all layers, curvature beats magnitude at the outputs", async () => {
      const run = await prepare();
      const magnitude = await run("prune-magnitude", { scope: "global" });
      const obd = await run("prune-obd", { scope: "global", records: 48 });
      expect(obd.noise).toBeLessThan(magnitude.noise);
    });

    test("the same seed gives the same bytes, another seed others where chance decides", async () => {
      const run = await prepare();
      const [a, b, c] = [1, 1, 2].map((seed) => run("prune-random", {}, seed));
      expect(Buffer.compare((await a).bytes, (await b).bytes)).toBe(0);
      expect(Buffer.compare((await a).bytes, (await c).bytes)).not.toBe(0);
      if (name !== "transformer") return;
      const first = await run("prune-sparsegpt", { pattern: "2:4" });
      const again = await run("prune-sparsegpt", { pattern: "2:4" }, 2);
      expect(Buffer.compare(first.bytes, again.bytes)).toBe(0);
    });
  });
}

/** |a - b|^2 of all outputs. */
function squares(a: Record<string, Tensor>, b: Record<string, Tensor> = {}): number {
  return Object.entries(a).reduce((sum, [name, x]) => {
    const other = b[name]?.floats();
    return x.floats().reduce((s, y, i) => s + (y - (other?.[i] ?? 0)) ** 2, sum);
  }, 0);
}
