import { describe, expect, test } from '@jest/globals';
import { renderError, SaveoopsError } from '../errors.js';
import { parseBzImage, type BzImage } from '../formats/bzimage/parse-bzimage.js';
import { writeBzImage } from '../testkit/bzimage-writer.js';
import { loadVmlinux, stockKernels } from '../testkit/stock-kernels.js';
import { checkCrashKernel } from './check-crash-kernel.js';

const bzImage = (relocatable_kernel: number): BzImage =>
  parseBzImage(writeBzImage({ fields: { relocatable_kernel, pref_address: 0x1000000n } }), 'test');
const able = Buffer.from('x\0elfcorehdr\0x\0vmcore\0', 'latin1');

describe('checkCrashKernel', () => {
  test('takes a kernel that runs anywhere and shows the dead kernel', () => {
    expect(() => {
      checkCrashKernel(bzImage(1), able, 'test');
    }).not.toThrow();
  });

  test.each([
    ['CONFIG_RELOCATABLE', 0, able.toString('latin1')],
    // CONFIG_KEXEC_FILE has a longer string that begins like that of CONFIG_CRASH_DUMP.
    ['CONFIG_CRASH_DUMP', 1, 'elfcorehdr=0x%lx \0vmcore\0'],
    ['CONFIG_PROC_VMCORE', 1, 'elfcorehdr\0vmcore: \0'],
  ])('refuses one without %s, and says so', (option, relocatable, text) => {
    try {
      checkCrashKernel(bzImage(relocatable), Buffer.from(text, 'latin1'), 'test');
    } catch (error) {
      if (!(error instanceof SaveoopsError)) throw error;
      expect([error.kind, renderError(error)]).toEqual(['unsupported', expect.stringContaining(option)]);
      return;
    }
    throw new Error('not refused');
  });
});

test.each(stockKernels())(
  '$flavour can be a crash kernel',
  async (kernel) => {
    const elf = await loadVmlinux(kernel);
    const bytes = Buffer.concat(elf.sections.map((section) => elf.sectionBytes(section)));
    expect(() => {
      checkCrashKernel(bzImage(1), bytes, kernel.flavour);
    }).not.toThrow();
  },
  60_000,
);
