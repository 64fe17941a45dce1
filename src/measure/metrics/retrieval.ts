/** @file Retrieval: whether embeddings keep the neighbours that the original's have. */
import { z } from "zod";
import { dtypes } from "../../ir/dtype.ts";
import { shareOfSums } from "../../numeric/statistics.ts";
import { shapesOf } from "../task.ts";
import { defineMetric, type Judge, type Numbers, type Verdict } from "./spec.ts";

/** Embeddings that are compared with each other; further records are left out. */
const MOST = 2000;

export const retrieval = defineMetric({
  id: "retrieval",
  title: "Retrieval",
  doc: `Recall at k: for each record, the percent of the k records that are nearest to it by the original's embeddings which are also among the k nearest by this model's; nearness is the cosine. The mean cosine of a record's two embeddings is told beside it. At most ${MOST.toLocaleString("en")} records, and never more than half of them as neighbours.`,
  higherIsBetter: true,
  unit: { value: "%", drop: "points" },
  // Neighbours at about equal distances change places for nothing.
  scale: { point: 1, collapse: 25 },
  needs: "original",
  reads: { outputs: "embeddings [N, D]", label: "none" },
  options: z.object({
    k: z.int().min(1).default(10).meta({ description: "How many neighbours." }),
  }),
  fits({ records, outputs }, { k }) {
    const vectors = Object.entries(outputs).filter(
      ([, { dtype, size }]) => dtypes[dtype].kind === "float" && size > records,
    );
    const flat = vectors.find(([, { shape }]) => shape.slice(1).filter((d) => d > 1).length === 1);
    const [output, found] = flat ?? vectors[0] ?? [];
    if (output === undefined || !found) return `no output is an embedding: ${shapesOf(outputs)}`;
    return {
      outputs: [output],
      against: "original",
      note: `the neighbours of embeddings ${output} [${found.shape.slice(1)}]`,
      judge: () => judgeNeighbours(output, k),
    };
  },
});

function judgeNeighbours(output: string, wanted: number): Judge {
  const own: Numbers[] = [];
  const before: Numbers[] = [];
  let seen = 0;
  let broken = 0;
  return {
    add({ outputs, original }) {
      const other = original?.[output]?.values;
      if (!other) return false;
      const { values } = outputs[output];
      const isBroken = !values.every(Number.isFinite);
      seen++;
      if (isBroken) broken++;
      if (own.length < MOST) {
        own.push(unit(values));
        before.push(unit(other));
      }
      return isBroken;
    },
    finish(): Verdict {
      const n = own.length;
      const k = Math.max(1, Math.min(wanted, Math.floor((n - 1) / 2)));
      const found = neighbours(own, k);
      const expected = neighbours(before, k);
      const kept = found.map((list, i) => list.filter((j) => expected[i].includes(j)).length / k);
      const moved = found.filter((list, i) => list[0] !== expected[i][0]).length;
      const cosine = own.reduce((sum, x, i) => sum + dot(x, before[i]), 0) / n;
      const { value, ci95 } = shareOfSums(kept, new Float64Array(n).fill(1));
      const few = n < 3 ? [`${n} records have no neighbours to choose from: give more`] : [];
      const cut = k < wanted ? [`recall is taken at ${k} of ${n} records, not at ${wanted}`] : [];
      return {
        value: 100 * value,
        ci95: ci95 && [100 * ci95[0], 100 * ci95[1]],
        dropCi95: ci95 && [100 - 100 * ci95[1], 100 - 100 * ci95[0]],
        flips: (100 * moved) / n,
        words: `recall at ${k}; mean cosine ${cosine.toFixed(4)}; another nearest neighbour for ${moved} of ${n}`,
        predictions: seen,
        broken,
        warnings: n < 3 ? few : cut,
      };
    },
  };
}

/** The vector with length 1; zeros where it has none. */
function unit(values: Numbers): Float32Array {
  const length = Math.sqrt(dot(values, values));
  return Float32Array.from(values, (x) => (length > 0 && length < Infinity ? x / length : 0));
}

function dot(x: Numbers, y: Numbers): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i] * y[i];
  return sum;
}

/** For each unit vector the k others with the largest cosine, the nearest first. */
export function neighbours(vectors: readonly Numbers[], k: number): number[][] {
  return vectors.map((x, i) => {
    const best: { j: number; cosine: number }[] = [];
    for (let j = 0; j < vectors.length; j++) {
      if (j === i) continue;
      const cosine = dot(x, vectors[j]);
      if (best.length === k && cosine <= best[k - 1].cosine) continue;
      let at = best.length;
      while (at > 0 && best[at - 1].cosine < cosine) at--;
      best.splice(at, 0, { j, cosine });
      if (best.length > k) best.pop();
    }
    return best.map(({ j }) => j);
  });
}
