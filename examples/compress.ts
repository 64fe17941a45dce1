/** @file LeNet-5 in 8 bits from a program: npm run build, then npx tsx examples/compress.ts */
import { compress, load, mnist, survey } from "tersor";

const model = await load("examples/lenet5.onnx"); // a path, a URL, or bytes

// One recipe, measured beside the original.
const result = await compress(model, {
  recipe: [{ method: "prune-magnitude", sparsity: 0.5 }, { method: "quantize-int8" }],
  data: mnist("test"),
  calib: mnist("train"),
});
await result.save("tersor-out/lenet5.int8.onnx");
console.log(result.table());

// Several, compared.
const compared = await survey(model, {
  recipes: ["quantize-int8", "share-weights:bits=4", "factor-svd:energy=0.9 > quantize-int8"],
  data: mnist("test"),
  calib: mnist("train"),
});
console.log(compared.table());
