import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import * as ort from "onnxruntime-node";
import { afterAll, describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import type { Tensor } from "../../src/ir/tensor.ts";
import { fromFloat16, toFloat16 } from "../../src/numeric/float16.ts";
import { dequantizeGroups, quantizeChannels } from "../../src/numeric/quantize.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { constantValue } from "../../src/ops/constant.ts";
import { openNodeRuntime } from "../../src/runtime/ort-node.ts";
import { openWebRuntime } from "../../src/runtime/ort-web.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { floatElement, integerElement } from "../../src/weights/element.ts";
import { expandFloat, expandInt8 } from "../../src/weights/expand.ts";
import { type Form, valuesOf, withZeros } from "../../src/weights/form.ts";
import { layoutsOf } from "../../src/weights/layout.ts";
import { readWeight } from "../../src/weights/read.ts";
import { transposed } from "../../src/weights/transpose.ts";
import { arbitraryForm } from "./forms.ts";

const node = await openNodeRuntime();
const web = await openWebRuntime();

function graphOf(make: (g: Builder) => Value | readonly Value[]): Graph {
  const graph = new Graph("weights");
  const made = make(build(graph));
  const outputs = Array.isArray(made) ? (made as readonly Value[]) : [made as Value];
  graph.setOutputs(outputs);
  for (const [i, output] of outputs.entries()) {
    output.name = `w${i}`;
    output.dtype ??= constantValue(output)?.dtype ?? null;
  }
  return graph;
}

const bytesOf = (graph: Graph): Uint8Array => concat(writeModel(createModel(graph, 21)));

async function outputsOf(graph: Graph, runtime: Runtime = node): Promise<Tensor[]> {
  const session = await runtime.open({ bytes: bytesOf(graph) });
  try {
    const outputs = await session.run({});
    return graph.outputs.map(({ name }) => outputs[name]);
  } finally {
    await session.close();
  }
}

/** Bit patterns; -0 counts as 0, because layouts leave both out. */
function bits(values: Float32Array): number[] {
  return [...new Uint32Array(values.map((x) => (x === 0 ? 0 : x)).buffer)];
}

const hash = (text: string): number =>
  [...text].reduce((h, c) => (h * 31 + c.charCodeAt(0)) | 0, 7);

describe("expandFloat", () => {
  test("gives the form's values, bit for bit, in the engine and in the reference", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(arbitraryForm, { minLength: 8, maxLength: 8 }), async (stored) => {
        const graph = graphOf((g) => stored.map(({ form, shape }) => expandFloat(g, form, shape)));
        const outputs = await outputsOf(graph);
        for (const [i, { form, shape }] of stored.entries()) {
          const expected = bits(valuesOf(form, shape));
          expect(outputs[i].shape).toEqual(shape);
          expect(bits(outputs[i].floats())).toEqual(expected);
          expect(bits(constantValue(graph.outputs[i])!.floats())).toEqual(expected);
        }
      }),
      { numRuns: 25 },
    );
  });

  test("the web build computes the same", async () => {
    const stored = fc.sample(arbitraryForm, { numRuns: 60, seed: 3 });
    const graph = graphOf((g) => stored.map(({ form, shape }) => expandFloat(g, form, shape)));
    const outputs = await outputsOf(graph, web);
    for (const [i, { form, shape }] of stored.entries()) {
      expect(bits(outputs[i].floats())).toEqual(bits(valuesOf(form, shape)));
    }
  });

  test("readWeight gives the form back", () => {
    fc.assert(
      fc.property(arbitraryForm, ({ form, shape }) => {
        const graph = graphOf((g) => expandFloat(g, form, shape));
        const weight = readWeight(graph.outputs[0])!;
        expect(weight.shape).toEqual(shape);
        expect(bits(weight.values)).toEqual(bits(valuesOf(form, shape)));
        expect(essence(weight.form)).toEqual(essence(form));
      }),
      { numRuns: 300 },
    );
  });
});

/** What must survive: a grid may come back with the fewer bits that its levels need. */
function essence(form: Form): unknown {
  switch (form.kind) {
    case "float":
      return { kind: form.kind, dtype: form.dtype };
    case "codebook":
      return { kind: form.kind, codebook: [...form.codebook], index: hash(form.index.join()) };
    case "grid":
      return {
        kind: form.kind,
        levels: hash(form.q.join()),
        scale: [...form.scale],
        ...(form.scale.length > 1 ? { axis: form.axis, block: form.block } : {}),
      };
  }
}

