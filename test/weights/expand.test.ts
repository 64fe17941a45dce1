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
import { toInt8, transposed, withZeros } from "../../src/weights/elements.ts";
import { expand } from "../../src/weights/expand.ts";
import { integers } from "../../src/weights/form.ts";
import { codebookOf } from "../../src/weights/forms/codebook.ts";
import { gridOf, uniformGrid } from "../../src/weights/forms/grid.ts";
import { scaledOf } from "../../src/weights/forms/scaled.ts";
import { layoutsOf } from "../../src/weights/layout.ts";
import { readWeight } from "../../src/weights/read.ts";
import {
  type Composed,
  type FloatWeight,
  type Leaf,
  leaf,
  type Weight,
} from "../../src/weights/weight.ts";
import { arbitraryWeight, type Stored } from "./forms.ts";

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

describe("expand", () => {
  test("gives the form's values, bit for bit, in the engine and in the reference", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(arbitraryWeight, { minLength: 8, maxLength: 8 }),
        async (stored) => {
          const graph = graphOf((g) => stored.map(({ weight }) => expand(g, weight)));
          const outputs = await outputsOf(graph);
          for (const [i, { weight, values }] of stored.entries()) {
            const expected = bits(values);
            expect(outputs[i].shape).toEqual(weight.shape);
            expect(bits(outputs[i].floats())).toEqual(expected);
            expect(bits(constantValue(graph.outputs[i])!.floats())).toEqual(expected);
            expect(bits(weight.values)).toEqual(expected);
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  test("the web build computes the same", async () => {
    const stored = fc.sample(arbitraryWeight, { numRuns: 60, seed: 3 });
    const graph = graphOf((g) => stored.map(({ weight }) => expand(g, weight)));
    const outputs = await outputsOf(graph, web);
    for (const [i, { values }] of stored.entries()) {
      expect(bits(outputs[i].floats())).toEqual(bits(values));
    }
  });

  test("readWeight gives the form back", () => {
    fc.assert(
      fc.property(arbitraryWeight, ({ weight, values }) => {
        const graph = graphOf((g) => expand(g, weight));
        const read = readWeight(graph.outputs[0])!;
        expect(read.shape).toEqual(weight.shape);
        expect(bits(read.values)).toEqual(bits(values));
        expect(essence(read)).toEqual(essence(weight));
      }),
      { numRuns: 300 },
    );
  });
});

/** What must survive: whole numbers may come back in the fewer bits that they need. */
function essence(weight: Weight): unknown {
  if (weight.form === null) {
    const { coding, values, shape } = weight as Leaf;
    const kind = typeof coding === "object" ? coding.signed : coding;
    return { kind, shape, values: hash(Array.from(values, (x) => x + 0).join()) };
  }
  const { form, shape, theta } = weight;
  const parts = Object.entries(theta).map(([name, part]) => [name, essence(part)]);
  return { kind: form.kind, shape, ...Object.fromEntries(parts) };
}

describe("withZeros", () => {
  test("sets zeros and keeps the kind of form and every other value", () => {
    fc.assert(
      fc.property(arbitraryWeight, fc.integer({ min: 2, max: 5 }), ({ weight, values }, n) => {
        const zeroed = withZeros(weight, (i) => i % n === 0);
        expect(zeroed.form).toBe(weight.form);
        const expected = values.map((w, i) => (i % n === 0 ? 0 : w));
        expect(bits(zeroed.values)).toEqual(bits(expected));
        const graph = graphOf((g) => expand(g, zeroed));
        expect(bits(readWeight(graph.outputs[0])!.values)).toEqual(bits(expected));
      }),
    );
  });
});

describe("transposed", () => {
  test("turns the values and keeps the kind of form", () => {
    fc.assert(
      fc.property(arbitraryWeight, ({ weight, values }) => {
        fc.pre(weight.shape.length === 2);
        const [rows, columns] = weight.shape;
        const turned = transposed(weight)!;
        const expected = values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)]);
        expect(turned.shape).toEqual([columns, rows]);
        expect(turned.form).toBe(weight.form);
        expect(bits(turned.values)).toEqual(bits(expected));
      }),
      { numRuns: 150 },
    );
  });

  test("keeps forms below a form", () => {
    const levels = Int8Array.of(-3, 1, 0, 2, 5, -7);
    const rounded = uniformGrid(levels, [2, 3], 0.5);
    const turned = transposed(scaledOf(rounded, Float32Array.of(1, 2, 4), 1))!;
    expect([...turned.values]).toEqual([-1.5, 1, 1, 5, 0, -14]);
    expect((turned as Composed).theta.weight.form).toBe(rounded.form);
  });
});

