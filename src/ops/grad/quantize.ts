/** @file Straight-through gradients of a QuantizeLinear -> DequantizeLinear pair. */
import { axisOf, type GradRules, mask, rankOf, unsupported } from "./rule.ts";

export const quantization = {
  // A gradient on quantized values counts in real units: the pair acts as y = x.
  // No gradient for the scale yet: asking for one is an error.
  DequantizeLinear: (_, dy) => [dy, null, null],
  // dx = dy where x did not saturate, that is, where it is off by less than a step.
  QuantizeLinear: (g, dy, node) => {
    const [x, scale, zero] = node.inputs;
    if (node.int("block_size", 0) > 0) throw unsupported(node, "blocks");
    const axis = node.int("axis", 1);
    const restored = g.DequantizeLinear(node.output, scale, zero, { axis });
    const rank = rankOf(x, node);
    const after = new Array<number>(Math.max(0, rank - axisOf(axis, rank) - 1)).fill(1);
    const isPerAxis = rankOf(scale, node) === 1 && scale.shape?.[0] !== 1;
    const step = isPerAxis ? g.Reshape(scale, g.ints([-1, ...after], "shape")) : scale;
    const isInside = g.Less(g.Abs(g.Sub(x, restored)), step);
    return [g.Mul(dy, mask(g, isInside, dy)), null, null];
  },
} satisfies GradRules;
