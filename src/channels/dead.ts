/** @file Dead channels: those that nobody reads, or that carry a constant a bias can hold. */
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

/** What a weight is multiplied with. */
export function dataOf({ sink, part }: Reader): Value | null {
  const other = sink.sides.find(({ value }) => value !== part?.use.value)?.value;
  return other ?? sink.node.inputs[0];
}

export interface Vitality {
  /** Removing the unit changes nothing, once `constants` are in the biases. */
  readonly isDead: boolean;
  /** Readers whose weights for the unit are all zero. */
  readonly ignored: readonly Reader[];
  /** What the unit gives its readers all the time, where that is not zero. */
  readonly constants: ReadonlyMap<Reader, number>;
}

/** For each unit. */
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
    // Only what some layer makes of nothing can be constant.
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
 * Whether a vector over the layer's outputs can stand for an input channel. Under a stride a
 * transposed convolution gives each output another part of its kernel.
 */
export function canAbsorb({ use, weight }: Part): boolean {
  const kind = linearOf(use.node)?.kind;
  const isRight = use.index === 1 && weight.shape.length === 2;
  return kind === "conv" || (kind === "product" && isRight);
}

/** Padding cuts what a constant channel adds at the rim. */
function isUniform(node: Node): boolean {
  const isPadded = node.ints("pads")?.some((pad) => pad !== 0) ?? false;
  return !isPadded && ["NOTSET", "VALID"].includes(node.text("auto_pad", "NOTSET"));
}
