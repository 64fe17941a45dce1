/** @file Files and folders that were dropped or chosen, by their paths. */

/** The file of a model among several; its external data and other files may lie beside it. */
export const isModelName = (name: string): boolean => /\.(onnx|tersor)$/i.test(name);

/** Reads chosen files; those of a folder keep their paths in it. */
export async function readFiles(list: Iterable<File>): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const file of list) {
    const path = file.webkitRelativePath || file.name;
    files.set(path, new Uint8Array(await file.arrayBuffer()));
  }
  return files;
}

/** The files of a drop, those in folders included. */
export async function droppedFiles(transfer: DataTransfer): Promise<Map<string, Uint8Array>> {
  const entries = [...transfer.items].flatMap((item) => item.webkitGetAsEntry() ?? []);
  if (entries.length === 0) return readFiles(transfer.files);
  const files = new Map<string, Uint8Array>();
  for (const entry of entries) await collect(entry, files);
  return files;
}

async function collect(entry: FileSystemEntry, files: Map<string, Uint8Array>): Promise<void> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) =>
      (entry as FileSystemFileEntry).file(resolve, reject),
    );
    files.set(entry.fullPath.replace(/^\//, ""), new Uint8Array(await file.arrayBuffer()));
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (part.length === 0) return;
    for (const inner of part) await collect(inner, files);
  }
}
