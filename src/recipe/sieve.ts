/** @file Tells the records that break calibration from values that are never finite. */
import type { Tap } from "../context.ts";
import { dtypes } from "../ir/dtype.ts";
import type { Tensor } from "../ir/tensor.ts";
import { areFinite } from "../numeric/finite.ts";

/**
 * A record for which a tap is NaN or infinite is left out of all taps, since it may have spoilt
 * finite values as well (Relu makes NaN 0 in some engines). A tap that is not finite on any record of
 * the first batch, such as masked scores of attention, is no fault of the records: from then on it
 * only waits for a batch on which it is finite.
 */
export interface Sieve<T extends Tap> {
  /**
   * Whether the batch of these records is accepted, with its taps that are finite. A batch of several
   * records that is not accepted has to be divided; a single record is left out, or waits.
   */
  judge(
    records: readonly number[],
    batches: ReadonlyMap<T, Tensor>,
  ): { readonly finite: readonly T[]; readonly isAccepted: boolean };
  /** Ends the first batch. Returns the single records that waited for it, to be judged again. */
  settle(): readonly number[];
  /** The records that were left out, each with the name of a value that is not finite. */
  readonly left: ReadonlyMap<number, string>;
  /** The taps that were accepted with no record, unless nothing ran. */
  never(): readonly T[];
}

/** A sieve for one pass over the records. */
export function createSieve<T extends Tap>(taps: readonly T[]): Sieve<T> {
  const [known, accepted] = [new Set<T>(), new Set<T>()];
  const left = new Map<number, string>();
  let waiting: number[] = [];
  let isFirst = true;
  let ran = false;
  return {
    left,
    judge(records, batches) {
      ran = true;
      const finite = taps.filter((tap) => isFiniteBatch(batches.get(tap) as Tensor));
      for (const tap of finite) known.add(tap);
      const broken = taps.filter((tap) => !finite.includes(tap) && (isFirst || known.has(tap)));
      if (broken.length === 0) for (const tap of finite) accepted.add(tap);
      else if (records.length === 1) {
        const culprit = broken.find((tap) => known.has(tap));
        if (culprit) left.set(records[0], culprit.value.name);
        else waiting.push(records[0]);
      }
      return { finite, isAccepted: broken.length === 0 };
    },
    settle() {
      isFirst = false;
      const again = waiting;
      waiting = [];
      return again;
    },
    never: () => (ran ? taps.filter((tap) => !accepted.has(tap)) : []),
  };
}

const isFiniteBatch = (batch: Tensor): boolean =>
  dtypes[batch.dtype].kind !== "float" || areFinite(batch.floats());
