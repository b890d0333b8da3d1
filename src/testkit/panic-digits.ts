/** Digits of drm_panic since Linux 6.14: 7 bytes, the first one lowest, are 17 digits, and 1 to 6 as few as are enough. */
export function panicDigits(bytes: Uint8Array): string {
  let digits = '';
  for (let at = 0; at < bytes.length; at += 7) {
    const chunk = bytes.subarray(at, at + 7);
    const value = chunk.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
    digits += String(value).padStart(String(256n ** BigInt(chunk.length) - 1n).length, '0');
  }
  return digits;
}
