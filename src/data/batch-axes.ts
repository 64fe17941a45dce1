/** @file Along which axis of each input the records of a batch lie, by the declared axes. */
import type { Port } from "../runtime/runtime.ts";
import type { Feeding } from "./feed.ts";
import { known } from "./reader.ts";

/** The axis of the records in each input; null where an input has none, such as a scalar. */
export type BatchAxes = ReadonlyMap<string, number | null>;

/**
 * The axis of the records in each input. That of an input is the first, unless `feeding` says
 * otherwise or the axes' names do: a state [2,N,64] beside x [N,80] has N as its second axis, and
 * lengths [1] beside x [N,80] have none, as they are the same for all records of a run. Where the
 * model fixes its batch, it is the size that all inputs of two axes or more share.
 */
export function batchAxes(ports: readonly Port[], feeding: Feeding = new Map()): BatchAxes {
  const given = new Map(
    ports.flatMap(({ name }) => {
      const feed = feeding.get(name);
      return typeof feed === "object" && "axis" in feed ? [[name, feed.axis] as const] : [];
    }),
  );
  const symbol = symbolOf(ports, given);
  const isFree = symbol !== null || ports.some(({ dims }) => isOpen(dims[0]) && dims.length > 0);
  const fixed = isFree ? null : fixedSize(ports);
  const axisOf = ({ name, dims, isOpenRank }: Port): number | null => {
    const own = given.get(name);
    if (own !== undefined) return own;
    if (isOpenRank) return 0;
    if (dims.length === 0) return null;
    const at = dims.indexOf((isFree ? symbol : fixed) ?? Number.NaN);
    if (at >= 0) return at;
    return isOpen(dims[0]) ? 0 : null;
  };
  return new Map(ports.map((port) => [port.name, axisOf(port)]));
}

const isOpen = (dim: number | string | undefined): boolean => known(dim) === undefined;

/** The name of the batch axis: that of a given axis, else the first one of an input of matrices. */
function symbolOf(ports: readonly Port[], given: ReadonlyMap<string, number>): string | null {
  const said = ports.map(({ name, dims }) => dims[given.get(name) ?? -1]);
  const first = ports.filter(({ name, dims }) => dims.length > 1 && !given.has(name));
  const vectors = first.length > 0 ? [] : ports.filter(({ dims }) => dims.length === 1);
  const dims = [...said, ...[...first, ...vectors].map(({ dims }) => dims[0])];
  return dims.find((dim): dim is string => typeof dim === "string" && dim !== "") ?? null;
}

/** The first axis that is a size of all inputs with two axes or more, else that of the first. */
function fixedSize(ports: readonly Port[]): number | null {
  const matrices = ports.filter(({ dims }) => dims.length > 1);
  const shared = matrices.find(({ dims: [size] }) =>
    matrices.every(({ dims }) => dims.includes(size)),
  );
  const [first] = [shared, ...matrices, ...ports].filter((port) => port && port.dims.length > 0);
  return known(first?.dims[0]) ?? null;
}
