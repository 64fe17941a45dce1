/**
 * @file Opens a decoder in the engine and generates tokens, greedily, from the keys and values of those
 * before; prints them, and how far the last scores are from those of one run over all tokens.
 * `node bench/scale/generate.mjs model.onnx [tokens]`
 */
import ort from "onnxruntime-node";

const [path, count = "4"] = process.argv.slice(2);
// Weights are left as they lie in the file: prepacking would copy them.
const session = await ort.InferenceSession.create(path, {
  intraOpNumThreads: 1,
  extra: { session: { disable_prepacking: "1" } },
});
const layers = session.inputNames.filter((name) => name.endsWith(".key")).length;
const { shape } = session.inputMetadata.find(({ name }) => name === "past_key_values.0.key");
const [groups, size] = [shape[1], shape[3]];
const ints = (values) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);

/** The scores of the last token, and keys and values, after `fresh` tokens beyond `past`. */
async function step(fresh, past, start) {
  const all = start + fresh.length;
  const feeds = {
    input_ids: ints(fresh),
    attention_mask: ints(new Array(all).fill(1)),
    position_ids: ints(fresh.map((_, i) => start + i)),
  };
  for (let i = 0; i < layers; i++) {
    for (const part of ["key", "value"]) {
      feeds[`past_key_values.${i}.${part}`] =
        past?.[`present.${i}.${part}`] ?? new ort.Tensor("float32", [], [1, groups, 0, size]);
    }
  }
  const outputs = await session.run(feeds);
  const words = outputs.logits.dims[2];
  return { scores: outputs.logits.data.slice(-words), outputs };
}

const tokens = [1, 15, 370, 22];
let { scores, outputs } = await step(tokens, null, 0);
for (let i = 0; i < Number(count); i++) {
  tokens.push(scores.indexOf(Math.max(...scores)));
  ({ scores, outputs } = await step(tokens.slice(-1), outputs, tokens.length - 1));
}
const whole = (await step(tokens, null, 0)).scores;
let [apart, largest] = [0, 0];
for (let i = 0; i < whole.length; i++) {
  apart = Math.max(apart, Math.abs(whole[i] - scores[i]));
  largest = Math.max(largest, Math.abs(whole[i]));
}
console.log(JSON.stringify({ tokens, apart: apart / largest }));
