import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { withTemporaryFolder } from '../host/files.js';
import { parseElf, type Elf } from '../formats/elf/parse-elf.js';
import { loadKernel, type Kernel } from '../kernel/load-kernel.js';
import { oracle } from '../testkit/command-line.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { armKernel } from './arm-kernel.js';

const hookObject = readFileSync(fileURLToPath(new URL('../../stubs/hook.o', import.meta.url)));

/** What an error of Saveoops is when it has found this. */
const refusal = (found: string): unknown =>
  expect.objectContaining({ kind: 'unsupported', found: expect.stringContaining(found) as unknown });

let kernel: Kernel;
beforeAll(async () => {
  const vmlinuz = stockKernels()[0]?.vmlinuz ?? '';
  kernel = await loadKernel(readFileSync(vmlinuz), vmlinuz);
}, 60_000);

describe('kernels with control-flow integrity', () => {
  /** The stock kernel's vmlinux with one more section, made by objcopy. */
  const withSection = (name: string, content: Uint8Array): Promise<Elf> =>
    withTemporaryFolder((folder) => {
      const [before, after, list] = ['before', 'after', 'list'].map((each) => join(folder, each));
      writeFileSync(before ?? '', kernel.elf.bytes);
      writeFileSync(list ?? '', content);
      oracle('objcopy', [`--add-section=${name}=${list}`, before ?? '', after ?? '']);
      return Promise.resolve(parseElf(readFileSync(after ?? ''), 'vmlinux with a section'));
    });
  const armed = (elf: Elf, addresses: Readonly<Record<string, bigint>> = {}): unknown => {
    const known = kernel.kallsyms;
    const kallsyms = Object.assign(Object.create(known) as typeof known, {
      address: (name: string) => addresses[name] ?? known.address(name),
    });
    return armKernel({ ...kernel, elf, kallsyms }, hookObject);
  };

  test.each(['__kcfi_traps', '.cfi_sites'])(
    'are refused for a filled section %s, not for an empty one',
    async (name) => {
      // One entry, as clang leaves it in an object with one checked call: a distance of 32 bits.
      const filled = await withSection(name, Uint8Array.of(0x49, 0, 0, 0));
      expect(() => armed(filled)).toThrow(refusal(name));
      const empty = await withSection(name, new Uint8Array());
      expect(empty.findSection(name)?.sh_size).toBe(0);
      expect(() => armed(empty)).not.toThrow();
    },
    60_000,
  );

  test.each([
    ['__start___kcfi_traps', '__stop___kcfi_traps'],
    ['__cfi_sites', '__cfi_sites_end'],
  ])('are refused for a list between the symbols %s and %s, not for an empty one', (start, end) => {
    expect(() => armed(kernel.elf, { [start]: 0x1000n, [end]: 0x1004n })).toThrow(refusal(start));
    expect(() => armed(kernel.elf, { [start]: 0x1000n, [end]: 0x1000n })).not.toThrow();
  });

  test('are refused for the hash before a function that panic() calls', () => {
    expect(() => armed(kernel.elf, { __cfi_native_stop_other_cpus: 0x1000n })).toThrow(
      refusal('__cfi_native_stop_other_cpus'),
    );
  });
});

describe('what a kernel lacks is said by the option that it was built without', () => {
  test.each<[string, readonly string[], RegExp, RegExp | undefined]>([
    ['one processor', ['native_stop_other_cpus', 'smp_ops'], /with CONFIG_SMP$/, undefined],
    [
      'no kexec',
      ['machine_crash_shutdown', 'kexec_crash_image'],
      /with CONFIG_KEXEC and CONFIG_CRASH_DUMP$/,
      undefined,
    ],
    ['no variables', ['crash_notes', 'smp_ops'], /with CONFIG_KALLSYMS_ALL$/, /[bd]/i],
    ['none that is known', ['panic_timeout'], /^an SMP kernel with CONFIG_KALLSYMS_ALL, /, undefined],
  ])(
    '%s',
    async (_, names, wanted, hidden) => {
      const vmlinuz = stockKernels()[0]?.vmlinuz ?? '';
      const kernel = await loadKernel(readFileSync(vmlinuz), vmlinuz);
      const known = kernel.kallsyms;
      const kallsyms = Object.assign(Object.create(known) as typeof known, {
        address: (name: string) => (names.includes(name) ? undefined : known.address(name)),
        *[Symbol.iterator]() {
          for (const symbol of known) if (hidden?.test(symbol.type) !== true) yield symbol;
        },
      });
      expect(() => armKernel({ ...kernel, kallsyms }, hookObject)).toThrow(
        expect.objectContaining({
          kind: 'missing-fact',
          found: `no ${names.join(', ')}`,
          wanted: expect.stringMatching(wanted) as unknown,
        }),
      );
    },
    60_000,
  );
});
