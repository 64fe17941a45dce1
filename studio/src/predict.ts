/** @file What the original and the candidate give for one picture. */
import type { createTersor, Loaded, Tensor } from "tersor";
import type { PictureInput, Prediction, Said } from "./protocol.ts";

/** The open models, and the files that the library reads. */
interface Models {
  readonly files: Map<string, Uint8Array>;
  readonly tersor: ReturnType<typeof createTersor>;
  readonly model: Loaded;
  readonly product?: Loaded;
}

type Outputs = Readonly<Record<string, Tensor>>;

/** Where the library finds the picture, as a folder of one record. */
const folder = "studio-picture";
/** How many classes are named. */
const most = 5;

/** The picture is read as the records of the data are, if these are pictures. */
export async function predict(
  { files, tersor, model, product }: Models,
  { picture, data, seed }: PictureInput,
  signal: AbortSignal,
): Promise<Prediction> {
  files.set(`${folder}/0.png`, picture);
  const options = data?.spec.startsWith("images:") ? data.options : {};
  const settings = { data: { spec: `images:${folder}`, options }, seed, signal };
  try {
    const [before] = await tersor.predict(model, settings);
    const [after = null] = product ? await tersor.predict(product, settings) : [];
    return {
      said: { original: saidBy(before), candidate: after && saidBy(after) },
      error: after && errorOf(before, after),
    };
  } finally {
    files.delete(`${folder}/0.png`);
  }
}

/** The classes of the first output that is one list of scores; null if there is none. */
export function saidBy(outputs: Outputs): Said | null {
  const scores = Object.values(outputs).find(
    ({ dtype, shape, size }) => /float/.test(dtype) && size > 1 && shape.at(-1) === size,
  );
  if (!scores) return null;
  const shares = sharesOf(scores.floats());
  const top = [...shares.keys()].sort((a, b) => shares[b] - shares[a]).slice(0, most);
  return { top: top.map((index) => ({ index, share: shares[index] })) };
}

/** Scores as they are if they are shares already, else their softmax. */
function sharesOf(scores: Float32Array): Float32Array {
  const sum = scores.reduce((all, score) => all + score, 0);
  if (Math.abs(sum - 1) < 0.01 && scores.every((score) => score >= 0)) return scores;
  const high = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = scores.map((score) => Math.exp(score - high));
  const whole = powers.reduce((all, power) => all + power, 0);
  return powers.map((power) => power / whole);
}

/** 100 |b - a| / |a| over all outputs that both have. */
function errorOf(a: Outputs, b: Outputs): number | null {
  let [signal, noise] = [0, 0];
  for (const [name, tensor] of Object.entries(a)) {
    if (b[name]?.size !== tensor.size || tensor.strings) continue;
    const [x, y] = [tensor.floats(), b[name].floats()];
    for (let i = 0; i < x.length; i++) {
      signal += x[i] ** 2;
      noise += (y[i] - x[i]) ** 2;
    }
  }
  return signal > 0 ? 100 * Math.sqrt(noise / signal) : null;
}
