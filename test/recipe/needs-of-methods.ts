/** @file What methods say they need is what they ask for: every method, some or all of its choices. */
import { describe, expect, test } from "vitest";
import type { Dataset } from "../../src/data/dataset.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { type MethodId, methods } from "../../src/methods/index.ts";
import { type Method, needsOf } from "../../src/methods/method.ts";
import { describeOptions } from "../../src/options.ts";
import { needsByOption } from "../../src/recipe/needs.ts";
import { parseRecipe, type Step } from "../../src/recipe/steps.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { narrow, nets } from "../support/nets.ts";

const table = Object.entries(methods) as unknown as [MethodId, Method][];
export const net = narrow;
const conv = nets.find(({ name }) => name === "conv")!;

/** Records that count how often they are read; labels are classes of the ten scores. */
export function counted(seed: number) {
  const inputs = net.feeds(24, seed);
  const labels = tensor(
    "int32",
    [24],
    Int32Array.from({ length: 24 }, (_, i) => i % 10),
  );
  const records = tensorDataset(inputs, labels);
  let reads = 0;
  const dataset: Dataset = {
    ...records,
    read(indices) {
      reads++;
      return records.read(indices);
    },
  };
  return { dataset, reads: () => reads };
}

/** `some`: of the choices each sixth, beginning with another one for each method. */
type Mode = "all" | "some";

/** The defaults, and choices of every option over them, each once. */
function stepsOf(id: MethodId, method: Method, mode: Mode): Step[] {
  const settings = describeOptions(method.options).flatMap(({ name, type, choices }) => {
    const values = type === "boolean" ? [true, false] : (choices ?? []);
    return values.map((value) => ({ [name]: value }));
  });
  const steps = [{}, ...settings].map((given) =>
    stepOf(id, {
      ...more[id],
      ...given,
      ...("ranks" in given && given.ranks === "share" && { budget: 0.5 }),
    }),
  );
  const [usual, ...others] = new Map(
    steps.map((step) => [JSON.stringify(step.options), step]),
  ).values();
  const row = table.findIndex(([own]) => own === id);
  return [usual, ...others.filter((_, i) => mode === "all" || (row + i) % 6 === 0)];
}

export const stepOf = (id: MethodId, given: object): Step =>
  parseRecipe([{ method: id, ...given }] as never)[0];

/** What a method that needs something has to be told to do anything on the network. */
const more: Readonly<Record<string, object>> = {
  "prune-blocks": { ratio: 1 },
  "quantize-adaround": { iterations: 4 },
  "quantize-mixed": { least: 4, most: 5 },
};

/** Options that 2 is no value of. */
const other: Readonly<Record<string, number>> = { depth: 0.5, work: 0.5 };

/** Methods that find nothing to work on in the network: no two layers to equalize, no table of tokens, no
 * smaller model, no two linear layers, no residual stream, no mean over positions at the end. */
const idle: readonly MethodId[] = [
  "equalize",
  "prune-vocabulary",
  "quantize-cache",
  "slice-hidden",
  "cascade",
  "coarse-to-fine",
  "mixture-of-experts",
];

/** Methods whose stored forms gain nothing in layers of so few channels: they get the wider network. */
const wide: readonly MethodId[] = [
  "hash-weights",
  "kronecker",
  "monarch",
  "circulant",
  "toeplitz-like",
  "fastfood",
  "acdc",
  "tensor-train",
  "tie-filters",
  "winograd",
];

export function describeNeeds(mode: Mode): void {
  describe.each(table)("%s", (id, method) => {
    const { model } = wide.includes(id) ? conv : net;

    test("asks for nothing that it does not say it needs", async () => {
      const env = environmentOf(net, { calibration: null, training: null });
      for (const step of stepsOf(id, method, mode)) {
        if (needsOf(step).length === 0) await apply(model, id, step.options, env);
      }
      const usual = stepOf(id, {});
      if (needsOf(usual).join() !== "calibration") return;
      await apply(model, id, usual.options, environmentOf(net, { training: null }));
    });

    test.skipIf(idle.includes(id))("looks at what it says it needs", async () => {
      const settings = needsByOption(method).flatMap(({ option, values }) =>
        option === "loss" ? [] : [{ [option]: values ? values[0] : (other[option] ?? 2) }],
      );
      for (const given of [{}, ...settings]) {
        const step = stepOf(id, { ...more[id], ...given });
        const [calibration, training] = [counted(5), counted(6)];
        const env = environmentOf(net, {
          calibration: calibration.dataset,
          training: training.dataset,
        });
        const needs = needsOf(step);
        if (needs.length === 0) continue;
        await apply(model, id, step.options, env);
        if (needs.includes("calibration")) expect(calibration.reads()).toBeGreaterThan(0);
        if (needs.includes("training")) expect(training.reads()).toBeGreaterThan(0);
      }
    });
  });
}