describe("withZeros", () => {
  test("sets zeros and keeps the kind of form and every other value", () => {
    fc.assert(
      fc.property(arbitraryForm, fc.integer({ min: 2, max: 5 }), ({ form, shape }, n) => {
        const zeroed = withZeros(form, (i) => i % n === 0);
        expect(zeroed.kind).toBe(form.kind);
        const expected = valuesOf(form, shape).map((w, i) => (i % n === 0 ? 0 : w));
        expect(bits(valuesOf(zeroed, shape))).toEqual(bits(expected));
        const graph = graphOf((g) => expandFloat(g, zeroed, shape));
        expect(bits(readWeight(graph.outputs[0])!.values)).toEqual(bits(expected));
      }),
    );
  });
});

describe("transposed", () => {
  test("turns the values and keeps the kind of form", () => {
    fc.assert(
      fc.property(arbitraryForm, ({ form, shape }) => {
        fc.pre(shape.length === 2);
        const [rows, columns] = shape;
        const values = valuesOf(form, shape);
        const turned = transposed({ shape, values, form });
        const expected = values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)]);
        expect(turned.shape).toEqual([columns, rows]);
        expect(turned.form.kind).toBe(form.kind);
        expect(bits(turned.values)).toEqual(bits(expected));
        expect(bits(valuesOf(turned.form, turned.shape))).toEqual(bits(expected));
      }),
    );
  });
});

describe("expandInt8", () => {
  const rounding = { bits: 8, search: "minmax" } as const;
  const dequantize = (g: Builder, { levels, scale, axis }: ReturnType<typeof expandInt8>): Value =>
    g.DequantizeLinear(
      levels,
      g.constant(scale, { shape: axis === null ? [] : [scale.length] }),
      axis === null ? {} : { axis },
    );

  /** Within half a step of the weight, or the form's own integers exactly. */
  function check(form: Form, shape: readonly number[], output: Tensor): void {
    const values = valuesOf(form, shape);
    const exact =
      form.kind === "grid" && form.block === null && (form.axis === null || form.axis === 0);
    const expected =
      form.kind === "codebook"
        ? valuesOf(
            { ...form, codebook: rounded(form.codebook, [form.codebook.length], null) },
            shape,
          )
        : exact
          ? values
          : rounded(values, shape, 0);
    if (form.kind === "codebook" && form.codebook.length > 256) {
      expect(bits(output.floats())).toEqual(bits(rounded(values, shape, 0)));
    } else expect(bits(output.floats())).toEqual(bits(expected));
  }

  function rounded(values: Float32Array, shape: readonly number[], axis: number | null) {
    const options = { ...rounding, symmetric: true };
    return dequantizeGroups(quantizeChannels(values, shape, axis, options), shape);
  }

  test.each([node, web])("through DequantizeLinear on $name", async (runtime) => {
    const stored = fc.sample(arbitraryForm, { numRuns: 80, seed: 11 });
    const graph = graphOf((g) =>
      stored.map(({ form, shape }) => {
        const weight = { form, shape, values: valuesOf(form, shape) };
        return dequantize(g, expandInt8(g, weight, 0, rounding));
      }),
    );
    const outputs = await outputsOf(graph, runtime);
    for (const [i, { form, shape }] of stored.entries()) check(form, shape, outputs[i]);
  });
});

