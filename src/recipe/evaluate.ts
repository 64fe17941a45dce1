/** @file Evaluate: a model's score on data, alone or compared with the original it came from. */
import { type Result, untimed } from "../measure/measurement.ts";
import { assess, packedOf } from "./assess.ts";
import type { Environment } from "./environment.ts";
import { baselineFor, type Kept } from "./keeper.ts";
import type { Loaded } from "./load.ts";

/**
 * Measures `loaded` on `env.data`, compared with `against` where that is given. Without it, the
 * fields that compare (baseline, drop, flips, KL, SQNR, speed-up) are null. `env` has to be prepared for
 * `against`, or for `loaded` where there is no `against`. Throws TersorError "implausible-baseline"
 * when the original, or the model alone, scores no better than chance.
 */
export async function evaluate(
  loaded: Loaded,
  env: Environment,
  against: Loaded | null = null,
  kept: Kept | null = null,
): Promise<Result> {
  const baseline = await baselineFor(against ?? loaded, env, {}, kept);
  try {
    const { result } = baseline;
    if (!against) {
      // What is judged against the original's outputs says nothing of a model alone.
      const metric = result.metric?.against === "original" ? null : result.metric;
      const alone = { baseline: null, drop: null, flips: null, kl: null, sqnr: null };
      return {
        ...result,
        recipe: loaded.name,
        metric: metric && { ...metric, ...alone },
        delta: untimed,
      };
    }
    return await assess(baseline, {
      recipe: loaded.name,
      family: "control",
      file: loaded.name,
      source: loaded.source,
      packed: packedOf(loaded),
      model: loaded.model,
      isFromSimplified: false,
      training: null,
      ease: { data: "none", training: false, seconds: 0, covered: 0 },
      skipped: [],
      warnings: [],
    });
  } finally {
    await baseline.close();
  }
}
