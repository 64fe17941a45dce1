/** @file Parses the equation of an Einsum into subscripts. */

/**
 * The subscripts of each input and of the output. "..." is expanded to numbered axes ".0", ".1", by
 * the ranks of the inputs. Without "->" the output has the axes of "...", then all subscripts that
 * occur once, in alphabetical order, as in NumPy.
 */
export function parseEinsum(
  equation: string,
  ranks: readonly number[],
): { inputs: string[][]; output: string[] } {
  const [left, right] = equation.replaceAll(" ", "").split("->");
  const terms = left.split(",");
  const extra = Math.max(
    0,
    ...terms.map((term, i) => (term.includes("...") ? ranks[i] - term.length + 3 : 0)),
  );
  const axes = (term: string, count: number): string[] => {
    const at = term.indexOf("...");
    if (at < 0) return [...term];
    const dots = Array.from({ length: count }, (_, i) => `.${extra - count + i}`);
    return [...term.slice(0, at), ...dots, ...term.slice(at + 3)];
  };
  const inputs = terms.map((term, i) => axes(term, ranks[i] - term.length + 3));
  if (right !== undefined) return { inputs, output: axes(right, extra) };
  const all = inputs.flat();
  const once = [...new Set(all)].filter((axis) => all.indexOf(axis) === all.lastIndexOf(axis));
  const dots = [...new Set(all.filter((axis) => axis[0] === "."))].sort();
  return { inputs, output: [...dots, ...once.filter((axis) => axis[0] !== ".").sort()] };
}
