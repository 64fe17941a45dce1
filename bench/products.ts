/**
 * @file Small products against one matrix: the time of a linear layer and of a 1x1 convolution as a
 * Monarch matrix or a sum of Kronecker products that stay products, and as the matrix itself, timed in
 * turn with one thread. Writes results/products.json; `npm run bench:products` takes some minutes.
 */
import type { Value } from "../src/ir/graph.ts";
import type { Model } from "../src/ir/model.ts";
import { tensor } from "../src/ir/tensor.ts";
import { kroneckerProducts, monarchProducts, type Products } from "../src/layers/products.ts";
import { measureLatency } from "../src/measure/latency.ts";
import { nodePlatform } from "../src/node/platform.ts";
import { createRandom } from "../src/numeric/random.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import type { Builder } from "../src/ops/builder.ts";
import { openNodeRuntime } from "../src/runtime/ort-node.ts";
import { kronecker } from "../src/weights/forms/kronecker.ts";
import { monarch } from "../src/weights/forms/monarch.ts";
import { type Composed, composed, leaf } from "../src/weights/weight.ts";
import { layerModel } from "../test/support/layer.ts";
import { writeRun } from "./record.ts";

const runtime = await openNodeRuntime();
const random = createRandom(1);
const normal = (size: number) => Float32Array.from({ length: size }, random.normal);

const widths = [256, 512, 1024, 2048];

/** About 8 and 32 times fewer numbers than the matrix. */
function monarchOf(n: number, ratio: number): Composed {
  const blocks = n / (2 * ratio);
  return composed(monarch, [n, n], {
    left: leaf(normal(n * blocks), [blocks, n / blocks, blocks]),
    right: leaf(normal(n * blocks), [blocks, blocks, n / blocks]),
  });
}

function kroneckerOf(n: number, terms: number): Composed {
  const [a, b] = [2 ** Math.ceil(Math.log2(n) / 2), 2 ** Math.floor(Math.log2(n) / 2)];
  return composed(kronecker, [n, n], {
    a: leaf(normal(a * a * terms), [a, a, terms]),
    b: leaf(normal(terms * b * b), [terms, b, b]),
  });
}

/** Speed-up over the matrix by kind, width and what it is applied to. */
export interface ProductsBench {
  readonly rows: readonly {
    /** Records of a linear layer, or images of a 1x1 convolution. */
    readonly layer: "linear" | "convolution";
    readonly kind: string;
    readonly width: number;
    /** Share of the matrix's multiply-accumulates. */
    readonly work: number;
    /** The matrix's time over the products', for each batch, or side of the image. */
    readonly speedup: Readonly<Record<number, number>>;
  }[];
}

/** The matrix and its products as models of one layer, of x [shape]. */
interface Layer {
  readonly shape: (n: number, size: number) => readonly number[];
  readonly sizes: readonly number[];
  readonly matrix: (g: Builder, x: Value, n: number) => Value;
  readonly products: (g: Builder, x: Value, made: Products) => Value;
}

const layers: Readonly<Record<"linear" | "convolution", Layer>> = {
  linear: {
    sizes: [1, 16, 128],
    shape: (n, batch) => [batch, n],
    matrix: (g, x, n) => g.MatMul(x, g.constant(normal(n * n), { shape: [n, n] })),
    products: (g, x, { run }) => run(g, x),
  },
  convolution: {
    sizes: [7, 14, 28],
    shape: (n, side) => [1, n, side, side],
    matrix: (g, x, n) => g.Conv(x, g.constant(normal(n * n), { shape: [n, n, 1, 1] })),
    products: (g, x, { convolve }) => g.Reshape(convolve(g, x), g.ints([...(x.shape as number[])])),
  },
};

const rows: ProductsBench["rows"][number][] = [];
for (const [layer, { sizes, shape, matrix, products }] of Object.entries(layers)) {
  for (const n of widths) {
    const kinds = {
      "monarch, 1/8": monarchProducts(monarchOf(n, 8)),
      "monarch, 1/32": monarchProducts(monarchOf(n, 32)),
      "kronecker, 1 term": kroneckerProducts(kroneckerOf(n, 1)),
      "kronecker, 4 terms": kroneckerProducts(kroneckerOf(n, 4)),
    };
    const speedups = new Map<string, Record<number, number>>();
    for (const size of sizes) {
      const dims = shape(n, size);
      const x = tensor("float32", dims, normal(dims.reduce((a, b) => a * b, 1)));
      const models: readonly (readonly [string, Model])[] = [
        ["matrix", layerModel(dims, (g, v) => matrix(g, v, n))],
        ...Object.entries(kinds).map(
          ([name, made]) => [name, layerModel(dims, (g, v) => products(g, v, made))] as const,
        ),
      ];
      const candidates = [];
      for (const [name, model] of models) {
        const session = await runtime.open({ bytes: concat(writeModel(model)) }, { threads: 1 });
        candidates.push({ name, run: () => session.run({ x }), close: () => session.close() });
      }
      const timings = await measureLatency(candidates, { platform: nodePlatform, budgetMs: 4000 });
      for (const { close } of candidates) await close();
      const of = (name: string) =>
        timings.find((timing) => timing.name === name)?.latency?.median ?? 0;
      for (const name of Object.keys(kinds)) {
        const found = speedups.get(name) ?? {};
        found[size] = Number((of("matrix") / of(name)).toFixed(2));
        speedups.set(name, found);
      }
    }
    for (const [kind, { macs }] of Object.entries(kinds)) {
      const work = Number((macs / n ** 2).toFixed(3));
      const speedup = speedups.get(kind) ?? {};
      rows.push({ layer: layer as "linear" | "convolution", kind, width: n, work, speedup });
      console.log(layer, kind, n, work, JSON.stringify(speedup));
    }
  }
}
writeRun("products", { rows });
process.exit(0);
