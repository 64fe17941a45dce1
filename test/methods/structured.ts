/** @file Shared by tests of structured matrices: projects a matrix by a method, and measures errors. */
import type { MethodId } from "../../src/methods/index.ts";
import { createRandom } from "../../src/numeric/random.ts";
import type { Composed } from "../../src/weights/weight.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const env = environmentOf(nets[0]);

/** Normal numbers of a stream of the seed's. */
export function normals(seed: number): (size: number) => Float32Array {
  const random = createRandom(seed);
  return (size) => Float32Array.from({ length: size }, random.normal);
}

/** The weight that the method puts in the place of w [rows, columns], in the layer y = x w. */
export async function project(
  method: MethodId,
  w: Float32Array,
  [rows, columns]: readonly [number, number],
  options: Readonly<Record<string, unknown>>,
): Promise<Composed> {
  const model = layerModel(["N", rows], (g, x) =>
    g.MatMul(x, g.constant(w, { shape: [rows, columns] })),
  );
  const { model: product, skipped } = await apply(model, method, options, env);
  if (skipped.length > 0) throw new Error(skipped[0].reason);
  return weightsIn(product)[0].weight as Composed;
}

/** The sum of squares. */
export const power = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, w) => sum + w * w, 0);

/** |a - b|^2 / |a|^2. */
export const errorOf = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  power(Array.from(a, (x, i) => x - b[i])) / power(a);

/** How many numbers the learning parts of a weight hold. */
export const storedIn = ({ form, theta }: Composed): number =>
  Object.entries(form.theta).reduce(
    (sum, [name, { learns }]) => sum + (learns ? theta[name].values.length : 0),
    0,
  );
