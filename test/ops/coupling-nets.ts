/** @file Random networks whose channels hang together in every way there is, and what pruning must give. */
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom, type Random } from "../../src/numeric/random.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import type { Coupling, Removal } from "../../src/ops/coupling.ts";
import { inferModel } from "../../src/ops/infer.ts";

interface Draw {
  readonly g: Builder;
  readonly random: Random;
  weight(...shape: readonly number[]): Value;
}

export interface Drawn {
  readonly model: Model;
  readonly feeds: Readonly<Record<string, Tensor>>;
}

function draw(seed: number, shape: readonly number[], body: (d: Draw, x: Value) => Value): Drawn {
  const random = createRandom(seed);
  const graph = new Graph("random");
  const x = graph.addInput("x", "float32", ["N", ...shape.slice(1)]);
  const g = build(graph, "", () => {});
  const numbers = (size: number): Float32Array =>
    Float32Array.from({ length: size }, () => random.normal());
  const weight = (...dims: readonly number[]): Value => {
    const size = dims.reduce((a, b) => a * b, 1);
    const fan = Math.max(1, size / dims[0]);
    return g.constant(
      numbers(size).map((v) => v / Math.sqrt(fan)),
      { shape: dims, name: "w" },
    );
  };
  const y = body({ g, random, weight }, x);
  y.name = "y";
  graph.setOutputs([y]);
  for (const [i, node] of graph.sorted().entries()) node.name = `${node.op}${i}`;
  const model = createModel(graph, 21);
  inferModel(model);
  y.dtype ??= "float32";
  const size = shape.reduce((a, b) => a * b, 1);
  return { model, feeds: { x: tensor("float32", shape, numbers(size)) } };
}

/** A block takes `channels` channels of a picture and gives as many. */
type Block = (d: Draw, x: Value, channels: number) => Value;

const same = { pads: [1, 1, 1, 1] };
const conv = ({ g, weight }: Draw, x: Value, from: number, to: number): Value =>
  g.Conv(x, weight(to, from, 3, 3), weight(to), same);

