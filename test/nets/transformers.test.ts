/** @file The small transformers: sizes, caches that change nothing, padding that is not seen. */
import { afterAll, describe, expect, test } from "vitest";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { verify } from "../../src/ir/verify.ts";
import { type TransformerName, transformers } from "../../src/nets/transformers/index.ts";
import { madeUp } from "../../src/nets/transformers/tokenizer.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { openNodeRuntime } from "../../src/runtime/ort-node.ts";
import type { Session } from "../../src/runtime/runtime.ts";

const runtime = await openNodeRuntime();
const opened: Session[] = [];
afterAll(async () => {
  for (const session of opened) await session.close();
});

/** Small enough for milliseconds. */
const small = { width: 16, layers: 2, heads: 4, inner: 24 };
const options: Record<TransformerName, Record<string, number>> = {
  "text-encoder": { ...small, words: 40, positions: 12, classes: 3 },
  decoder: { ...small, words: 40, positions: 12, keyHeads: 2 },
  vit: { ...small, side: 16, patch: 8, classes: 5 },
  speech: { ...small, words: 40, positions: 12, seconds: 1 },
};

async function open(name: TransformerName, file = "model"): Promise<Session> {
  const model = transformers[name].make(createRandom(1), options[name])[file];
  expect(verify(model)).toEqual([]);
  const session = await runtime.open({ bytes: concat(writeModel(model)) });
  opened.push(session);
  return session;
}

const ints = (rows: number[][]): Tensor =>
  tensor("int64", [rows.length, rows[0].length], rows.flat());
const ones = (length: number): Tensor => ints([new Array(length).fill(1)]);
const floats = (x: Tensor): Float32Array => {
  expect(x.dtype).toBe("float32");
  return new Float32Array(x.bytes().slice().buffer);
};
const empty = (shape: number[]): Tensor => tensor("float32", shape, []);
const random = createRandom(7);
const drawn = (shape: number[]): Tensor =>
  tensor(
    "float32",
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.normal()),
  );

/** The cache that follows from a run's outputs. */
const next = (outputs: Record<string, Tensor>): Record<string, Tensor> =>
  Object.fromEntries(
    Object.entries(outputs)
      .filter(([name]) => name.startsWith("present"))
      .map(([name, value]) => [name.replace("present", "past_key_values"), value]),
  );

const firstCache = (session: Session, shape: number[]): Record<string, Tensor> =>
  Object.fromEntries(
    session.inputs
      .filter(({ name }) => name.startsWith("past"))
      .map(({ name }) => [name, empty(shape)]),
  );

function expectClose(a: Float32Array, b: Float32Array): void {
  expect(a.length).toBe(b.length);
  expect(Math.max(...a.map((x, i) => Math.abs(x - b[i])))).toBeLessThan(1e-5);
}

describe("a decoder", () => {
  const ids = [2, 7, 30, 11, 5];
  const feed = (words: number[], past: number, total = past + words.length) => ({
    input_ids: ints([words]),
    attention_mask: ones(total),
    position_ids: ints([words.map((_, i) => past + i)]),
  });

  test("scores the same with its cache as without", async () => {
    const session = await open("decoder");
    const none = firstCache(session, [1, 2, 0, 4]);
    const whole = await session.run({ ...feed(ids, 0), ...none });
    const head = await session.run({ ...feed(ids.slice(0, 3), 0), ...none });
    const tail = await session.run({ ...feed(ids.slice(3), 3), ...next(head) });
    expect(whole.logits.shape).toEqual([1, 5, 40]);
    expectClose(
      floats(whole.logits),
      Float32Array.of(...floats(head.logits), ...floats(tail.logits)),
    );
  });

  test("does not see later words, nor padding on the left", async () => {
    const session = await open("decoder");
    const none = firstCache(session, [1, 2, 0, 4]);
    const whole = floats((await session.run({ ...feed(ids, 0), ...none })).logits);
    const other = floats((await session.run({ ...feed([2, 7, 30, 9, 9], 0), ...none })).logits);
    expectClose(whole.slice(0, 3 * 40), other.slice(0, 3 * 40));
    const padded = await session.run({
      ...{ input_ids: ints([[0, 0, ...ids]]), attention_mask: ints([[0, 0, 1, 1, 1, 1, 1]]) },
      ...{ position_ids: ints([[1, 1, 0, 1, 2, 3, 4]]), ...none },
    });
    expectClose(whole, floats(padded.logits).slice(2 * 40));
  });

  test("depends on the distance of positions, not on where they begin", async () => {
    const session = await open("decoder");
    const none = firstCache(session, [1, 2, 0, 4]);
    const whole = await session.run({ ...feed(ids, 0), ...none });
    const moved = { ...feed(ids, 0), position_ids: ints([[4, 5, 6, 7, 8]]) };
    const later = await session.run({ ...moved, ...none });
    expectClose(floats(whole.logits), floats(later.logits));
    const apart = { ...feed(ids, 0), position_ids: ints([[0, 1, 2, 4, 5]]) };
    const change = floats((await session.run({ ...apart, ...none })).logits);
    expect(Math.abs(change[4 * 40] - floats(whole.logits)[4 * 40])).toBeGreaterThan(1e-4);
  });
});

