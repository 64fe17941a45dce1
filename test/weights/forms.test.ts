/** @file What every form must do: being in the table is being tested. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { cloneModel, createModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { rewrite } from "../../src/rewrite/index.ts";
import { expand } from "../../src/weights/expand.ts";
import type { Form, Part, Shape } from "../../src/weights/form.ts";
import { permutations } from "../../src/weights/forms/fastfood.ts";
import { roundToGrid } from "../../src/weights/forms/grid.ts";
import { hashOf } from "../../src/weights/forms/hashed.ts";
import { forms } from "../../src/weights/forms/index.ts";
import { readWeight } from "../../src/weights/read.ts";
import {
  type Composed,
  composed,
  type FloatWeight,
  leaf,
  type Weight,
  wholeLeaf,
} from "../../src/weights/weight.ts";
import { outputsOf } from "../support/apply.ts";
import { relativeError } from "../support/error.ts";
import { realModels } from "../support/real-models.ts";

const sizeOf = (shape: Shape): number => shape.reduce((a, b) => a * b, 1);

/** Numbers that a part can hold. */
function drawPart(
  { integers, dtype }: Part,
  name: string,
  theta: Readonly<Record<string, Shape>>,
  form: Form,
  seed: number,
): Weight {
  const shape = theta[name];
  const random = createRandom(seed);
  const size = sizeOf(shape);
  if (!integers) {
    const positive = name === "scale" ? 0.5 : -Infinity;
    return leaf(
      Float32Array.from({ length: size }, () => Math.max(positive, random.normal())),
      shape,
    );
  }
  if (name === "zero_point") return wholeLeaf(new Int8Array(size), shape, true, 8);
  if (dtype === "int64") {
    const values = Float64Array.from({ length: size }, () => 1 + random.int(integers[1] - 1));
    return { form: null, shape, values, coding: "int64" };
  }
  if (name === "signs") {
    const signs = Int8Array.from({ length: size }, () => 2 * random.int(2) - 1);
    return wholeLeaf(signs, shape, true, 1);
  }
  if (integers[0] < 0) {
    return wholeLeaf(
      Int8Array.from({ length: size }, () => random.int(256) - 128),
      shape,
      true,
      8,
    );
  }
  const { codebook, table, values } = form.examples[0].theta;
  const { base } = theta;
  // Copies of base filters, whose kernels are 3 x 3: windows, quarter turns, mirrors, signs.
  const copies = base && base[0] * (base.at(-2)! - 2) * (base.at(-1)! - 2) * 16;
  const entries = copies ?? codebook?.at(-2) ?? codebook?.[0] ?? table?.[0] ?? values?.at(-1) ?? 4;
  return wholeLeaf(
    Uint16Array.from({ length: size }, () => random.int(entries)),
    shape,
    false,
  );
}

function draw(form: Form, example: number, seed = 1): Composed {
  const { shape, theta } = form.examples[example];
  const parts = Object.entries(form.theta).map(([name, part], i) => {
    return [name, drawPart(part, name, theta, form, seed + i)] as const;
  });
  return composed(form, shape, Object.fromEntries(parts));
}

type Theta = Readonly<
  Record<string, { readonly values: ArrayLike<number>; readonly shape: Shape }>
>;

/** Scale c of an element: over channels of the one axis that has several. */
function scaleAt(shape: Shape, kind: string): (element: number) => number {
  const axis = /axis (\d)/.exec(kind)?.[1];
  if (axis === undefined) return () => 0;
  const inner = sizeOf(shape.slice(Number(axis) + 1));
  return (i) => Math.floor(i / inner) % shape[Number(axis)];
}

function circulantAt({ r }: Theta, [, columns]: Shape): (element: number) => number {
  const [, across, b] = r.shape;
  return (i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    const block = Math.floor(row / b) * across + Math.floor(column / b);
    // The first column of a block goes down; every other is the one before, shifted down by one.
    return r.values[block * b + (((row % b) + b - (column % b)) % b)];
  };
}

