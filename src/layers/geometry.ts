/** @file Stride, padding and dilation of a stage that replaces a convolution along some axes. */
import type { Attribute, Attributes } from "../ir/attribute.ts";
import { padding, type Window, windowOf } from "../ops/window.ts";
import type { Outline, Placed } from "./chain.ts";
import { inputOf, type Layer } from "./matrix.ts";

export interface Geometry {
  /** Attributes of the stage's Conv node. */
  readonly attributes: Attributes;
  /**
   * What has to be cut off the input first, begins, then ends, because Conv takes no negative
   * padding. Null: nothing.
   */
  readonly crop: readonly number[] | null;
}

/**
 * The geometry of one stage. Along an axis that it owns, where the layer has kernel k, stride s,
 * dilation d and padding (b, e), the stage's kernel k' lies in the middle of the layer's window, o
 * = (k - k') / 2 taps behind its start. It has stride s, dilation d and padding
 *   (b - o d, e - (k - k' - o) d)
 * and gives as many positions as the layer. Along any other axis it has stride 1, dilation 1 and k'
 * - 1 zeros around the input, and keeps its size.
 *
 * Returns a reason if auto_pad makes (b, e) depend on a size that is not known.
 */
export function geometryOf(layer: Layer, stage: Placed<Outline>): Geometry | string {
  const { node, kernel } = layer;
  const own = stage.shape.slice(2);
  const owns = kernel.map((_, axis) => stage.axes.includes(axis));
  const window = windowOf(node, kernel);
  // Then auto_pad means the same for the stage as for the layer, whatever the sizes, and can stay.
  const isWhole =
    stage.axes.length > 0 && own.every((size, axis) => size === (owns[axis] ? kernel[axis] : 1));
  const isCarried = isWhole && window.autoPad !== "NOTSET";
  const pads = paddingOf(layer, window, own, owns);
  if (!pads && !isCarried) return `pads by ${window.autoPad} along an axis of unknown size`;
  const attributes: Record<string, Attribute> = stage.axes.length > 0 ? { ...node.attributes } : {};
  // An attribute that the layer states the same way stays as it is; default values are left out.
  const set = (name: string, value: readonly number[], plain: number): void => {
    if (`${value}` === `${attributes[name]?.value}`) return;
    delete attributes[name];
    if (value.some((x) => x !== plain)) attributes[name] = { type: "ints", value };
  };
  const along = (values: readonly number[]): number[] =>
    values.map((value, axis) => (owns[axis] ? value : 1));
  set("strides", along(window.strides), 1);
  set("dilations", along(window.dilations), 1);
  if (`${own}` !== `${attributes.kernel_shape?.value}`) delete attributes.kernel_shape;
  const { groups = 1 } = stage;
  if (groups !== (attributes.group?.value ?? 1)) delete attributes.group;
  if (groups !== 1) attributes.group ??= { type: "int", value: groups };
  if (isCarried || !pads) return { attributes, crop: null };
  if (window.autoPad !== "NOTSET") delete attributes.auto_pad;
  set(
    "pads",
    pads.map((pad) => Math.max(0, pad)),
    0,
  );
  const crop = pads.map((pad) => Math.max(0, -pad));
  return { attributes, crop: crop.some((cut) => cut > 0) ? crop : null };
}

/**
 * Begins, then ends, negative where the stage reads less than the layer did. Null if they depend on
 * a size that is not known.
 */
function paddingOf(
  layer: Layer,
  window: Window,
  own: readonly number[],
  owns: readonly boolean[],
): number[] | null {
  const { kernel } = layer;
  const sizes = inputOf(layer).shape ?? [];
  const ends: number[] = [];
  const begins = own.map((size, axis) => {
    const less = (owns[axis] ? kernel[axis] : 1) - size;
    const before = Math.trunc(less / 2);
    const step = owns[axis] ? window.dilations[axis] : 1;
    // With stride 1 the padding of SAME does not depend on the size.
    const dim = window.strides[axis] === 1 ? 1 : sizes[2 + axis];
    const isOpen = window.autoPad.startsWith("SAME") && typeof dim !== "number";
    const [begin, end] = owns[axis] ? padding(window, axis, isOpen ? NaN : Number(dim)) : [0, 0];
    ends.push(end - (less - before) * step);
    return begin - before * step;
  });
  const pads = [...begins, ...ends];
  return pads.some(Number.isNaN) ? null : pads;
}
