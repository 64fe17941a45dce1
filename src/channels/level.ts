/** @file Levels of a unit: the constant that fills its channels, where there is one. */
import type { Value } from "../ir/graph.ts";
import { constantValue } from "../ops/constant.ts";
import { take } from "../ops/coupling/remove.ts";
import type { Unit } from "../ops/coupling.ts";
import { type Level, levelRuleOf } from "../ops/levels.ts";
import { weightRole } from "../ops/weights.ts";

/**
 * A function that gives, for a value, the constant that fills the unit's channels in it; null where
 * they vary. Constants of layers with zero weights and of normalizations are carried through the
 * operators that follow, by the rules of ops/levels.ts. The result is exact but for rounding; with
 * `isGuess` the mean of a normalized channel passes for a constant.
 */
export function levelsOf(unit: Unit, isGuess = false): (value: Value) => Level {
  const memo = new Map<Value, Level>();
  const level = (value: Value): Level => {
    const known = memo.get(value);
    if (known !== undefined) return known;
    memo.set(value, null);
    const found = ofConstant(unit, value, null) ?? ofNode(value);
    memo.set(value, found);
    return found;
  };
  const ofNode = (value: Value): Level => {
    const node = value.producer;
    const rule = node && levelRuleOf(node);
    if (!node || !rule || node.output !== value) return null;
    const row = (index: number): Level => {
      const input = node.inputs[index];
      return input ? ofConstant(unit, input, weightRole(node, index)?.outputAxis ?? null) : null;
    };
    const levels = node.inputs.map((input) => input && level(input));
    return rule(node, levels, { row, isGuess });
  };
  return level;
}

/**
 * The number that fills a constant at the unit's indices; null if the elements differ or the value
 * is no constant. `only` restricts the cut to one axis (the rows of a weight that make the unit).
 */
function ofConstant(unit: Unit, value: Value, only: number | null): Level {
  const folded = constantValue(value);
  if (!folded) return null;
  const part = unit.members
    .filter((member) => member.value === value && (only === null || member.axis === only))
    .reduce((rest, { axis, indices }) => take(rest, axis, indices), folded);
  const numbers = part.numbers();
  for (let i = 1; i < numbers.length; i++) if (numbers[i] !== numbers[0]) return null;
  return numbers[0] ?? null;
}