describe("toInt8", () => {
  const rounding = { bits: 8, search: "minmax" } as const;
  const dequantize = (g: Builder, { levels, scale, axis }: ReturnType<typeof toInt8>): Value =>
    g.DequantizeLinear(
      expand(g, levels, integers("int8", -128, 127)),
      g.constant(scale, { shape: axis === null ? [] : [scale.length] }),
      axis === null ? {} : { axis },
    );

  /** Within half a step of the weight, or the form's own integers exactly. */
  function check({ weight, values, kind, axis, block }: Stored, output: Tensor): void {
    const { shape } = weight;
    const isExact = kind === "grid" && block === null && (axis === null || axis === 0);
    const isSingle = kind === "grid" && axis !== null && shape[axis] === 1 && block === null;
    if (isExact || isSingle) expect(bits(output.floats())).toEqual(bits(values));
    else if (kind === "codebook" && entriesOf(weight).length <= 256) {
      const entries = entriesOf(weight);
      const near = rounded(entries, [entries.length], null);
      const expected = values.map((w) => near[entries.indexOf(w)]);
      expect(bits(output.floats())).toEqual(bits(expected));
    } else expect(bits(output.floats())).toEqual(bits(rounded(values, shape, 0)));
  }

  const entriesOf = (weight: FloatWeight): Float32Array =>
    (weight.form && weight.theta.codebook.values) as Float32Array;

  function rounded(values: Float32Array, shape: readonly number[], axis: number | null) {
    const options = { ...rounding, symmetric: true };
    return dequantizeGroups(quantizeChannels(values, shape, axis, options), shape);
  }

  test.each([node, web])("through DequantizeLinear on $name", async (runtime) => {
    const stored = fc.sample(arbitraryWeight, { numRuns: 80, seed: 11 });
    const graph = graphOf((g) =>
      stored.map(({ weight }) => dequantize(g, toInt8(weight, 0, rounding))),
    );
    const outputs = await outputsOf(graph, runtime);
    for (const [i, one] of stored.entries()) check(one, outputs[i]);
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
  const grid = (
    width: number,
    axis: number | null,
    block: number | null,
    scales: number,
  ): FloatWeight => {
    const q = Int8Array.from({ length: 960 }, () => random.int(2 ** width) - 2 ** (width - 1));
    return gridOf(q, shape, { scales: codebook(scales), axis, block, bits: width });
  };
  const half = (density: number): FloatWeight =>
    leaf(
      float(density).map((x) => fromFloat16(toFloat16(x))),
      shape,
      "float16",
    );
  const shared = (n: number, density: number): FloatWeight =>
    codebookOf({ codebook: codebook(n), index: index(n, density) }, shape);
  const cases: Record<string, FloatWeight> = {
    half: half(1),
    "half, mask": half(0.5),
    "half, gaps": half(0.1),
    "float, gaps": leaf(float(0.1), shape),
    "float, mask": leaf(float(0.5), shape),
    "codebook, 4 bits": shared(16, 1),
    "codebook, 5 bits": shared(32, 1),
    "codebook, gaps": shared(32, 0.05),
    "grid, 8 bits": grid(8, 1, null, 40),
    "grid, 3 bits": grid(3, null, null, 1),
    "grid, blocks": grid(4, 0, 8, 120),
  };

  test.each(Object.entries(cases))("%s", async (name, stored) => {
    const graph = new Graph("layer");
    const x = graph.addInput("x", "float32", [3, 24]);
    const g = build(graph);
    graph.setOutputs([g.MatMul(x, expand(g, stored))]);
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
    expect(bits(weight.tensor!.floats())).toEqual(bits(stored.values));
  });

  const folder = mkdtempSync(join(tmpdir(), "tersor-weights-"));
  afterAll(() => rmSync(folder, { recursive: true }));
});
