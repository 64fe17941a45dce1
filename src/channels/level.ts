/** @file The constant that a channel is filled with, where it carries no information. */
import type { Value } from "../ir/graph.ts";
import { constantValue } from "../ops/constant.ts";
import { take } from "../ops/coupling/remove.ts";
import type { Unit } from "../ops/coupling.ts";
import { type Level, levelRuleOf } from "../ops/levels.ts";
import { weightRole } from "../ops/weights.ts";

/**
 * What a unit's channels are filled with in each value: the constants of dead filters, carried
 * through what follows them. Exact but for rounding, unless `isGuess` lets means pass for constants.
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

/** The one number that a constant holds where the unit cuts it (along `only`), or everywhere. */
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