export const blocks = {
  plain: (d, x, c) => d.g.Relu(conv(d, conv(d, x, c, 12), 12, c)),
  residual: (d, x, c) => d.g.Add(x, conv(d, d.g.Sigmoid(conv(d, x, c, 8)), 8, c)),
  normed({ g, weight }, x, c) {
    const vector = (): Value => weight(c);
    const norm = g.BatchNormalization(x, vector(), vector(), vector(), g.Abs(vector()));
    return g.InstanceNormalization(g.HardSwish(norm), vector(), vector());
  },
  concat(d, x, c) {
    const [a, b] = [conv(d, x, c, 6), d.g.Tanh(conv(d, x, c, 10))];
    return conv(d, d.g.Concat(a, x, b, { axis: 1 }), c + 16, c);
  },
  split(d, x, c) {
    const wide = conv(d, x, c, 12);
    const sizes = d.g.ints([4, 8]);
    const [a, b] = d.g.many("Split", [wide, sizes], { outputs: 2, attributes: { axis: 1 } });
    const half = d.g.Slice(b, d.g.ints([2]), d.g.ints([6]), d.g.ints([1]));
    return d.g.Add(conv(d, d.g.Mul(a, half), 4, c), conv(d, b, 8, c));
  },
  halves(d, x, c) {
    const attributes = { axis: 1, num_outputs: 2 };
    const [a, b] = d.g.many("Split", [conv(d, x, c, 16)], { outputs: 2, attributes });
    return d.g.Add(conv(d, a, 8, c), conv(d, b, 8, c));
  },
  grouped(d, x, c) {
    const w = d.weight(12, 4, 3, 3);
    return conv(
      d,
      d.g.Relu(d.g.Conv(conv(d, x, c, 16), w, d.weight(12), { ...same, group: 4 })),
      12,
      c,
    );
  },
  depthwise(d, x, c) {
    const w = d.weight(20, 1, 3, 3);
    return conv(d, d.g.Conv(conv(d, x, c, 10), w, d.weight(20), { ...same, group: 10 }), 20, c);
  },
  shuffle(d, x, c) {
    const [g, wide] = [d.g, d.g.Concat(conv(d, x, c, 6), conv(d, x, c, 6), { axis: 1 })];
    const halves = g.Reshape(wide, g.ints([0, 2, 6, 6, 6]));
    const mixed = g.Reshape(g.Transpose(halves, { perm: [0, 2, 1, 3, 4] }), g.ints([0, -1, 6, 6]));
    return conv(d, mixed, 12, c);
  },
  gate(d, x, c) {
    const { g, weight } = d;
    const wide = conv(d, x, c, 10);
    const mean = g.Conv(g.GlobalAveragePool(wide), weight(4, 10, 1, 1));
    return conv(d, g.Mul(wide, g.HardSigmoid(g.Conv(g.Relu(mean), weight(10, 4, 1, 1)))), 10, c);
  },
  padded(d, x, c) {
    const { g } = d;
    const wide = g.Pad(conv(d, x, c, 6), g.ints([0, 1, 0, 0, 0, 3, 0, 0]), g.constant(0));
    return conv(d, g.Add(wide, conv(d, x, c, 10)), 10, c);
  },
  up(d, x, c) {
    const { g, weight } = d;
    const strides = { strides: [2, 2], kernel_shape: [2, 2] };
    const small = g.MaxPool(conv(d, x, c, 8), strides);
    return g.ConvTranspose(g.Relu(small), weight(8, c, 2, 2), weight(c), strides);
  },
  upGrouped(d, x, c) {
    const { g, weight } = d;
    return conv(
      d,
      g.ConvTranspose(conv(d, x, c, 8), weight(8, 3, 1, 1), null, { group: 4 }),
      12,
      c,
    );
  },
  pixels(d, x, c) {
    const { g } = d;
    const deep = g.SpaceToDepth(conv(d, x, c, 6), { blocksize: 2 });
    return conv(d, g.DepthToSpace(g.Relu(deep), { blocksize: 2, mode: "DCR" }), 6, c);
  },
  groupNorm(d, x, c) {
    const wide = d.g.GroupNormalization(conv(d, x, c, 12), d.weight(12), d.weight(12), {
      num_groups: 4,
    });
    return conv(d, wide, 12, c);
  },
  permuted(d, x, c) {
    const order = d.g.ints(d.random.shuffle([...Array(9).keys()]));
    return conv(d, d.g.Gather(conv(d, x, c, 9), order, { axis: 1 }), 9, c);
  },
  tiled(d, x, c) {
    return conv(d, d.g.Tile(conv(d, x, c, 5), d.g.ints([1, 3, 1, 1])), 15, c);
  },
  summed(d, x, c) {
    const energy = d.g.ReduceSumSquare(conv(d, x, c, 7), d.g.ints([1]));
    return d.g.Add(x, d.g.Mul(energy, d.weight(c, 1, 1)));
  },
} as const satisfies Record<string, Block>;

export type BlockName = keyof typeof blocks;

/** Blocks one after the other, flattened into two fully connected layers. */
export function pictureNet(seed: number, names: readonly BlockName[]): Drawn {
  return draw(seed, [2, 3, 6, 6], (d, image) => {
    const { g, weight } = d;
    let x = conv(d, image, 3, 8);
    for (const name of names) x = blocks[name](d, x, 8);
    const flat = g.Flatten(x);
    const hidden = g.Relu(g.Gemm(flat, weight(20, 8 * 36), weight(20), { transB: 1, alpha: 0.5 }));
    return g.Add(g.MatMul(hidden, weight(20, 5)), weight(5));
  });
}