/** The product of one matrix [before, after] of each core: that of this row's and column's digits. */
function trainAt(cores: Theta[string][], columns: number): (element: number) => number {
  const last = cores.length - 1;
  const sizes = cores.map(({ shape }, k) => (k === 0 ? shape.slice(0, 2) : shape.slice(1, 3)));
  const digits = (x: number, side: number): number[] =>
    sizes.map((_, k) => {
      const below = sizes.slice(k + 1).reduce((p, size) => p * size[side], 1);
      return Math.floor(x / below) % sizes[k][side];
    });
  return (i) => {
    const [rows, across] = [digits(Math.floor(i / columns), 0), digits(i % columns, 1)];
    let row = [1];
    for (const [k, { values, shape }] of cores.entries()) {
      const after = k === last ? 1 : (shape.at(-1) as number);
      const [m, n] = sizes[k];
      row = Array.from({ length: after }, (_, s) =>
        row.reduce(
          (sum, x, r) => sum + x * values[((r * m + rows[k]) * n + across[k]) * after + s],
          0,
        ),
      );
    }
    return row[0];
  };
}

/** W[element], in plain arithmetic that shares nothing with `build`. */
const references: Readonly<
  Record<string, (theta: Theta, shape: Shape, kind: string) => (element: number) => number>
