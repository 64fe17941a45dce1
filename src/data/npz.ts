/** @file NumPy's .npz: a zip archive of .npy arrays, named like the model's inputs, and `label`. */
import { arrayDataset, wantedPorts } from "./array-dataset.ts";
import type { Dataset } from "./dataset.ts";
import { readNpy } from "./npy.ts";
import type { ReadContext } from "./reader.ts";
import { openZip } from "./zip.ts";

/**
 * Reads an archive. Arrays written by np.savez stay in the file; those of np.savez_compressed are
 * inflated once. Throws what openZip, readNpy and arrayDataset do.
 */
export async function readNpz(path: string, context: ReadContext): Promise<Dataset> {
  const wanted = new Set([...context.ports.map((port) => port.name), "label"]);
  const entries = [...openZip(context.platform.files.source(path), path).values()];
  const named = entries.map((entry) => ({ entry, name: entry.name.replace(/\.npy$/, "") }));
  const found = named.filter(({ name }) => wanted.has(name));
  // If an input has no array, all are read, so that the error can list them.
  const names = new Set(named.map(({ name }) => name));
  const isWhole = wantedPorts(context).every((port) => names.has(port.name));
  const arrays = (isWhole ? found : named).map(
    ({ entry, name }) => [name, readNpy(entry.source(), `${path}/${entry.name}`)] as const,
  );
  return arrayDataset(new Map(arrays), context);
}
