/** @file Dead channels: those that no layer reads, or whose constant value a bias can hold. */
import type { Node, Value } from "../ir/graph.ts";
import { linearOf } from "../ops/linear.ts";
import { type Candidate, eachElement, type Part, type Reader } from "./candidates.ts";
import { levelsOf } from "./level.ts";

/** Whether all weights of a part that belong to a unit are zero. */
function isZero(part: Part, unit: number, values: ArrayLike<number>): boolean {
  let zero = true;
  eachElement(part, part.indices(unit), (element) => {
    zero &&= values[element] === 0;
  });
  return zero;
}

/** The value that a reader's weight is multiplied with: the other operand of the sum. */
export function dataOf({ sink, part }: Reader): Value | null {
  const other = sink.sides.find(({ value }) => value !== part?.use.value)?.value;
  return other ?? sink.node.inputs[0];
}

/** What is known of one unit: whether it is dead, which layers ignore it, and its constants. */
export interface Vitality {
  /**
   * Whether removing the unit changes no output of the model, once `constants` are in the biases.
   */
  readonly isDead: boolean;
  /** Readers whose weights for this unit are all zero. */
  readonly ignored: readonly Reader[];
  /** The constant that the unit carries to a reader, for every record, where it is not zero. */
  readonly constants: ReadonlyMap<Reader, number>;
}

/**
 * The vitality of each unit of a group, by its index.
 *
 * A unit is dead if every reader either ignores it or reads a constant. The constant must be 0, or
 * the reader must be a layer that can take w * constant into its bias and that has no padding.
 */
export function vitalityOf({ group, makers, readers, isNormalized }: Candidate): Vitality[] {
  const zeroTest = (part: Part): ((unit: number) => boolean) => {
    const values = part.weight.numbers();
    return (unit) => isZero(part, unit, values);
  };
  const ignores = new Map(readers.map((reader) => [reader, reader.part && zeroTest(reader.part)]));
  const makesNothing = makers.map(zeroTest);
  return group.units.map((unit, index) => {
    const ignored = readers.filter((reader) => ignores.get(reader)?.(index));
    const heard = readers.filter((reader) => !ignored.includes(reader));
    const constants = new Map<Reader, number>();
    // A channel can only be constant if a layer with zero weights, or a normalization, produces it.
    if (!isNormalized && !makesNothing.some((test) => test(index))) {
      return { isDead: heard.length === 0, ignored, constants };
    }
    const level = levelsOf(unit);
    const isSilent = (reader: Reader): boolean => {
      const data = dataOf(reader);
      const constant = data && level(data);
      if (constant === null || constant === undefined) return false;
      if (constant !== 0) constants.set(reader, constant);
      return (
        constant === 0 ||
        (reader.part !== null && canAbsorb(reader.part) && isUniform(reader.sink.node))
      );
    };
    return { isDead: heard.every(isSilent), ignored, constants };
  });
}

/**
 * Whether the layer can replace an input channel by a constant vector over its outputs, so that the
 * channel's mean may go into the bias: convolutions, and products x W with a matrix W. A transposed
 * convolution cannot: with a stride, each output position sums other kernel taps.
 */
export function canAbsorb({ use, weight }: Part): boolean {
  const kind = linearOf(use.node)?.kind;
  const isRight = use.index === 1 && weight.shape.length === 2;
  return kind === "conv" || (kind === "product" && isRight);
}

/**
 * Whether every output position sums over the same kernel taps. With zero padding the outermost
 * ones do not, and a constant channel is no constant in the output.
 */
function isUniform(node: Node): boolean {
  const isPadded = node.ints("pads")?.some((pad) => pad !== 0) ?? false;
  return !isPadded && ["NOTSET", "VALID"].includes(node.text("auto_pad", "NOTSET"));
}
