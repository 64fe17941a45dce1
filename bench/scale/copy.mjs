/**
 * @file The floor under any compression: reads a file in pieces of 64 MiB and writes a file of as many
 * bytes as the product has, a share of the source's. `node bench/scale/copy.mjs source share target`
 */
import { closeSync, openSync, readSync, rmSync, statSync, writeSync } from "node:fs";

const [source, share, target] = process.argv.slice(2);
const bytes = Math.round(Number(share) * statSync(source).size);
const piece = new Uint8Array(2 ** 26);
const from = openSync(source, "r");
const to = openSync(target, "w");
let read = 0;
for (let left = bytes, count = 1; count > 0; ) {
  count = readSync(from, piece, 0, piece.length, read);
  read += count;
  const size = Math.min(left, count);
  if (size > 0) writeSync(to, piece, 0, size);
  left -= size;
}
closeSync(from);
closeSync(to);
rmSync(target);
console.log(`read ${read} bytes, wrote ${bytes}`);