describe("layouts", () => {
  const elements = [
    ["float32", floatElement("float32")],
    ["float16", floatElement("float16")],
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map(
      (n) => [`${n} bits`, integerElement(n, false, "int32")] as const,
    ),
  ] as const;

  function values(name: string, length: number, density: number): Float32Array {
    const random = createRandom(length);
    const top = name.endsWith("bits") ? 2 ** Number(name[0]) - 1 : 0;
    return Float32Array.from({ length }, () => {
      if (random.float() >= density) return 0;
      return top > 0 ? 1 + random.int(top) : 0.5 + random.int(16) / 32;
    });
  }

  test.each(elements)("all four hold the same numbers: %s", async (name, element) => {
    for (const density of [0.6, 0.1, 0.003]) {
      const numbers = values(name, 2003, density);
      const layouts = layoutsOf(numbers, element);
      expect(layouts.map((layout) => layout.name)).toEqual(["dense", "gaps8", "gaps4", "mask"]);
      const graph = graphOf((g) => layouts.map((layout) => layout.build(g, [2003])));
      for (const output of await outputsOf(graph)) {
        expect(hash([...output.numbers()].join())).toBe(hash(numbers.join()));
      }
    }
  });

  test.each(elements)("the one of the fewest file bytes is taken: %s", (name, element) => {
    for (const length of [100, 3001, 20000]) {
      for (const density of [0.8, 0.4, 0.1, 0.01]) {
        const layouts = layoutsOf(values(name, length, density), element);
        const real = layouts.map((layout) => {
          const graph = graphOf((g) => layout.build(g, [length]));
          return bytesOf(graph).length - 60;
        });
        const chosen = layouts.reduce(
          (best, layout, i) => (layout.bytes < layouts[best].bytes ? i : best),
          0,
        );
        expect(real[chosen]).toBeLessThanOrEqual(Math.min(...real) + 130);
        for (const [i, layout] of layouts.entries()) {
          expect(Math.abs(layout.bytes - real[i])).toBeLessThan(300);
        }
      }
    }
  });

  test("each of the four is the smallest somewhere", () => {
    const picks = [0.95, 0.4, 0.1, 0.01].map((density) => {
      const numbers = values("5 bits", 60000, density);
      const layouts = layoutsOf(numbers, integerElement(5, false, "int32"));
      return layouts.reduce((a, b) => (b.bytes < a.bytes ? b : a)).name;
    });
    expect(picks).toEqual(["dense", "mask", "gaps4", "gaps8"]);
  });
});

describe("the engine folds decode chains when it loads the model", () => {
  const shape = [24, 40];
  const random = createRandom(5);
  const float = (density: number): Float32Array =>
    Float32Array.from({ length: 960 }, () => (random.float() < density ? random.normal() : 0));
  const index = (n: number, density: number): Uint16Array =>
    Uint16Array.from({ length: 960 }, () => (random.float() < density ? random.int(n) : 0));
  const codebook = (n: number): Float32Array => Float32Array.from({ length: n }, random.normal);
  const grid = (bits: number, axis: number | null, block: number | null, scales: number): Form => ({
    kind: "grid",
    bits,
    q: Int8Array.from({ length: 960 }, () => random.int(2 ** bits) - 2 ** (bits - 1)),
    scale: codebook(scales),
    axis,
    block,
  });
  const half = (density: number): Form => {
    const values = float(density).map((x) => fromFloat16(toFloat16(x)));
    return { kind: "float", dtype: "float16", values };
  };
  const cases: Record<string, Form> = {
    half: half(1),
    "half, mask": half(0.5),
    "half, gaps": half(0.1),
    "float, gaps": { kind: "float", dtype: "float32", values: float(0.1) },
    "float, mask": { kind: "float", dtype: "float32", values: float(0.5) },
    "codebook, 4 bits": { kind: "codebook", codebook: codebook(16), index: index(16, 1) },
    "codebook, 5 bits": { kind: "codebook", codebook: codebook(32), index: index(32, 1) },
    "codebook, gaps": { kind: "codebook", codebook: codebook(32), index: index(32, 0.05) },
    "grid, 8 bits": grid(8, 1, null, 40),
    "grid, 3 bits": grid(3, null, null, 1),
    "grid, blocks": grid(4, 0, 8, 120),
  };

  test.each(Object.entries(cases))("%s", async (name, form) => {
    const graph = new Graph("layer");
    const x = graph.addInput("x", "float32", [3, 24]);
    const g = build(graph);
    graph.setOutputs([g.MatMul(x, expandFloat(g, form, shape))]);
    graph.outputs[0].name = "y";
    graph.outputs[0].dtype = "float32";
    const path = join(folder, `${name.replace(/\W/g, "")}.onnx`);
    const session = await ort.InferenceSession.create(bytesOf(graph), {
      optimizedModelFilePath: path,
      graphOptimizationLevel: "basic",
      logSeverityLevel: 4,
    });
    await session.release();
    const optimized = readModel(readFileSync(path), { name: path }).graph;
    expect([...optimized.nodes].map(({ op }) => op)).toEqual(["MatMul"]);
    const [weight] = [...optimized.constants].filter(({ uses }) => uses.size > 0);
    expect(bits(weight.tensor!.floats())).toEqual(bits(valuesOf(form, shape)));
  });

  const folder = mkdtempSync(join(tmpdir(), "tersor-weights-"));
  afterAll(() => rmSync(folder, { recursive: true }));
});
