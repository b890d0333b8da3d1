/**
 * The text of a QR code that tells of a panic, in the format of the kernel's drm_panic: `URL?a=ARCH&v=RELEASE&z=DIGITS`, where
 * DIGITS are a zlib stream of the end of the log. Source: drivers/gpu/drm/drm_panic.c and drm_panic_qr.rs. Pure, and without
 * Node, because the page for a browser has it, too.
 */

export interface PanicCode {
  /** As `uname -m` says it. */
  readonly arch: string | undefined;
  /** As `uname -r` says it. */
  readonly release: string | undefined;
  /** RFC 1950. */
  readonly zlib: Uint8Array;
}

/** @returns undefined for a text that is none: no `z=` or `zl=`, or no digits that such an encoder writes */
export function parsePanicCode(text: string): PanicCode | undefined {
  const value = (name: string): string | undefined =>
    new RegExp(`(?:^|[?#&])${name}=([^&\\s]*)`).exec(text)?.[1];
  const digits = value('z');
  const zlib = digits === undefined ? bytesOfOldDigits(value('zl') ?? '') : bytesOfDigits(digits);
  return zlib && { arch: value('a'), release: value('v'), zlib };
}

const digitsInChunk = 17;
/** Decimal digits for 0 to 7 bytes. */
const digitsFor = [0, 3, 5, 8, 10, 13, 15, digitsInChunk];

/** Since Linux 6.14, `z=`: 17 digits for 7 bytes, the first byte lowest. */
function bytesOfDigits(digits: string): Uint8Array | undefined {
  if (!/^[0-9]+$/.test(digits)) return undefined;
  const bytes: number[] = [];
  for (let at = 0; at < digits.length; at += digitsInChunk) {
    const chunk = digits.slice(at, at + digitsInChunk);
    const count = digitsFor.indexOf(chunk.length);
    let value = BigInt(chunk);
    if (count < 0 || value >> BigInt(8 * count) !== 0n) return undefined;
    for (let byte = 0; byte < count; byte++, value >>= 8n) bytes.push(Number(value & 0xffn));
  }
  return Uint8Array.from(bytes);
}

/** Bits in 0 to 4 digits of the older encoding, at most. */
const bitsIn = [0, 4, 7, 10, 13];

/** Linux 6.12 and 6.13, `zl=`: 4 digits for 13 bits, the most significant bit first. The last ones hold what is left. */
function bytesOfOldDigits(digits: string): Uint8Array | undefined {
  if (!/^[0-9]+$/.test(digits)) return undefined;
  const chunks = digits.match(/.{1,4}/g) ?? [];
  const room = chunks.map((chunk) => bitsIn[chunk.length] ?? 0);
  const sum = room.reduce((all, bits) => all + bits, 0);
  const bits = chunks
    .map((chunk, index) => {
      const count = (room[index] ?? 0) - (index === chunks.length - 1 ? sum % 8 : 0);
      return Number(chunk).toString(2).padStart(count, '0').slice(-count);
    })
    .join('');
  return Uint8Array.from(bits.match(/.{8}/g) ?? [], (byte) => Number.parseInt(byte, 2));
}
