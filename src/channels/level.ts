/** @file The constant that a channel is filled with, where it carries no information. */
import type { Node, Value } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";
import { constantValue } from "../ops/constant.ts";
import { take } from "../ops/coupling/remove.ts";
import type { Unit } from "../ops/coupling.ts";
import { activations } from "../ops/evaluate/activation.ts";
import { elementwise } from "../ops/evaluate/elementwise.ts";
import { evaluateNode } from "../ops/evaluate.ts";
import { weightRole } from "../ops/weights.ts";

/** Null where it varies, or nobody can tell. */
type Level = number | null;

interface Asked {
  /** What input `index` is filled with where it makes the unit's outputs. */
  row(index: number): Level;
  /** Whether a mean may stand for a constant. */
  readonly isGuess: boolean;
}

type LevelRule = (node: Node, levels: readonly Level[], asked: Asked) => Level;

/** A constant stays the same wherever it is moved, and the largest or the mean of equals is the same. */
const first: LevelRule = (_, [x]) => x;

/** f of constants is constant. */
const applied: LevelRule = (node, levels) => {
  if (node.inputs.some((input, i) => input && levels[i] === null)) return null;
  const scalars = node.inputs.map(
    (input, i) => input && tensor(input.dtype ?? "float32", [], Number(levels[i])),
  );
  return evaluateNode(node, scalars)?.[0]?.numbers()[0] ?? null;
};

/** A layer of zeros gives its bias whatever it reads. */
const layer: LevelRule = (node, levels, { row }) => {
  const isZero = node.inputs.some((_, i) => weightRole(node, i) !== null && row(i) === 0);
  if (!isZero) return null;
  return node.inputs[2] ? levels[2] : 0;
};

/** After normalization the mean is the bias. */
const normalized: LevelRule = (node, [x, scale, bias, mean, variance], { isGuess }) => {
  if (scale === 0 || (isGuess && x === null)) return bias;
  if (x === null || scale === null || bias === null || mean === null || variance === null)
    return null;
  return (scale * (x - mean)) / Math.sqrt(variance + node.float("epsilon", 1e-5)) + bias;
};

const rules: Readonly<Record<string, LevelRule>> = {
  ...Object.fromEntries(
    [...Object.keys(elementwise), ...Object.keys(activations)].map((op) => [op, applied]),
  ),
  BatchNormalization: normalized,
  Conv: layer,
  Flatten: first,
  Gemm: (node, levels, asked) =>
    node.float("alpha", 1) === 1 && node.float("beta", 1) === 1 ? layer(node, levels, asked) : null,
  GlobalAveragePool: first,
  GlobalMaxPool: first,
  Identity: first,
  MatMul: layer,
  MaxPool: first,
  Reshape: first,
  Squeeze: first,
  Transpose: first,
  Unsqueeze: first,
};

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
    const rule = node?.domain === "" && Object.hasOwn(rules, node.op) ? rules[node.op] : null;
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
