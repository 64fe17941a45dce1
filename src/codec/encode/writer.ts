/** @file Writes bytes, variable-length integers and bits: the mirror of decode/reader.ts. */

/** 0, -1, 1, -2, 2 ... -> 0, 1, 2, 3, 4 ... */
export function fold(x: number): number {
  return x < 0 ? -2 * x - 1 : 2 * x;
}

/** LEB128: seven bits a byte, low ones first. */
export function varint(x: number): number[] {
  const bytes: number[] = [];
  for (; x >= 128; x = Math.floor(x / 128)) bytes.push((x % 128) + 128);
  return [...bytes, x];
}

type Part = Uint8Array | readonly number[];

export function join(...parts: readonly Part[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** A varint length, and the bytes. */
export function section(part: Uint8Array): Uint8Array<ArrayBuffer> {
  return join(varint(part.length), part);
}

/** Collects bits: the low bit of each byte comes first, and so do the low bits of each number. */
export class BitWriter {
  #bytes = new Uint8Array(1024);
  #length = 0;
  #hold = 0;
  #held = 0;

  /** Writes the `count` low bits (0 to 32) of an unsigned number. */
  put(value: number, count: number): void {
    if (count > 16) {
      this.put(value % 65536, 16);
      this.put(Math.floor(value / 65536), count - 16);
      return;
    }
    this.#hold |= value << this.#held;
    this.#held += count;
    while (this.#held >= 8) this.#flush();
  }

  /** The bytes; the last one is padded with zero bits. */
  finish(): Uint8Array<ArrayBuffer> {
    if (this.#held > 0) this.#flush();
    return this.#bytes.slice(0, this.#length);
  }

  #flush(): void {
    if (this.#length === this.#bytes.length) this.#bytes = join(this.#bytes, this.#bytes);
    this.#bytes[this.#length++] = this.#hold & 255;
    this.#hold >>>= 8;
    this.#held -= 8;
  }
}