> = {
  grid: ({ levels, scale }, shape) => {
    if (levels.shape.length === shape.length) return (i) => levels.values[i] * scale.values[0];
    const [, columns] = shape;
    const block = levels.shape[2];
    return (i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      return levels.values[i] * scale.values[row * (columns / block) + Math.floor(column / block)];
    };
  },
  "asymmetric grid": ({ levels, zero, scale }, [, columns]) => {
    const block = levels.shape.length > 2 ? levels.shape[2] : columns;
    return (i) => {
      const at = Math.floor(i / columns) * (columns / block) + Math.floor((i % columns) / block);
      return (levels.values[i] - zero.values[at] / 16) * scale.values[at];
    };
  },
  "scaled axis":
    ({ weight, factor }, [, columns]) =>
    (i) =>
      weight.values[i] * factor.values[i % columns],
  codebook:
    ({ codebook, index }) =>
    (i) =>
      codebook.values[index.values[i]],
  vectors: ({ codebook, index }, shape) => {
    const size = codebook.shape.at(-1) as number;
    const [stages, books, entries] = codebook.shape.length > 2 ? codebook.shape : [1, 1, 0];
    const [height, width] = index.shape.slice(-2);
    const isUpright = height !== shape[0];
    return (i) => {
      const [row, column] = [Math.floor(i / shape[1]), i % shape[1]];
      const [y, x] = isUpright
        ? [Math.floor(row / size), column]
        : [row, Math.floor(column / size)];
      const inside = (isUpright ? row : column) % size;
      let sum = 0;
      for (let t = 0; t < stages; t++) {
        const book = books === 1 ? 0 : isUpright ? y : x;
        const entry = index.values[(t * height + y) * width + x];
        sum += codebook.values[((t * books + book) * entries + entry) * size + inside];
      }
      return sum;
    };
  },
  "scaled table": ({ table, index, scale }, [, columns]) => {
    const [, blocks = 1] = scale.shape;
    return (i) => {
      const block = Math.floor(((i % columns) * blocks) / columns);
      return table.values[index.values[i]] * scale.values[Math.floor(i / columns) * blocks + block];
    };
  },
  "grid with offsets": ({ levels, scale, offset }, [, columns]) => {
    const [, blocks = 1] = scale.shape;
    return (i) => {
      const block = Math.floor(((i % columns) * blocks) / columns);
      const at = Math.floor(i / columns) * blocks + block;
      return levels.values[i] * scale.values[at] + offset.values[at];
    };
  },
  sketch: ({ signs, scales }, [rows, columns]) => {
    const [count] = signs.shape;
    return (i) => {
      let sum = 0;
      for (let k = 0; k < count; k++) {
        const scale = scales.values[k * rows + Math.floor(i / columns)];
        sum += scale * signs.values[k * rows * columns + i];
      }
      return sum;
    };
  },
  blockwise: ({ values, block }, [rows, columns]) => {
    const isDown = values.shape[0] !== rows;
    return (i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      return isDown
        ? values.values[block.values[row] * columns + column]
        : values.values[row * values.shape[1] + block.values[column]];
    };
  },
  "codebook of int8":
    ({ codebook, index }) =>
    (i) =>
      codebook.values[index.values[i]],
  hashed: ({ values, a, b }) => {
    const count = values.values.length;
    const hash = { a: a.values[0], b: b.values[0], count };
    return (i) => {
      const h = hashOf(i, hash);
      return h < count ? values.values[h] : -values.values[h - count];
    };
  },
  factored:
    ({ left, right }, [, columns]) =>
    (i) => {
      const [, rank] = left.shape;
      const [row, column] = [Math.floor(i / columns), i % columns];
      let sum = 0;
      for (let r = 0; r < rank; r++) {
        sum += left.values[row * rank + r] * right.values[r * columns + column];
      }
      return sum;
    },
  dictionary:
    ({ kept, mix, order }, [, columns]) =>
    (i) => {
      const [rank] = kept.shape;
      const [row, column] = [order.values[Math.floor(i / columns)], i % columns];
      if (row < rank) return kept.values[row * columns + column];
      let sum = 0;
      for (let k = 0; k < rank; k++) {
        sum += mix.values[(row - rank) * rank + k] * kept.values[k * columns + column];
      }
      return sum;
    },
  "factored with rest":
    ({ left, right, rest }, [, columns]) =>
    (i) => {
      const [, rank] = left.shape;
      let sum = rest.values[i];
      for (let r = 0; r < rank; r++) {
        sum +=
          left.values[Math.floor(i / columns) * rank + r] *
          right.values[r * columns + (i % columns)];
      }
      return sum;
    },
  kronecker: ({ a, b }, [, columns]) => {
    const [, , rank] = a.shape;
    const [, height, width] = b.shape;
    return (i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      let sum = 0;
      for (let r = 0; r < rank; r++) {
        const left =
          (Math.floor(row / height) * a.shape[1] + Math.floor(column / width)) * rank + r;
        const right = (r * height + (row % height)) * width + (column % width);
        sum += a.values[left] * b.values[right];
      }
      return sum;
    };
  },
  monarch: ({ left, right }, [, columns]) => {
    const [blocks, , inner] = left.shape;
    const [, , width] = right.shape;
    return (at) => {
      const [row, column] = [Math.floor(at / columns), at % columns];
      const [l, j] = [Math.floor(row / blocks), row % blocks];
      const [i, t] = [Math.floor(column / width), column % width];
      const first = left.values[(j * left.shape[1] + l) * inner + i];
      return first * right.values[(i * blocks + j) * width + t];
    };
  },
  winograd({ kernel }, shape) {
    // The polynomial of the taps at each point: 0, 1, -1 (2, -2) over N, and its last coefficient.
    const points =
      shape[0] === 16
        ? [
            [0, 1],
            [1, 2],
            [-1, 2],
          ]
        : [
            [0, 4],
            [1, -6],
            [-1, -6],
            [2, 24],
            [-2, 24],
          ];
    const rows = [...points.map(([x, n]) => [1 / n, x / n, (x * x) / n]), [0, 0, 1]];
    return (at) => {
      const layer = shape[1] * shape[2];
      const [tile, rest] = [Math.floor(at / layer), at % layer];
      const [i, j] = [Math.floor(tile / rows.length), tile % rows.length];
      let sum = 0;
      for (let t = 0; t < 9; t++) {
        sum += rows[i][Math.floor(t / 3)] * rows[j][t % 3] * kernel.values[rest * 9 + t];
      }
      return sum;
    };
  },
  fourier({ kernel }, shape) {
    // The polynomial of the taps, backwards, at the points 1 / z and 1 / w: (re, im, re + im).
    const [half, threes, groups, inputs, each] = shape;
    const [, , ...taps] = kernel.shape;
    const points = 2 * half * (threes / 3);
    return (at) => {
      const n = at % each;
      const [c, group] = [Math.floor(at / each) % inputs, Math.floor(at / each / inputs) % groups];
      const place = Math.floor(at / each / inputs / groups);
      const [f, e] = [Math.floor(place / threes), Math.floor((place % threes) / 3)];
      let [re, im] = [0, 0];
      for (let p = 0; p < sizeOf(taps); p++) {
        const row = Math.floor(p / (taps[1] ?? 1));
        // Shares of a turn: a picture's axes each have their own, a line has one of all points.
        const turn =
          taps.length === 1
            ? ((2 * (f + 2 * half * e) + 1) * p) / (2 * points)
            : ((2 * f + 1) * row) / (4 * half) + (3 * e * (p % taps[1])) / threes;
        const tap = kernel.values[((group * each + n) * inputs + c) * sizeOf(taps) + p];
        re += tap * Math.cos(2 * Math.PI * turn);
        im += tap * Math.sin(2 * Math.PI * turn);
      }
      return [re, im, re + im][place % 3];
    };
  },
  circulant: circulantAt,
  "circulant with signs": (theta, shape) => {
    const at = circulantAt(theta, shape);
    return (i) => theta.signs.values[i % shape[1]] * at(i);
  },
  "Toeplitz-like": ({ g, h }, [, columns]) => {
    const [, rank, b] = g.shape;
    const across = Math.ceil(columns / b);
    return (at) => {
      const [row, column] = [Math.floor(at / columns), at % columns];
      const block = Math.floor(row / b) * across + Math.floor(column / b);
      const [i, j] = [row % b, column % b];
      let sum = 0;
      for (let k = 0; k < rank; k++) {
        const from = (block * rank + k) * b;
        for (let t = 0; t < b; t++) {
          const left = g.values[from + (i >= t ? i - t : i - t + b)];
          sum += left * (j >= t ? h.values[from + j - t] : -h.values[from + j - t + b]);
        }
      }
      return sum;
    };
  },
  butterfly: ({ twiddle }, [, columns]) => {
    const [, depth, twice] = twiddle.shape;
    const size = twice / 2;
    const across = Math.ceil(columns / size);
    return (at) => {
      const [row, column] = [Math.floor(at / columns), at % columns];
      const block = Math.floor(row / size) * across + Math.floor(column / size);
      let w = 1;
      // Level by level: the halves in which the row and the column lie, and the row within its half.
      let [y, x, inner, length] = [row % size, column % size, 0, size];
      for (let s = 0; s < depth; s++) {
        length /= 2;
        const [l, i] = [Math.floor(y / length), Math.floor(x / length)];
        [y, x] = [y % length, x % length];
        const d = ((inner * 2 + l) * length + y) * 2 + i;
        w *= twiddle.values[(block * depth + s) * twice + d];
        inner = 2 * inner + i;
      }
      return w;
    };
  },
  fastfood: ({ s, g, b, first, second }, [, columns]) => {
    const [count, size] = s.shape;
    const across = Math.ceil(columns / size);
    const orders = permutations(first.values[0], second.values[0], count, size);
    const bits = (x: number): number => (x === 0 ? 0 : (x & 1) + bits(x >> 1));
    const h = (i: number, j: number) => (-1) ** bits(i & j) / Math.sqrt(size);
    return (at) => {
      const [row, column] = [Math.floor(at / columns), at % columns];
      const block = Math.floor(row / size) * across + Math.floor(column / size);
      const [i, j] = [row % size, column % size];
      let sum = 0;
      for (let t = 0; t < size; t++) {
        sum += h(i, t) * g.values[block * size + t] * h(orders[block][t], j);
      }
      return s.values[block * size + i] * sum * b.values[block * size + j];
    };
  },
  ACDC: ({ a, d }, [, columns]) => {
    const [, layers, size] = a.shape;
    const across = Math.ceil(columns / size);
    const c = (k: number, t: number) =>
      Math.sqrt((k === 0 ? 1 : 2) / size) * Math.cos((Math.PI * (t + 0.5) * k) / size);
    return (at) => {
      const [row, column] = [Math.floor(at / columns), at % columns];
      const block = Math.floor(row / size) * across + Math.floor(column / size);
      // One row of the identity through A, C, D and the transpose of C, layer by layer.
      let x = Array.from({ length: size }, (_, i): number => (i === row % size ? 1 : 0));
      for (let k = 0; k < layers; k++) {
        const from = (block * layers + k) * size;
        const waves = x.map((_, t) =>
          x.reduce((sum, v, i) => sum + v * a.values[from + i] * c(i, t), 0),
        );
        x = x.map((_, i) => waves.reduce((sum, v, t) => sum + v * d.values[from + t] * c(i, t), 0));
      }
      return x[column % size];
    };
  },
  "tensor train of 3 cores": ({ a, b, c }, [, columns]) => trainAt([a, b, c], columns),
  "tensor train of 4 cores": ({ a, b, c, d }, [, columns]) => trainAt([a, b, c, d], columns),
  windows: ({ meta }, [, channels, k, l]) => {
    const [, , height, width] = meta.shape;
    const count = (height - k + 1) * (width - l + 1);
    return (at) => {
      const [x, y] = [at % l, Math.floor(at / l) % k];
      const c = Math.floor(at / (k * l)) % channels;
      const filter = Math.floor(at / (k * l * channels));
      const [i, window] = [Math.floor(filter / count), filter % count];
      const [p, q] = [Math.floor(window / (width - l + 1)), window % (width - l + 1)];
      return meta.values[((i * channels + c) * height + p + y) * width + q + x];
    };
  },
  oriented: ({ base }, [rows, columns, k]) => {
    const [filters, channels, inner] = base.shape;
    const order = rows / filters;
    return (at) => {
      let [x, y] = [at % k, Math.floor(at / k) % k];
      const column = Math.floor(at / (k * k)) % columns;
      const row = Math.floor(at / (k * k * columns));
      const [o, c] = [Math.floor(row / order), Math.floor(column / inner)];
      // g = r^j s^f and h = r^a s^b, so g^-1 h = s^f r^(a - j) s^b, where s r = r^-1 s.
      const [g, h] = [row % order, column % inner];
      const [j, f] = [g % 4, g >> 2];
      const [a, b] = [h % 4, h >> 2];
      const turns = ((f ? j - a : a - j) + 4) % 4;
      const moved = inner > 1 ? turns + 4 * ((f + b) % 2) : 0;
      // (r B)[y, x] = B[x, k - 1 - y] and (s B)[y, x] = B[y, k - 1 - x]
      for (let turn = 0; turn < j; turn++) [y, x] = [x, k - 1 - y];
      if (f) x = k - 1 - x;
      return base.values[(((o * channels + c) * inner + moved) * k + y) * k + x];
    };
  },
  copies: ({ base, index }, [, channels, k]) => {
    const [count] = base.shape;
    const [height, width] = base.shape.slice(-2);
    const across = width - k + 1;
    const all = (height - k + 1) * across;
    const isKernel = index.shape.length === 2;
    return (at) => {
      let [x, y] = [at % k, Math.floor(at / k) % k];
      const kernel = Math.floor(at / (k * k));
      const own = index.values[isKernel ? kernel : Math.floor(kernel / channels)];
      const [b, t] = [own % count, Math.floor(own / count)];
      const [window, kind] = [t % all, Math.floor(t / all)];
      // W = M U T B, so that W[y, x] is found by undoing M first.
      if (kind & 4) x = k - 1 - x;
      if (kind & 2) y = k - 1 - y;
      if (kind & 1) [x, y] = [y, x];
      y += Math.floor(window / across);
      x += window % across;
      const filter = isKernel ? b : b * channels + (kernel % channels);
      const value = base.values[(filter * height + y) * width + x];
      return kind & 8 ? -value : value;
    };
  },
  quantized: ({ weight, scale }, shape, kind) => {
    const channel = scaleAt(shape, kind);
    return (i) => {
      const s = scale.values[channel(i)];
      const level = Math.round(Math.fround(weight.values[i] / s));
      return s * Math.max(-128, Math.min(127, level));
    };
  },
  "levels of int8": ({ levels, scale }, shape, kind) => {
    const channel = scaleAt(shape, kind);
    return (i) => levels.values[i] * scale.values[channel(i)];
  },
};

