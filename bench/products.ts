/**
 * @file Small products against one matrix: the time of a linear layer as a Monarch matrix or a sum of
 * Kronecker products that stay products, and as the matrix itself, timed in turn with one thread. Writes
 * results/products.json; `npm run bench:products` takes about a minute.
 */
import { tensor } from "../src/ir/tensor.ts";
import { kroneckerProducts, monarchProducts } from "../src/layers/products.ts";
import { measureLatency } from "../src/measure/latency.ts";
import { nodePlatform } from "../src/node/platform.ts";
import { createRandom } from "../src/numeric/random.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
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
const batches = [1, 16, 128];

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

/** Speed-up over the matrix by kind, width and batch. */
export interface ProductsBench {
  readonly rows: readonly {
    readonly kind: string;
    readonly width: number;
    /** Share of the matrix's multiply-accumulates. */
    readonly work: number;
    /** The matrix's time over the products', for each batch of `batches`. */
    readonly speedup: Readonly<Record<number, number>>;
  }[];
}

const rows: ProductsBench["rows"][number][] = [];
for (const n of widths) {
  const kinds = {
    "monarch, 1/8": monarchProducts(monarchOf(n, 8)),
    "monarch, 1/32": n >= 256 ? monarchProducts(monarchOf(n, 32)) : null,
    "kronecker, 1 term": kroneckerProducts(kroneckerOf(n, 1)),
    "kronecker, 4 terms": kroneckerProducts(kroneckerOf(n, 4)),
  };
  const speedups = new Map<string, Record<number, number>>();
  for (const batch of batches) {
    const x = tensor("float32", [batch, n], normal(batch * n));
    const matrix = layerModel([batch, n], (g, v) =>
      g.MatMul(v, g.constant(normal(n * n), { shape: [n, n] })),
    );
    const models = [["matrix", matrix] as const].concat(
      Object.entries(kinds).flatMap(([name, products]) =>
        products ? [[name, layerModel([batch, n], products.run)] as never] : [],
      ),
    );
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
      found[batch] = Number((of("matrix") / of(name)).toFixed(2));
      speedups.set(name, found);
    }
  }
  for (const [kind, products] of Object.entries(kinds)) {
    if (!products) continue;
    const work = Number((products.macs / n ** 2).toFixed(3));
    rows.push({ kind, width: n, work, speedup: speedups.get(kind) ?? {} });
    console.log(kind, n, work, JSON.stringify(speedups.get(kind)));
  }
}
writeRun("products", { rows });
process.exit(0);
