/** @file Multiplies a stream by a matrix: x' = x A for all of its values, in the weights around it. */
import type { Node } from "../ir/graph.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { multiplyTransposed, transpose } from "../numeric/matrix.ts";
import { build } from "../ops/builder.ts";
import { inferNode } from "../ops/infer.ts";
import { sizeInputOf } from "../ops/last-axis.ts";
import { type Norm, normOf } from "../ops/norms.ts";
import { sweepFrom } from "../rewrite/drop-dead.ts";
import { changeConstant } from "./rescale.ts";
import { shiftOutputs } from "./shift.ts";
import { readDirectly, type Slot, type Source, type Stream, type StreamReader } from "./stream.ts";

/** What a stream is multiplied by. */
export interface Turn {
  /** A^T [width, block]: what makes features is multiplied by A. */
  readonly make: Float64Array;
  /** R [width, block] with x = x' R, or near it, for each source that layers read. */
  readonly read: (from: Source) => Float64Array;
}

/**
 * Turns a stream, in place. If `make` has fewer rows than the stream has features, these have to be
 * all features of its values (no heads), and types have to be inferred again afterwards.
 */
export function turnStream(stream: Stream, { make, read }: Turn): void {
  const { block } = stream;
  const width = make.length / block;
  for (const norm of new Set(stream.norms.flatMap(({ norm }) => norm ?? []))) {
    plainNorm(norm, stream, make, width);
  }
  for (const reader of stream.readers) {
    const scaled = withGain(reader);
    setTensor(reader, turned(scaled, reader.fromEnd, read(reader.from), block));
  }
  for (const slot of stream.constants) {
    const old = tensorOf(slot);
    const last = old.shape.at(-1) ?? 1;
    const features = slot.node.output.shape?.at(-1) as number;
    const whole = slot.fromEnd === 1 && last === 1 && features > 1 ? spread(old, features) : old;
    setTensor(slot, turned(whole, slot.fromEnd, make, block));
  }
  for (const { node, x } of stream.gains) {
    node.graph.replace(node.output, x);
    sweepFrom(node);
  }
  if (width !== block) resize(stream, width);
  // Errors by layer compare values of one name, and these have changed.
  for (const value of stream.values) if (!value.name.endsWith("_turned")) value.name += "_turned";
}

const tensorOf = ({ node, index }: Slot): Tensor => node.inputs[index]?.tensor as Tensor;

function setTensor({ node, index }: Slot, by: Tensor): void {
  changeConstant(node, index, by);
}

/** A tensor whose runs of `block` along an axis are multiplied by m [width, block]. */
export function turned(old: Tensor, fromEnd: 1 | 2, m: Float64Array, block: number): Tensor {
  const width = m.length / block;
  const { shape } = old;
  const axis = shape.length - fromEnd;
  const features = shape[axis];
  const values = Float64Array.from(old.numbers());
  const others = values.length / features;
  const rows = fromEnd === 1 ? values : transpose(values, features, others);
  const product = multiplyTransposed(rows, m, rows.length / block, width, block);
  const wide = (features / block) * width;
  const result = fromEnd === 1 ? product : transpose(product, others, wide);
  return tensor("float32", shape.with(axis, wide), Float32Array.from(result));
}

/** The weight of a reader with what has multiplied its inputs so far. */
export function withGain(reader: StreamReader): Tensor {
  const old = tensorOf(reader);
  const { gain, fromEnd } = reader;
  if (!gain) return old;
  const [, columns] = old.shape;
  const values = old.floats().map((w, i) => {
    const feature = fromEnd === 1 ? i % columns : Math.floor(i / columns);
    return w * gain[feature % gain.length];
  });
  return tensor("float32", old.shape, values);
}