/** Attention: `heads` queries share `shared` keys and values, drawn together (fused) or apart. */
export function attentionNet(seed: number, heads: number, shared: number, isFused: boolean): Drawn {
  const [size, width] = [6, 10];
  return draw(seed, [2, 5, width], ({ g, weight }, x) => {
    const parts = [heads, shared, shared].map((count) => count * size);
    const total = parts.reduce((a, b) => a + b);
    const split = (): readonly Value[] => {
      const all = g.Add(g.MatMul(x, weight(width, total)), weight(total));
      return g.many("Split", [all, g.ints(parts)], { outputs: 3, attributes: { axis: 2 } });
    };
    const apart = (): readonly Value[] =>
      parts.map((part) => g.Add(weight(part), g.MatMul(x, weight(width, part))));
    const [q, k, v] = (isFused ? split() : apart()).map((part, i) => {
      const count = i === 0 ? heads : shared;
      return g.Transpose(g.Reshape(part, g.ints([0, 0, count, size])), { perm: [0, 2, 1, 3] });
    });
    const repeat = (part: Value): Value => {
      const wide = g.Expand(
        g.Unsqueeze(part, g.ints([2])),
        g.ints([1, shared, heads / shared, 1, 1]),
      );
      return g.Reshape(wide, g.ints([0, heads, -1, size]));
    };
    const [keys, values] = heads === shared ? [k, v] : [repeat(k), repeat(v)];
    const scores = g.MatMul(q, g.Transpose(keys, { perm: [0, 1, 3, 2] }));
    const mixed = g.MatMul(g.Softmax(g.Mul(scores, g.constant(0.4))), values);
    const joined = g.Reshape(
      g.Transpose(mixed, { perm: [0, 2, 1, 3] }),
      g.ints([0, 0, heads * size]),
    );
    const y = g.LayerNormalization(
      g.Add(x, g.MatMul(joined, weight(heads * size, width))),
      weight(width),
    );
    const inner = g.Mul(g.Sigmoid(g.MatMul(y, weight(width, 14))), g.MatMul(y, weight(width, 14)));
    return g.Add(y, g.MatMul(inner, weight(14, width)));
  });
}

/** Some units of every free group, at least one left on each axis. */
export function someUnits(coupling: Coupling, random: Random, share: number): Removal[] {
  const taken = new Set<string>();
  const ids = new Map<Value, number>();
  const removals: Removal[] = [];
  for (const group of coupling.groups) {
    if (group.pinned || group.units.length < 2) continue;
    const count = Math.min(group.units.length - 1, Math.round(share * group.units.length));
    const units = random.shuffle([...group.units.keys()]).slice(0, count);
    // Head sizes and heads cut the same axes: one of them is enough to keep an axis from vanishing.
    const axes = group.units[0].members.map(({ value, axis }) => {
      if (!ids.has(value)) ids.set(value, ids.size);
      return `${ids.get(value)}.${axis}`;
    });
    if (axes.some((axis) => taken.has(axis)) && random.float() < 0.5) continue;
    for (const axis of axes) taken.add(axis);
    removals.push({ group, units });
  }
  return removals;
}

/** The reference: the dense model with zeros at every place that adds a removed channel up. */
export function zeroAtSinks(model: Model, coupling: Coupling, removals: readonly Removal[]): void {
  const gone = new Map<Value, Map<number, Set<number>>>();
  for (const { group, units } of removals) {
    for (const unit of units) {
      for (const { value, axis, indices } of group.units[unit].members) {
        const axes = gone.get(value) ?? new Map<number, Set<number>>();
        gone.set(value, axes.set(axis, new Set([...(axes.get(axis) ?? []), ...indices])));
      }
    }
  }
  for (const { node, sides } of coupling.sinks) {
    for (const { value, axis } of sides) {
      const missing = gone.get(value)?.get(axis);
      if (!missing) continue;
      const rank = value.shape?.length ?? 0;
      const size = Number(value.shape?.[axis]);
      const mask = Float32Array.from({ length: size }, (_, i) => (missing.has(i) ? 0 : 1));
      const g = build(node.graph);
      const shape = Array.from({ length: rank - axis }, (_, i) => (i === 0 ? size : 1));
      for (const [i, input] of node.inputs.entries()) {
        if (input === value) node.setInput(i, g.Mul(value, g.constant(mask, { shape })));
      }
    }
  }
  inferModel(model);
}