const referenceOf = (kind: string) => references[kind.replace(/ along axis \d/, "")];

const cases = forms.flatMap((form) =>
  form.examples.map((_, i) => [`${form.kind}, example ${i}`, form, i] as const),
);

/** A layer of the weight: a product, or a table for weights of other ranks. */
function modelOf(weight: Weight): Model {
  const graph = new Graph("layer");
  const g = build(graph);
  const stored = expand(g, weight);
  const [rows] = weight.shape;
  const x = graph.addInput("x", "float32", [2, rows]);
  const flat = g.Reshape(stored, g.ints([rows, -1]));
  const y = weight.shape.length === 2 ? g.MatMul(x, stored) : g.MatMul(x, flat);
  y.name = "y";
  y.dtype = "float32";
  graph.setOutputs([y]);
  const model = createModel(graph, 21);
  inferModel(model);
  return model;
}

/** The weight of the layer, below the Reshape that makes a matrix of it. */
function readBack(model: Model, rank: number): FloatWeight {
  inferModel(model);
  const [{ value }] = weightsOf(model);
  const read = readWeight(rank === 2 ? value : (value.producer!.inputs[0] as typeof value));
  return read as FloatWeight;
}

function essence(weight: Weight): unknown {
  if (weight.form === null) return Array.from(weight.values, (x) => x + 0);
  const { form, theta } = weight;
  return [form.kind, Object.entries(theta).map(([name, part]) => [name, essence(part)])];
}

