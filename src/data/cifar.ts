/**
 * @file CIFAR-10 and CIFAR-100 in their binary form.
 *
 *   field   type           meaning
 *   labels  1 or 2 bytes   CIFAR-10: the class; CIFAR-100: the coarse and the fine class
 *   pixels  3 x 1024       planes R, G and B of 32 x 32 bytes, row by row
 */
import { errors, fail } from "../errors.ts";
import type { Dataset } from "./dataset.ts";
import { imageDataset } from "./image-dataset.ts";
import { join, type ReadContext, splitPart } from "./reader.ts";

const side = 32;
const area = side * side;

/**
 * The files of each set, the number of label bytes in a record (the last one is used), and the
 * file of class names.
 */
const sets = [
  {
    train: /^data_batch_\d+\.bin$/,
    test: /^test_batch\.bin$/,
    marks: 1,
    names: "batches.meta.txt",
  },
  { train: /^train\.bin$/, test: /^test\.bin$/, marks: 2, names: "fine_label_names.txt" },
];

/**
 * Reads a folder as unpacked from cifar-10-binary.tar.gz or cifar-100-binary.tar.gz. Throws
 * TersorError "no-such-file", "no-records" or "bad-data".
 */
export async function readCifar(path: string, context: ReadContext): Promise<Dataset> {
  const { files } = context.platform;
  const { path: folder, part } = splitPart(path);
  const names = await files.list(folder);
  if (names === null) throw fail(errors.noSuchFile(folder));
  const set = sets.find((candidate) => names.some((name) => candidate[part].test(name)));
  if (!set) {
    const remedy = "Give the folder of test_batch.bin (CIFAR-10) or test.bin (CIFAR-100)";
    throw fail(errors.noRecords(folder, `has no CIFAR ${part} files`, remedy));
  }
  const record = set.marks + 3 * area;
  const records: { file: string; bytes: Uint8Array }[] = [];
  for (const name of names.filter((candidate) => set[part].test(candidate))) {
    const file = join(folder, name);
    const bytes = await files.read(file);
    if (bytes.length === 0 || bytes.length % record !== 0) {
      const why = `has ${bytes.length} bytes, not whole records of ${record}`;
      throw fail(errors.badData(file, why));
    }
    for (let at = 0; at < bytes.length; at += record) {
      records.push({ file, bytes: bytes.subarray(at, at + record) });
    }
  }
  const classes = names.includes(set.names)
    ? lines(new TextDecoder().decode(await files.read(join(folder, set.names))))
    : null;
  return imageDataset(
    {
      length: records.length,
      labels: Int32Array.from(records, ({ bytes }) => bytes[set.marks - 1]),
      classes,
      size: { width: side, height: side },
      nameOf: (index) => `${records[index].file} (record ${index} of ${records.length})`,
      image(index) {
        const planes = records[index].bytes.subarray(set.marks);
        const data = new Uint8Array(3 * area);
        for (let i = 0; i < data.length; i++) data[i] = planes[(i % 3) * area + Math.floor(i / 3)];
        return { width: side, height: side, channels: 3, data };
      },
    },
    context,
  );
}

function lines(text: string): string[] {
  return text.split("\n").flatMap((line) => line.trim() || []);
}
