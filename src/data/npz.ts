/** @file NumPy's .npz: a zip of .npy arrays, named as the model's inputs, and `label`. */
import { arrayDataset } from "./array-dataset.ts";
import type { Dataset } from "./dataset.ts";
import { readNpy } from "./npy.ts";
import type { ReadContext } from "./reader.ts";
import { openZip } from "./zip.ts";

/** Arrays written by np.savez stay in the file; those of np.savez_compressed are inflated once. */
export async function readNpz(path: string, context: ReadContext): Promise<Dataset> {
  const wanted = new Set([...context.ports.map((port) => port.name), "label"]);
  const entries = [...openZip(context.platform.files.source(path), path).values()];
  const named = entries.map((entry) => ({ entry, name: entry.name.replace(/\.npy$/, "") }));
  const found = named.filter(({ name }) => wanted.has(name));
  // Nothing matches: read all, so that the error can say what there is.
  const arrays = (found.length ? found : named).map(
    ({ entry, name }) => [name, readNpy(entry.source(), `${path}/${entry.name}`)] as const,
  );
  return arrayDataset(new Map(arrays), context);
}
