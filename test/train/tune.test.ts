import { beforeEach, describe, expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { readModel } from "../../src/onnx/read.ts";
import { build } from "../../src/ops/builder.ts";
import { defaultForms, type Forms } from "../../src/ops/grad/forms.ts";
import { backward } from "../../src/train/backward.ts";
import { type Bench, formsOf, tune } from "../../src/train/tune.ts";
import { plain } from "./geometry.ts";

/** Two convolutions of one kind, and a loss. */
function build2(batch: number | "N" = 2) {
  const graph = new Graph("two");
  const x = graph.addInput("x", "float32", [batch, 16, 6, 6]);
  const g = build(graph);
  const weights = [0, 1].map(() =>
    g.constant(new Float32Array(16 * 16 * 9).fill(0.1), { shape: [16, 16, 3, 3] }),
  );
  const pads = [1, 1, 1, 1];
  const y = g.Conv(g.Conv(x, weights[0], { pads }), weights[1], { pads });
  const loss = g.ReduceSum(y, { keepdims: 0 });
  graph.setOutputs([loss]);
  return { model: createModel(graph, 21), loss, weights };
}

function differentiate(forms: Forms, batch: number | "N" = 2): Model {
  const { model, loss, weights } = build2(batch);
  model.graph.setOutputs([...backward(model, loss, weights, { forms }).values()]);
  return model;
}

/** An engine that takes as long as it is told for each form, and answers in kind. */
let opened: string[];
let running: number;
let now: number;
function bench(
  ms: Readonly<Record<string, number>>,
  answer: (form: string, elements: number) => Tensor | null = (_, n) => numbers(n),
): Bench {
  return {
    cpuMs: () => now,
    async open(bytes) {
      const { graph } = readModel(bytes);
      const form = graph.name;
      opened.push(form);
      if (answer(form, 1) === null) throw new Error("no such operator");
      running++;
      return {
        async run() {
          now += ms[form] ?? 10;
          return { y: answer(form, 7) as Tensor };
        },
        async close() {
          running--;
        },
      };
    },
  };
}

const numbers = (n: number, value = 1): Tensor =>
  tensor(
    "float32",
    [n],
    Array.from({ length: n }, (_, i) => value + i),
  );

/** Without the blocked layout. */
const plainOnly = (form: string, n: number): Tensor | null =>
  form.startsWith("blocked") ? null : numbers(n);

const roles = (choices: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(choices).map(([key, form]) => [key.split(" ")[0], form]));

beforeEach(() => {
  opened = [];
  running = 0;
  now = 0;
});

describe("tune", () => {
  test("asks once for each kind of convolution, and takes the fastest form", async () => {
    const choices = await tune(
      differentiate,
      bench({ weave: 9, tap: 4, transpose: 3, flip: 5 }, plainOnly),
    );
    expect(Object.keys(choices)).toContain(
      "weight 2x16x6x6 16x16x3x3 -> 6x6 strides 1,1 dilations 1,1 pads 1,1,1,1",
    );
    expect(roles(choices)).toEqual({ output: "plain", input: "transpose", weight: "tap" });
    expect(running, "sessions left open").toBe(0);
  });

  test("keeps the default where nothing is clearly faster", async () => {
    const choices = await tune(differentiate, bench({ weave: 10, tap: 9.9 }, plainOnly));
    expect(roles(choices).weight).toBe(defaultForms.weight(geometry));
  });

  test("takes the blocked layout of this processor only", async () => {
    const wrong = (form: string, n: number): Tensor => numbers(n, form === "blocked16" ? 2 : 1);
    const choices = await tune(differentiate, bench({ blocked16: 1, blocked8: 2 }, wrong));
    // No blocked form of dW for what is not depthwise.
    expect(roles(choices)).toEqual({ output: "blocked8", input: "blocked8", weight: "weave" });
    expect(running).toBe(0);
  });

  test("refuses a form whose numbers differ from the default's", async () => {
    const wrong = (form: string, n: number): Tensor | null =>
      form === "tap" ? numbers(n, 1.01) : plainOnly(form, n);
    const choices = await tune(differentiate, bench({ tap: 1 }, wrong));
    expect(roles(choices).weight).toBe("weave");
  });

  test("replays what was chosen without timing anything", async () => {
    const choices = await tune(differentiate, bench({ tap: 1, transpose: 1 }, plainOnly));
    opened = [];
    const replayed = await tune(differentiate, bench({}), JSON.parse(JSON.stringify(choices)));
    expect(replayed).toEqual(choices);
    expect(opened).toEqual([]);
  });

  test("times again what another processor's layout was chosen for", async () => {
    const choices = await tune(differentiate, bench({ blocked16: 1 }));
    expect(roles(choices)).toMatchObject({ output: "blocked16", input: "blocked16" });
    const elsewhere = await tune(differentiate, bench({}, plainOnly), choices);
    expect(roles(elsewhere)).toMatchObject({ output: "plain", input: "flip" });
  });

  test("has nothing to choose where the batch is open", async () => {
    const make = (forms: Forms) => differentiate(forms, "N");
    const choices = await tune(make, bench({ transpose: 1, unfold: 1 }, plainOnly));
    expect(roles(choices)).toEqual({ input: "flip", weight: "tap" });
  });
});

const square = { kernel: [3, 3], sides: [6, 6], output: [6, 6] };
const geometry = { ...plain, ...square, filters: 16, depth: 16 };

describe("chosen forms", () => {
  test("the graph has them", async () => {
    const choices = await tune(differentiate, bench({ blocked16: 1, tap: 1 }));
    const { graph, domains } = differentiate(formsOf(choices));
    const blocked = [...graph.nodes].filter((node) => node.domain === "com.microsoft.nchwc");
    // Two forward, and dX of the second: nobody wants that of the first.
    expect(blocked.filter(({ op }) => op === "Conv").length).toBe(3);
    expect(domains.get("com.microsoft.nchwc")).toBe(1);
    expect([...graph.nodes].filter(({ op }) => op === "MatMul").length).toBe(2 * 9);
  });

  test("without choices there is nothing that only one processor knows", () => {
    const { graph, domains } = differentiate(formsOf({}));
    expect([...graph.nodes].every(({ domain }) => domain === "")).toBe(true);
    expect(domains.size).toBe(0);
  });
});