const isWhole = ({ kind }: Form): boolean => kind === "codebook of int8";

describe("every form", () => {
  test.each(cases)("%s: is what its equation says", (_, form, example) => {
    const weight = draw(form, example);
    const at = referenceOf(form.kind)(weight.theta as Theta, weight.shape, form.kind);
    const expected = Float32Array.from({ length: sizeOf(weight.shape) }, (_, i) => at(i));
    expect(weight.values).toHaveLength(expected.length);
    for (const [i, w] of weight.values.entries()) expect(w).toBeCloseTo(expected[i], 5);
  });

  test.each(cases.filter(([, form]) => !isWhole(form)))(
    "%s: is read back through memory, a clone and a file",
    (_, form, example) => {
      const weight = draw(form, example);
      const model = modelOf(weight);
      const file = readModel(concat(writeModel(model)), { name: "layer" });
      for (const copy of [model, cloneModel(model), file]) {
        const read = readBack(copy, weight.shape.length);
        expect(essence(read)).toEqual(essence(weight));
        expect(read.values).toEqual(weight.values);
      }
    },
  );

  test.each(cases.filter(([, form]) => !isWhole(form)))(
    "%s: parts that learn may be stored in any other form",
    (_, form, example) => {
      const plain = draw(form, example);
      const theta = Object.entries(plain.theta).map(([name, part]) => {
        const inner = form.theta[name].learns && part.shape.length > 0;
        const values = part.values as Float32Array;
        const options = { bits: 4, block: 0, axis: null, search: "mse" } as const;
        return [name, inner ? roundToGrid(values, part.shape, options) : part] as const;
      });
      const weight = composed(form, plain.shape, Object.fromEntries(theta));
      const file = readModel(concat(writeModel(modelOf(weight))), { name: "layer" });
      const read = readBack(file, weight.shape.length);
      expect(essence(read)).toEqual(essence(weight));
      expect(read.values).toEqual(weight.values);
    },
  );

  test.each(cases.filter(([, form]) => !isWhole(form)))(
    "%s: rewriting leaves it alone",
    async (_, form, example) => {
      const weight = draw(form, example);
      const model = modelOf(weight);
      const [rows] = weight.shape;
      const x = Float32Array.from({ length: 2 * rows }, (_, i) => i / 7);
      const feeds = { x: tensor("float32", [2, rows], x) };
      const before = await outputsOf(concat(writeModel(model)), feeds);
      const rewritten = cloneModel(model);
      rewrite(rewritten);
      if (weight.shape.length === 2) {
        expect(essence(readBack(rewritten, 2))).toEqual(essence(weight));
      }
      const after = await outputsOf(concat(writeModel(rewritten)), feeds);
      // The engine may round what it multiplies int8 weights by.
      expect(relativeError(before, after)).toBeLessThan(form.isInteger ? 0.02 : 1e-6);
    },
  );
});

