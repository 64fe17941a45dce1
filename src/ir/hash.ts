/** @file Hashes of tensors' contents, by which equal ones are found. */
import type { Tensor } from "./tensor.ts";

const known = new WeakMap<Tensor, number>();

/** The hash of a tensor's bytes, which are read once per tensor. Equal tensors have equal hashes. */
export function contentHash(tensor: Tensor): number {
  const hash = known.get(tensor) ?? hashBytes(tensor.bytes());
  known.set(tensor, hash);
  return hash;
}

/** FNV-1a over words of 32 bits (Fowler, Noll, Vo), mixed with their upper bits, then over the rest. */
export function hashBytes(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  const { buffer, byteOffset, byteLength } = bytes;
  const isAligned = byteOffset % 4 === 0;
  const words = isAligned ? new Uint32Array(buffer, byteOffset, byteLength >> 2) : null;
  const view = new DataView(buffer, byteOffset, byteLength);
  const count = byteLength >> 2;
  for (let i = 0; i < count; i++) {
    const word = words ? words[i] : view.getUint32(4 * i, true);
    hash = Math.imul(hash ^ word ^ (word >>> 15), 0x01000193);
  }
  for (let i = 4 * count; i < byteLength; i++) hash = Math.imul(hash ^ bytes[i], 0x01000193);
  return hash >>> 0;
}
