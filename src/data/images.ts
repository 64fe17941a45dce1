/**
 * @file Encoded images in a folder or a zip archive: with a folder for each class, with a
 * labels.csv, or without labels.
 */
import { errors, fail, TersorError } from "../errors.ts";
import type { Platform } from "../platform.ts";
import { parseCsv } from "./csv.ts";
import type { Dataset } from "./dataset.ts";
import { imageDataset } from "./image-dataset.ts";
import { filesBelow, join, type ReadContext } from "./reader.ts";
import { openZip } from "./zip.ts";

/** The files in a folder or an archive, sorted by path. */
interface Tree {
  readonly paths: readonly string[];
  read(path: string): Uint8Array | Promise<Uint8Array>;
}

/** The images in order, with their labels. */
interface Listing {
  readonly paths: readonly string[];
  readonly labels: Int32Array | null;
  readonly classes: readonly string[] | null;
}

const isImage = (path: string) => /\.(jpe?g|png|webp)$/i.test(path);
const isHidden = (path: string) => /(^|\/)(\.|__MACOSX\/)/.test(path);

/**
 * Reads a folder or a .zip. Images are decoded when they are read. Throws TersorError
 * "no-such-file", "no-records", "bad-data", "bad-label" or "bad-image".
 */
export async function readImages(path: string, context: ReadContext): Promise<Dataset> {
  const { platform } = context;
  const tree = /\.zip$/i.test(path) ? zipTree(path, platform) : await folderTree(path, platform);
  const { paths, labels, classes } = await label(tree, path);
  return imageDataset(
    {
      length: paths.length,
      labels,
      classes,
      size: null,
      nameOf: (index) => join(path, paths[index]),
      async image(index) {
        const bytes = await tree.read(paths[index]);
        try {
          return await platform.decodeImage(bytes);
        } catch (error) {
          if (!(error instanceof TersorError) || error.code !== "bad-image") throw error;
          const { code, what, remedy } = error;
          throw fail({ code, what, where: join(path, paths[index]), remedy }, error);
        }
      },
    },
    context,
  );
}

/**
 * The images and their labels, from labels.csv if there is one, otherwise from the folders. A
 * folder that contains everything else does not count.
 */
async function label(tree: Tree, where: string): Promise<Listing> {
  const files = tree.paths.filter((path) => !isHidden(path));
  const relevant = files.filter((path) => isImage(path) || /(^|\/)labels\.csv$/.test(path));
  const root = commonFolder(relevant);
  if (relevant.includes(`${root}labels.csv`)) return listed(tree, root, where);
  const paths = relevant.filter(isImage);
  if (paths.length === 0) {
    const remedy = "Give JPEG, PNG or WebP files, a folder a class or with a labels.csv";
    throw fail(errors.noRecords(where, "holds no images", remedy));
  }
  const folders = paths.map((path) => path.slice(root.length).split("/").slice(0, -1)[0] ?? "");
  const classes = [...new Set(folders)].sort();
  if (classes.length === 1) return { paths, labels: null, classes: null };
  if (classes[0] === "") {
    const stray = paths[folders.indexOf("")];
    const remedy = "Put every image in the folder of its class, or add a labels.csv";
    throw fail(errors.badData(join(where, stray), "lies beside the class folders", remedy));
  }
  const index = new Map(classes.map((name, i) => [name, i]));
  return { paths, labels: Int32Array.from(folders, (name) => index.get(name)!), classes };
}

/** The images in labels.csv, which has the columns `file` and `label`. */
async function listed(tree: Tree, root: string, where: string): Promise<Listing> {
  const file = join(where, `${root}labels.csv`);
  const text = new TextDecoder().decode(await tree.read(`${root}labels.csv`));
  const [header = [], ...rows] = parseCsv(text, file);
  const [fileColumn, labelColumn] = [header.indexOf("file"), header.indexOf("label")];
  if (fileColumn < 0 || labelColumn < 0) {
    const remedy = "Begin it with the line: file,label";
    throw fail(errors.badData(file, `has the columns ${header.join(", ")}`, remedy));
  }
  if (rows.length === 0) throw fail(errors.noRecords(file, "lists no images", "Add one a line"));
  const known = new Set(tree.paths);
  const paths = rows.map((row) => root + row[fileColumn].replace(/^\.\//, ""));
  const missing = paths.find((path) => !known.has(path));
  if (missing !== undefined) {
    throw fail(errors.noSuchFile(`${file}: ${missing}`));
  }
  const labels = Int32Array.from(rows, (row, i) => {
    if (/^-?\d{1,9}$/.test(row[labelColumn].trim())) return Number(row[labelColumn]);
    throw fail(errors.badLabel(`${file}:${i + 2}`, `"${row[labelColumn]}"`));
  });
  return { paths, labels, classes: null };
}

/** The folder that all paths share: "a/b/" for a/b/c/1.png and a/b/d/2.png; "" if there is none. */
function commonFolder(paths: readonly string[]): string {
  const [first = "", ...rest] = paths.map((path) => path.slice(0, path.lastIndexOf("/") + 1));
  let common = first;
  for (const folder of rest) {
    while (!folder.startsWith(common)) {
      common = common.slice(0, common.lastIndexOf("/", common.length - 2) + 1);
    }
  }
  return common;
}

function zipTree(path: string, { files }: Platform): Tree {
  const entries = openZip(files.source(path), path);
  return { paths: [...entries.keys()].sort(), read: (name) => entries.get(name)!.read() };
}

async function folderTree(folder: string, { files }: Platform): Promise<Tree> {
  const paths = await filesBelow(folder, files);
  if (paths === null) {
    if (!files.exists(folder)) throw fail(errors.noSuchFile(folder));
    throw fail(errors.unknownData(folder, "is a file", "Give a folder or a .zip of images"));
  }
  return { paths, read: (path) => files.read(join(folder, path)) };
}