test("small parts stay in 16 bits, or without their zeros", () => {
  const monarch = forms.find(({ kind }) => kind === "monarch")!;
  const halves = Float32Array.from({ length: 256 }, (_, i) => (i - 100) / 64);
  const sparse = Float32Array.from({ length: 256 }, (_, i) => (i % 16 === 3 ? i / 3 : 0));
  const weight = composed(monarch, [64, 32], {
    left: leaf(halves, [4, 16, 4], "float16"),
    right: leaf(sparse.subarray(0, 128), [4, 4, 8]),
  });
  const model = modelOf(weight);
  const bytes = concat(writeModel(model)).length;
  const unpacking = (one: Model): string[] =>
    one.graph.sorted().flatMap(({ op }) => (op === "Reshape" ? [] : [op]));
  const reread = readModel(concat(writeModel(model)), { name: "small" });
  inferModel(reread);
  rewrite(reread);
  expect(unpacking(reread)).toEqual(unpacking(model));
  expect(concat(writeModel(reread)).length).toBeLessThanOrEqual(bytes);
});

test("thetas that are equal by chance stay two", () => {
  const form = forms.find(({ kind }) => kind === "kronecker")!;
  const graph = new Graph("twins");
  const g = build(graph);
  const x = graph.addInput("x", "float32", [2, 6]);
  const twin = (): FloatWeight => {
    const a = leaf(
      Float32Array.from({ length: 4 }, (_, i) => i + 1),
      [2, 2, 1],
    );
    const b = leaf(
      Float32Array.from({ length: 6 }, (_, i) => i - 2),
      [1, 3, 2],
    );
    return composed(form, [6, 4], { a, b });
  };
  const y = g.Add(g.MatMul(x, expand(g, twin())), g.MatMul(x, expand(g, twin())));
  graph.setOutputs([y]);
  const model = createModel(graph, 21);
  rewrite(model);
  const stored = weightsOf(model).map(({ value }) => (readWeight(value) as Composed).theta);
  expect(stored).toHaveLength(2);
  expect(stored[0].a.at).not.toBe(stored[1].a.at);
  expect(stored[0].b.at).not.toBe(stored[1].b.at);
});

