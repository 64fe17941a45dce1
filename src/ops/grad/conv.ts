/** @file Gradients of convolutions and transposed convolutions, in any number of dimensions. */
import type { Node } from "../../ir/graph.ts";
import { padding, transposedAxis, windowOf } from "../window.ts";
import { endsOf, type Geometry } from "./conv-geometry.ts";
import { inputForms } from "./conv-input.ts";
import { weightForms } from "./conv-weight.ts";
import { type GradNode, type GradRules, rankOf, sizesOf, sumPerChannel } from "./rule.ts";

const batchOf = ({ inputs: [x] }: Node): number | null => {
  const size = x?.shape?.[0];
  return typeof size === "number" ? size : null;
};

/**
 * The sizes of a Conv with its padding resolved. Throws TersorError "no-gradient"
 * for unknown sizes.
 */
export function geometryOf(node: GradNode): Geometry {
  const [x, w] = node.inputs;
  const [filters, depth, ...kernel] = sizesOf(w, node);
  const window = windowOf(node, kernel);
  const sides = sizesOf(x, node, 2);
  const pads = sides.map((dim, axis) => padding(window, axis, dim));
  const { strides, dilations } = window;
  return {
    batch: batchOf(node),
    filters,
    depth,
    kernel,
    strides,
    dilations,
    group: node.int("group", 1),
    sides,
    output: sizesOf(node.output, node, 2),
    begins: pads.map(([begin]) => begin),
  };
}

export const convolutions = {
  // y[m] = sum x * w[m] + b[m]: dx and dw by their chosen forms, db[m] = sum dy[m]
  Conv: (g, dy, node, forms) => {
    const [x, w, b] = node.inputs;
    const geometry = geometryOf(node);
    return [
      inputForms[forms.input(geometry)].make(g, dy, w, geometry),
      weightForms[forms.weight(geometry)].make(g, x, dy, geometry),
      b ? sumPerChannel(g, dy, rankOf(x, node)) : null,
    ];
  },
  // The adjoint of a convolution from y to x with the same weight, so x and dy change roles.
  ConvTranspose: (g, dy, node, forms) => {
    const [x, w, b] = node.inputs;
    const [filters, depth, ...kernel] = sizesOf(w, node);
    const window = windowOf(node, kernel);
    const input = sizesOf(x, node, 2);
    const geometry: Geometry = {
      batch: batchOf(node),
      filters,
      depth,
      kernel,
      strides: window.strides,
      dilations: window.dilations,
      group: node.int("group", 1),
      sides: sizesOf(node.output, node, 2),
      output: input,
      begins: input.map((dim, axis) => transposedAxis(node, window, axis, dim).begin),
    };
    const { group, strides, dilations, begins } = geometry;
    // No window reaches the output padding, and the convolution leaves it over by itself.
    const ends = endsOf(geometry).map((end) => Math.max(end, 0));
    const attributes = { kernel_shape: kernel, strides, dilations, group };
    return [
      g.Conv(dy, w, { ...attributes, pads: [...begins, ...ends] }),
      weightForms[forms.weight(geometry)].make(g, dy, x, geometry),
      b ? sumPerChannel(g, dy, rankOf(x, node)) : null,
    ];
  },
} satisfies GradRules;
