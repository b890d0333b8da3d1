/**
 * Kernels that no Debian package ships: `npm run test:built`, not part of `npm test`. scripts/built-kernels.sh builds them from
 * Debian's source. Each is read, armed, booted, panicked and captured as the kernels of the matrix are, or refused with an
 * error that says what it lacks.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { SaveoopsError, renderError } from '../src/errors.js';
import { parseBzImage } from '../src/formats/bzimage/parse-bzimage.js';
import { decompressPayload, payloadCompression } from '../src/formats/bzimage/payload.js';
import { parseElf } from '../src/formats/elf/parse-elf.js';
import { parseKallsyms } from '../src/formats/kallsyms/kallsyms.js';
import { loadKernel } from '../src/kernel/load-kernel.js';
import { oracle } from '../src/testkit/command-line.js';
import { builtVariants, bzImageOf, hasOption, type Variant } from './built/variants.js';
import { build } from '../src/library/build.js';
import { passed } from './matrix/report.js';
import { runKernel } from './matrix/run-kernel.js';

const minutes = 60_000;

/** "address name" of each symbol, sorted. */
const sorted = (lines: Iterable<string>): string[] => [...lines].sort();

/** What nm shows of a vmlinux; scripts/kallsyms.c leaves out some of it. */
function symbolsOfNm(vmlinux: string): string[] {
  return oracle('nm', [vmlinux])
    .split('\n')
    .flatMap((line) => {
      const [, address, name = ''] = /^([0-9a-f]{16}) \S (\S+)$/.exec(line) ?? [];
      return address === undefined ? [] : [`${address} ${name}`];
    });
}

/** What the kernel's configuration has as one of several options. */
function chosen(variant: Variant, options: Readonly<Record<string, string>>): string | undefined {
  return Object.entries(options).find(([option]) => hasOption(variant, option))?.[1];
}

test('the kernels are there', () => {
  expect(builtVariants().map(({ name }) => name)).toContain('base');
});

describe.each(builtVariants())('$name', (variant) => {
  test(
    'kallsyms is what nm shows of vmlinux, in the encoding that the configuration says',
    async () => {
      const bytes = readFileSync(variant.bzImage);
      const payload = await decompressPayload(parseBzImage(bytes, variant.name).payload, variant.name);
      const kallsyms = parseKallsyms(parseElf(payload, variant.name));
      const ours = sorted(
        Array.from(kallsyms, ({ address, name }) => `${address.toString(16).padStart(16, '0')} ${name}`),
      );
      const shown = symbolsOfNm(variant.vmlinux);
      const known = new Set(shown);
      expect(ours.filter((symbol) => !known.has(symbol))).toEqual([]);
      const all = hasOption(variant, 'KALLSYMS_ALL');
      expect(ours.length / shown.length).toBeGreaterThan(all ? 0.95 : 0.3);
      const percpu = hasOption(variant, 'KALLSYMS_ABSOLUTE_PERCPU') ? '-absolute-percpu' : '';
      expect(kallsyms.encoding).toBe(
        hasOption(variant, 'KALLSYMS_BASE_RELATIVE') ? `base-relative${percpu}` : 'absolute',
      );
    },
    5 * minutes,
  );

  test(
    'setup header, compression and relocations are what the configuration says',
    async () => {
      const bytes = readFileSync(variant.bzImage);
      const { header, payload } = parseBzImage(bytes, variant.name);
      expect(header.relocatable_kernel !== 0).toBe(hasOption(variant, 'RELOCATABLE'));
      expect(payloadCompression(payload)).toBe(
        chosen(variant, {
          KERNEL_GZIP: 'gzip',
          KERNEL_BZIP2: 'bzip2',
          KERNEL_LZMA: 'lzma',
          KERNEL_LZO: 'lzo',
          KERNEL_LZ4: 'lz4',
        }),
      );
      if (!hasOption(variant, 'DEBUG_INFO_BTF')) return;
      const { relocations } = await loadKernel(bytes, variant.name);
      expect(relocations.words64.length > 0).toBe(hasOption(variant, 'X86_NEED_RELOCS'));
    },
    5 * minutes,
  );

  test.each(variant.crash)(
    'with $kernel as crash kernel: $expected',
    async ({ kernel, expected }) => {
      const crash = kernel === 'base' ? bzImageOf('base') : undefined;
      if (expected !== 'captured') {
        const error = await refusal(variant, crash);
        expect([error.kind, renderError(error)]).toEqual([
          expected.kind,
          expect.stringContaining(`a kernel with ${expected.names}`),
        ]);
        return;
      }
      const result = await runKernel({ primary: variant.bzImage, crash });
      console.log(`${variant.name} with ${kernel} as crash kernel: ${JSON.stringify(result)}`);
      expect([result, passed(result)]).toEqual([result, true]);
      expect(result.earlyExceptions).toBe(hasOption(variant, 'PARAVIRT_XXL'));
    },
    20 * minutes,
  );
});

/** What `saveoops build` ends with. */
async function refusal({ bzImage }: Variant, crashKernel: string | undefined): Promise<SaveoopsError> {
  const folder = mkdtempSync(join(tmpdir(), 'svo-'));
  try {
    await build({ kernel: bzImage, crashKernel, out: join(folder, 'payload') });
  } catch (error) {
    if (error instanceof SaveoopsError) return error;
    throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  throw new Error(`${bzImage} was not refused`);
}
