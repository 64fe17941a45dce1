/** @file CRC-32 of ISO 3309 (zip, PNG): polynomial 0xedb88320, reflected. */

/** The remainder of each byte value. */
const table = Int32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 && 0xedb88320);
  return remainder;
});

/** The checksum of all bytes so far; `crc` is that of the bytes before these. */
export function crc32(bytes: Uint8Array, crc = 0): number {
  let remainder = ~crc;
  for (let i = 0; i < bytes.length; i++) {
    remainder = (remainder >>> 8) ^ table[(remainder ^ bytes[i]) & 255];
  }
  return ~remainder >>> 0;
}
