/** @file Tokens and tensor bodies -> a .tersor file: the mirror of decode/container.ts. */
import { magic, stretch } from "./decode/container.ts";
import { crc32 } from "./decode/crc32.ts";
import { pushVarint } from "./decode/graph.ts";

/**
 * Joins the coded pieces of one model into a .tersor file (docs/format.md).
 *
 * `byteLength` is the size of the ONNX file that decoding gives, `graph` the coded graph
 * (graph.ts), and `bodies` are the coded tensors in the order in which the graph mentions them.
 */
export function encodeContainer(
  byteLength: number,
  graph: Uint8Array,
  bodies: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  const chunks: Uint8Array[] = [];
  let crc = 0;
  let unchecked = 0;
  const add = (bytes: Uint8Array): void => {
    chunks.push(bytes);
    crc = crc32(bytes, crc);
    unchecked += bytes.length;
  };
  /** Writes the checksum where decode/container.ts expects one: after 64 KiB, and at the end. */
  const check = (isLast: boolean): void => {
    if (unchecked < stretch && !isLast) return;
    const sum = new Uint8Array(4);
    new DataView(sum.buffer).setUint32(0, crc, true);
    chunks.push(sum);
    [crc, unchecked] = [0, 0];
  };
  const head: number[] = [...magic];
  pushVarint(head, byteLength);
  pushVarint(head, graph.length);
  add(Uint8Array.from(head));
  add(graph);
  check(bodies.length === 0);
  for (const [i, body] of bodies.entries()) {
    add(body);
    check(i === bodies.length - 1);
  }
  const file = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    file.set(chunk, at);
    at += chunk.length;
  }
  return file;
}