test("an If body finds the weight that the main graph computes", () => {
  const form = forms.find(({ kind }) => kind === "kronecker")!;
  const model = modelOf(draw(form, 0));
  const { graph } = model;
  const [{ value, node }] = weightsOf(model);
  const body = new Graph("then");
  const inside = build(body);
  const product = inside.MatMul(node.inputs[0], value);
  body.setOutputs([product]);
  const other = new Graph("else");
  other.setOutputs([build(other).MatMul(node.inputs[0], value)]);
  const condition = graph.addInput("c", "bool", []);
  const chosen = graph.add("If", [condition], {
    attributes: {
      then_branch: { type: "graph", value: body },
      else_branch: { type: "graph", value: other },
    },
  });
  graph.replace(node.output, chosen.output);
  graph.remove(node);
  inferModel(model);
  const found = weightsOf(model);
  expect(found.map(({ node: reader }) => reader.graph.name).sort()).toEqual(["else", "then"]);
  for (const use of found) expect(readWeight(use.value)?.form?.kind).toBe("kronecker");
});

describe("no form is seen where there is none", () => {
  test.each(realModels.filter(({ path }) => path).map((model) => [model.name, model] as const))(
    "%s",
    (name, { path }) => {
      const model = readModel(readFileSync(path as string), { name });
      inferModel(model);
      const kinds = weightsOf(model).map(({ value }) => readWeight(value)?.form?.kind ?? null);
      expect(kinds.filter(Boolean)).toEqual([]);
    },
    30_000,
  );
});
