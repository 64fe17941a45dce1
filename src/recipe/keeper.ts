/** @file Keeper: holds the measured original between calls, so that only the products are measured. */
import { assessBaseline, type Baseline, type BaselineOptions } from "./assess.ts";
import type { Environment } from "./environment.ts";
import type { Loaded } from "./load.ts";

/**
 * Holds the original that was measured last, with its engines open. Pass one keeper to several calls
 * on one model (`Settings.keeper`), one after the other: the original is measured anew only where
 * the model, the files of the data or a setting changed. Data without files (modules, records in
 * code) are told apart by their names only.
 */
export interface Keeper {
  /** For the library: the baseline held under `key`, bound to `env`, else the one that `assess` makes. */
  baseline(key: string, env: Environment, assess: () => Promise<Baseline>): Promise<Baseline>;
  /** Forgets the original and closes its engines. */
  close(): Promise<void>;
}

export function createKeeper(): Keeper {
  let held: { readonly key: string; readonly baseline: Baseline } | null = null;
  const close = async (): Promise<void> => {
    const old = held;
    held = null;
    await old?.baseline.close();
  };
  return {
    close,
    async baseline(key, env, assess) {
      if (held?.key !== key) {
        await close();
        held = { key, baseline: await assess() };
      }
      // The signal and the listener are those of this call; the keeper closes the sessions.
      return { ...held.baseline, env, close: async () => {} };
    },
  };
}

/** A keeper, and what has to be the same for its baseline to count. */
export interface Kept {
  readonly keeper: Keeper;
  readonly key: string;
}

/** The baseline that is kept, else a new one, which is kept. */
export function baselineFor(
  loaded: Loaded,
  env: Environment,
  options: BaselineOptions,
  kept: Kept | null,
): Promise<Baseline> {
  const assess = () => assessBaseline(loaded, env, options);
  return kept ? kept.keeper.baseline(kept.key, env, assess) : assess();
}