test("a text encoder does not see what the mask hides", async () => {
  const session = await open("text-encoder");
  const feed = (ids: number[], mask: number[]) => ({
    ...{ input_ids: ints([ids]), attention_mask: ints([mask]) },
    token_type_ids: ints([ids.map(() => 0)]),
  });
  const short = await session.run(feed([2, 9, 3], [1, 1, 1]));
  const padded = await session.run(feed([2, 9, 3, 5, 5], [1, 1, 1, 0, 0]));
  const longer = await session.run(feed([2, 9, 3, 5, 5], [1, 1, 1, 1, 1]));
  expect(short.logits.shape).toEqual([1, 3]);
  expectClose(floats(short.logits), floats(padded.logits));
  expect(Math.abs(floats(longer.logits)[0] - floats(short.logits)[0])).toBeGreaterThan(1e-4);
});

test("a vision transformer scores each picture of a batch by itself", async () => {
  const session = await open("vit");
  const one = drawn([1, 3, 16, 16]);
  const both = new Float32Array([...floats(one), ...floats(drawn([1, 3, 16, 16]))]);
  const alone = await session.run({ pixel_values: one });
  const batch = await session.run({ pixel_values: tensor("float32", [2, 3, 16, 16], both) });
  expect(batch.logits.shape).toEqual([2, 5]);
  expectClose(floats(alone.logits), floats(batch.logits).slice(0, 5));
});

test("speech: the decoder scores the same with its caches as without", async () => {
  const encoder = await open("speech", "encoder_model");
  const session = await open("speech", "decoder_model_merged");
  const heard = await encoder.run({ input_features: drawn([1, 80, 100]) });
  const states = { encoder_hidden_states: heard.last_hidden_state };
  expect(states.encoder_hidden_states.shape).toEqual([1, 50, 16]);
  const none = firstCache(session, [1, 4, 0, 4]);
  const later = (value: number): Tensor => tensor("bool", [1], [value]);
  const run = (words: number[], cache: Record<string, Tensor>, isLater: number) =>
    session.run({
      ...states,
      input_ids: ints([words]),
      use_cache_branch: later(isLater),
      ...cache,
    });
  const whole = await run([2, 9, 14, 6], none, 0);
  const head = await run([2, 9], none, 0);
  // In later steps the encoder's keys come from the cache: other states would not be looked at.
  const other = { encoder_hidden_states: drawn([1, 50, 16]) };
  const tail = await session.run({
    ...{ ...other, input_ids: ints([[14, 6]]), use_cache_branch: later(1), ...next(head) },
  });
  expectClose(
    floats(whole.logits),
    Float32Array.of(...floats(head.logits), ...floats(tail.logits)),
  );
});

test("made-up words are all different", () => {
  expect(new Set(madeUp(20_000)).size).toBe(20_000);
});

test("the files beside a model name its sizes", () => {
  const files = transformers.decoder.files(options.decoder);
  expect(files["config.json"]).toMatchObject({ model_type: "llama", num_key_value_heads: 2 });
  const { vocab } = (files["tokenizer.json"] as { model: { vocab: Record<string, number> } }).model;
  expect(Object.keys(vocab).length).toBe(40);
  expect(vocab["<s>"]).toBe(2);
});