/** A constant that is broadcast along the last axis, with all of its features. */
function spread(old: Tensor, features: number): Tensor {
  const values = old.floats();
  const shape = old.shape.length === 0 ? [features] : old.shape.with(-1, features);
  const all = Float32Array.from(
    { length: values.length * features },
    (_, i) => values[Math.floor(i / features)],
  );
  return tensor("float32", shape, all);
}

/**
 * A normalization without scale. Its shift goes into the biases of the layers that read it, or, where
 * other nodes stand in between, stays as (shift / scale) A: scale n + shift = scale (n + shift / scale).
 */
function plainNorm(norm: Node, stream: Stream, make: Float64Array, width: number): void {
  const { scale, shift } = normOf(norm) as Norm;
  const gamma = Float64Array.from(norm.inputs[scale]?.tensor?.numbers() ?? []);
  const beta = shift === undefined ? null : (norm.inputs[shift]?.tensor ?? null);
  const features = gamma.length;
  if (beta && readDirectly(stream, norm)) {
    const b = beta.numbers();
    for (const reader of stream.readers.filter(({ from }) => from.norm === norm)) {
      const w = tensorOf(reader);
      const outputs = w.size / features;
      const sums = new Float64Array(outputs);
      for (const [i, x] of w.floats().entries()) {
        const [row, column] = [Math.floor(i / w.shape[1]), i % w.shape[1]];
        if (reader.fromEnd === 1) sums[row] += x * b[column];
        else sums[column] += x * b[row];
      }
      shiftOutputs(reader.node, sums, "float32");
    }
    // Left out, not empty: ONNX Runtime 1.30 ends the process at an empty one.
    norm.setInputs(norm.inputs.slice(0, shift));
  } else if (beta) {
    const b = beta.numbers();
    const ratio = tensor(
      "float32",
      [features],
      gamma.map((g, i) => (b[i] === 0 ? 0 : b[i] / g)),
    );
    changeConstant(norm, shift as number, turned(ratio, 1, make, features));
  }
  // A variance over fewer features stands for one over all: those that are cut are zeros.
  const size = Math.sqrt(features / width);
  changeConstant(norm, scale, tensor("float32", [width], new Float32Array(width).fill(size)));
  if (width !== features) {
    const epsilon = norm.float("epsilon", 1e-5);
    norm.set("epsilon", { type: "float", value: (epsilon * features) / width });
  }
}

/** Writes the new width wherever the stream states it. */
function resize(stream: Stream, width: number): void {
  const { block } = stream;
  for (const node of stream.carriers) {
    const index = sizeInputOf(node);
    const sizes = index === null ? null : node.inputs[index]?.tensor;
    if (sizes?.numbers()[sizes.size - 1] !== block) continue;
    const all = Array.from(sizes.numbers()).with(-1, width);
    node.setInput(index as number, build(node.graph, node.name).ints(all, "shape"));
  }
  // Means over fewer features stand for means over all of them: the features that are cut are zeros.
  for (const mean of stream.means) {
    const g = build(mean.graph, mean.name, inferNode);
    const scaled = g.Mul(mean.output, g.constant(width / block));
    mean.graph.replace(mean.output, scaled);
    scaled.producer?.setInput(0, mean.output);
  }
  for (const value of stream.values) value.shape = value.shape?.with(-1, width) ?? null;
}

/** Whether all that states the width of the stream can state another one; else the reason why not. */
export function whyFixedWidth(stream: Stream): string | null {
  const { block, sized, carriers, values } = stream;
  const [first] = sized;
  if (first) return `${first.name} (${first.op}) reads the size of its features`;
  for (const value of values) {
    if (value.shape?.at(-1) !== block) return `${value.name} holds more than its features`;
  }
  for (const node of carriers) {
    const index = sizeInputOf(node);
    if (index === null) continue;
    const sizes = node.inputs[index]?.tensor;
    const last = sizes?.numbers()[sizes.size - 1];
    if (last !== block && last !== 1) return `${node.name} (${node.op}) computes its size`;
  }
  return null;
}
