/** @file The sizes of a convolution, from which its gradients are made. */

/**
 * y [batch, filters, ...output] is x [batch, depth * group, ...sides] convolved with w [filters,
 * depth, ...kernel].
 */
export interface Geometry {
  /** Null where it is not known. */
  readonly batch: number | null;
  readonly filters: number;
  /** Input channels of one group. */
  readonly depth: number;
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly group: number;
  readonly sides: readonly number[];
  readonly output: readonly number[];
  /** Padding in front of each axis. */
  readonly begins: readonly number[];
}

/**
 * Padding behind the input, as far as windows reach; negative where the last window ends
 * before the input does.
 */
export function endsOf({ kernel, strides, dilations, sides, output, begins }: Geometry): number[] {
  return sides.map((dim, axis) => {
    const reach = (output[axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1;
    return reach - dim - begins[axis];
  });
}

/** Padding of a convolution with this output size: begins, then ends. */
export function padsOf(geometry: Geometry): number[] {
  return [...geometry.begins, ...endsOf(geometry).map((end) => Math.max(end, 0))];
}

export const isDepthwise = ({ depth, group, filters }: Geometry): boolean =>
  depth === 1 && group === filters && group > 1;
