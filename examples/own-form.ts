/** @file A form of weights from outside the package, and its method: npm run build, then npx tsx examples/own-form.ts [model] */
import {
  composed,
  compress,
  defineForm,
  defineMethod,
  layersOf,
  leaf,
  learns,
  load,
  siteOptions,
  storeWeight,
  z,
} from "tersor";

/** W [m, n] = u v^T: m + n numbers. Files that hold it are read back as it, and training moves u and v. */
export const outer = defineForm({
  kind: "outer product",
  cite: "Eckart, Young 1936",
  doc: "W = u v^T",
  theta: { u: learns(), v: learns() },
  build: (g, { u, v }) => g.Mul(u, v),
  examples: [{ shape: [6, 4], theta: { u: [6, 1], v: [1, 4] } }],
});

export const rankOne = defineMethod({
  id: "rank-one",
  family: "low-rank",
  title: "outer products",
  cite: "Eckart, Young 1936",
  summary: "Matrices become the nearest outer product, rebuilt at load; a start for training.",
  needs: [],
  options: z.object({
    rounds: z.int().min(1).default(20).meta({ description: "Power iterations." }),
    ...siteOptions,
  }),
  survey: [],
  neutral: null,
  async apply(model, { rounds, ...selection }, context) {
    const sites = layersOf(model, selection, context, 4096);
    for (const [i, site] of sites.entries()) {
      await context.progress(i, sites.length);
      const { shape, values } = site.weight;
      if (shape.length !== 2) context.skip(site.node.name, "its weight is no matrix");
      else storeWeight(site, nearest(values, shape[0], shape[1], rounds));
    }
  },
});

/** u = W v / |W v|, v = W^T u: by turns, until they are the first singular pair. */
function nearest(w: Float32Array, rows: number, columns: number, rounds: number) {
  let v = new Float32Array(columns).fill(1);
  let u = new Float32Array(rows);
  for (let round = 0; round < rounds; round++) {
    u = u.map((_, i) => v.reduce((sum, x, j) => sum + x * w[i * columns + j], 0));
    const length = Math.sqrt(u.reduce((sum, x) => sum + x * x, 0)) || 1;
    u = u.map((x) => x / length);
    v = v.map((_, j) => u.reduce((sum, x, i) => sum + x * w[i * columns + j], 0));
  }
  return composed(outer, [rows, columns], { u: leaf(u, [rows, 1]), v: leaf(v, [1, columns]) });
}

const model = await load(process.argv[2] ?? "examples/lenet-300-100.onnx");

// u and v are stored in 4 bits; the matrices stay outer products.
export const result = await compress(model, {
  recipe: [{ method: rankOne }, { method: "quantize-weights", bits: 4 }],
  timingSeconds: 0.2,
});
console.log(result.table());
