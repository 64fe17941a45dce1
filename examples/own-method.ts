/** @file A compression method from outside the package: npm run build, then npx tsx examples/own-method.ts [model] */
import {
  chosenLayers,
  compress,
  defineMethod,
  load,
  parseRecipe,
  siteOptions,
  survey,
  tensor,
  weightsOf,
  z,
} from "tersor";

/** w = m 2^e with a mantissa m of fewer bits: float32 as before, but coders find more that repeats. */
export const trimMantissa = defineMethod({
  id: "trim-mantissa",
  family: "quantization",
  title: "mantissa trimming",
  cite: "bfloat16 is the case of 7 bits",
  summary: "Rounds weights to a few bits of mantissa: the file is as large, its download smaller.",
  needs: [], // calibration, training or labels, where it cannot do without
  options: z.object({
    bits: z.int().min(1).max(23).default(7).meta({ description: "Bits of mantissa that stay." }),
    ...siteOptions, // only and except: which layers
  }),
  survey: [{ bits: 7 }],
  neutral: { bits: 23 },
  async apply(model, { bits, ...selection }, context) {
    const chosen = chosenLayers(model, selection);
    const weights = weightsOf(model).filter(({ node }) => chosen.has(node));
    for (const [i, { node, value }] of weights.entries()) {
      await context.progress(i, weights.length);
      const { tensor: weight } = value;
      if (weight?.dtype !== "float32") {
        context.skip(node.name, "its weight is no plain float32 tensor");
        continue;
      }
      // A tensor is never changed: a new one takes its place.
      value.graph.setConstant(
        value,
        tensor("float32", weight.shape, trimmed(weight.floats(), bits)),
      );
    }
  },
});

/** Round to nearest, on the 32 bits of a float: sign, 8 of exponent, 23 of mantissa. */
function trimmed(values: Float32Array, bits: number): Float32Array {
  const result = values.slice();
  const words = new Uint32Array(result.buffer);
  const cut = 23 - bits;
  const half = cut > 0 ? 2 ** (cut - 1) : 0;
  for (let i = 0; i < words.length; i++) words[i] = ((words[i] + half) >>> cut) << cut;
  return result;
}

const model = await load(process.argv[2] ?? "examples/lenet-300-100.onnx");
const timingSeconds = 0.2; // it is all about sizes

// As a step of a recipe, its options checked by its own schema ...
export const result = await compress(model, {
  recipe: [{ method: trimMantissa, bits: 4 }, { method: "pack" }],
  timingSeconds,
});
console.log(result.table());

// ... and beside the methods of the package.
export const compared = await survey(model, {
  recipes: ["store-float16", parseRecipe([{ method: trimMantissa, bits: 4 }])],
  timingSeconds,
});
console.log(compared.table());
