/** @file What bench/exits.ts measures of models with an exit: answers, shares, times, thresholds. */
import type { Dataset } from "../src/data/dataset.ts";
import { openData } from "../src/data/open.ts";
import { thresholdFor } from "../src/evidence/exits.ts";
import type { Node } from "../src/ir/graph.ts";
import type { Model } from "../src/ir/model.ts";
import { tensor } from "../src/ir/tensor.ts";
import { measureLatency } from "../src/measure/latency.ts";
import { nodePlatform } from "../src/node/platform.ts";
import { type DataSource, load } from "../src/node.ts";
import { argmax } from "../src/numeric/argmax.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import { holdOut } from "../src/recipe/hold-out.ts";
import type { Feeds } from "../src/runtime/runtime.ts";

const { runtime } = await nodePlatform.runtime("node");

/** Opens records for the inputs of a model. */
export async function recordsOf(
  bytes: Uint8Array,
  { spec, options }: DataSource,
): Promise<Dataset> {
  const session = await runtime.open({ bytes }, { threads: 1 });
  const dataset = await openData(spec, session.inputs, options, nodePlatform);
  await session.close();
  return dataset;
}

/** All records, each as the inputs of one run, and their labels. */
export async function singles(data: Dataset) {
  const all = await data.read(Array.from({ length: data.length }, (_, i) => i));
  const [[input, pixels]] = Object.entries(all.inputs);
  const size = pixels.size / data.length;
  const values = pixels.floats();
  const feeds = Array.from({ length: data.length }, (_, i): Feeds => {
    const own = values.slice(i * size, (i + 1) * size);
    return { [input]: tensor("float32", [1, ...pixels.shape.slice(1)], own) };
  });
  return { feeds, labels: [...(all.label?.numbers() ?? [])].map(Number) };
}

/** What decides the model's exit, and the threshold that it is compared with; null without an exit. */
function conditionOf({ graph }: Model) {
  const isExit = ({ op, name }: Node): boolean => op === "If" && !name.endsWith("/gate");
  const condition = [...graph.nodes].find(isExit)?.inputs[0];
  const threshold = condition?.producer?.inputs[1];
  return condition && threshold?.tensor ? { condition, threshold } : null;
}

/** The answers of a model on single records, and where it takes its exit. */
export async function answersOf(file: Uint8Array, records: readonly Feeds[]) {
  const { model } = await load(file);
  const found = conditionOf(model);
  // By name, because an object's values of integer names ("19") come first.
  const [output] = model.graph.outputs;
  if (found) {
    found.condition.name = "taken";
    model.graph.setOutputs([output, found.condition]);
  }
  const bytes = found ? concat(writeModel(model)) : file;
  const session = await runtime.open({ bytes }, { threads: 1 });
  const answers: number[] = [];
  const taken: boolean[] = [];
  for (const feeds of records) {
    const found = await session.run(feeds);
    answers.push(argmax(found[output.name].floats()));
    taken.push("taken" in found && Number(found.taken.numbers()[0]) === 1);
  }
  await session.close();
  return { answers, taken };
}

/** The speed-up over `records`, one by one: every round runs all of them with both models in turn. */
export async function speedOf(
  models: readonly Uint8Array[],
  records: readonly Feeds[],
  budgetMs: number,
) {
  const candidates = await Promise.all(
    models.map(async (bytes, i) => {
      let session = await runtime.open({ bytes }, { threads: 1 });
      return {
        name: String(i),
        async run() {
          for (const feeds of records) await session.run(feeds);
        },
        async renew() {
          const next = await runtime.open({ bytes }, { threads: 1 });
          await session.close();
          session = next;
        },
      };
    }),
  );
  const [, product] = await measureLatency(candidates, {
    platform: nodePlatform,
    budgetMs,
    warmup: 1,
  });
  return product.ratio;
}

/**
 * The product of `early-exit` with the threshold that another limit of `flips` gives on the same
 * held-out records: what the step would give with that option, without training it once more.
 */
export async function withFlips(
  file: Uint8Array,
  flips: number,
  training: DataSource,
  heldOut: number,
): Promise<Uint8Array> {
  const { model } = await load(file);
  const found = conditionOf(model);
  const records = holdOut(await recordsOf(file, training), heldOut, 1).heldOut;
  if (!found || !records) throw new Error("no exit, or no records held out");
  const { threshold } = found;
  const at = (limit: number): Uint8Array => {
    threshold.graph.setConstant(threshold, tensor("float32", [], [limit]));
    return concat(writeModel(model));
  };
  // A probability is at least 0 always, and at least 2 never.
  const [early, late] = [await scoresOf(at(0), records), await scoresOf(at(2), records)];
  const exit = thresholdFor(late.flat(), early.flat(), early[0].length, flips);
  return at((exit?.threshold ?? 2) * (1 - 1e-6));
}

async function scoresOf(bytes: Uint8Array, records: Dataset): Promise<number[][]> {
  const { feeds } = await singles(records);
  const session = await runtime.open({ bytes }, { threads: 1 });
  const rows: number[][] = [];
  for (const own of feeds) rows.push([...Object.values(await session.run(own))[0].floats()]);
  await session.close();
  return rows;
}
