/** The digits of drm_panic, both encodings, against encoders written from the kernel's description. */
import { describe, expect, test } from '@jest/globals';
import { panicDigits } from '../testkit/panic-digits.js';
import { parsePanicCode } from './panic-code.js';

/** Of Linux 6.12: 13 bits are 4 digits; the last ones as few as the kernel's Segment::character_count() says. */
function oldDigitsOf(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return (bits.match(/.{1,13}/g) ?? [])
    .map((part) => {
      const width = part.length === 1 ? 1 : Math.floor((part.length + 1) / 3);
      return String(Number.parseInt(part, 2)).padStart(width, '0');
    })
    .join('');
}

/** Of 1 to 40 bytes. */
const samples = Array.from({ length: 40 }, (_, size) =>
  Uint8Array.from({ length: size + 1 }, (__, index) => (index * 167 + size * 59 + 255) % 256),
);

describe('parsePanicCode()', () => {
  test('gives the bytes back, of any number', () => {
    for (const bytes of samples) {
      const code = parsePanicCode(`https://host/page?a=x86_64&v=6.1.0-56-amd64&z=${panicDigits(bytes)}\n`);
      expect(code).toEqual({ arch: 'x86_64', release: '6.1.0-56-amd64', zlib: bytes });
    }
  });

  test('reads the digits of Linux 6.12, too', () => {
    for (const bytes of samples) {
      // One or two bits that are left take one digit each, and how many they are is not written: such lengths are ambiguous.
      if ((8 * bytes.length) % 13 === 1 || (8 * bytes.length) % 13 === 2) continue;
      expect(parsePanicCode(`https://host/#?a=x86_64&v=6.12.1&zl=${oldDigitsOf(bytes)}`)?.zlib).toEqual(
        bytes,
      );
    }
  });

  test.each(['?a=x86_64&v=6.1.0&z=123', 'z=123', '#z=123&a=x86_64'])('finds them in %s', (text) => {
    expect(parsePanicCode(text)?.zlib).toEqual(Uint8Array.of(123));
  });

  test.each(['', 'https://host/', 'z=', 'z=12a', 'z=12', 'z=999', `z=${'9'.repeat(17)}`, 'xz=123', 'zl=x'])(
    'has nothing for %j',
    (text) => {
      expect(parsePanicCode(text)).toBeUndefined();
    },
  );
});
