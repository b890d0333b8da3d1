import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { offsetInImage } from '../kernel/flat-image.js';
import { loadKernel, type Kernel } from '../kernel/load-kernel.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { armKernel } from './arm-kernel.js';
import { findNosaveWord } from './nosave-word.js';

const hookObject = readFileSync(fileURLToPath(new URL('../../stubs/hook.o', import.meta.url)));

describe('the word that hibernation spares', () => {
  let kernel: Kernel;
  let word: bigint;
  beforeAll(async () => {
    const vmlinuz = stockKernels()[0]?.vmlinuz ?? '';
    kernel = await loadKernel(readFileSync(vmlinuz), vmlinuz);
    word = kernel.kallsyms.requireAddress('__nosave_end') - 8n;
  }, 60_000);

  const withSymbols = (addresses: Readonly<Record<string, bigint | undefined>>, next?: bigint): Kernel => {
    const known = kernel.kallsyms;
    const kallsyms = Object.assign(Object.create(known) as typeof known, {
      address: (name: string) => (name in addresses ? addresses[name] : known.address(name)),
      nextAddress: (address: bigint) => (address < word ? next : undefined) ?? known.nextAddress(address),
    });
    return { ...kernel, kallsyms };
  };

  test('is the last of the page that a stock kernel has', () => {
    const begin = kernel.kallsyms.requireAddress('__nosave_begin');
    expect(word + 8n - begin).toBe(4096n);
    expect(findNosaveWord(kernel)).toBe(word);
  });

  test('is none where something lies, or without such a page', () => {
    expect(findNosaveWord(withSymbols({}, word + 4n))).toBeUndefined();
    expect(findNosaveWord(withSymbols({ __nosave_end: undefined }))).toBeUndefined();
    expect(findNosaveWord(withSymbols({ __nosave_begin: word + 8n }))).toBeUndefined();
    const bytes = kernel.image.bytes.slice();
    bytes[offsetInImage(kernel.image, word, 8, 'word') + 7] = 1;
    expect(findNosaveWord({ ...kernel, image: { ...kernel.image, bytes } })).toBeUndefined();
  });

  test('a kernel without one is armed, its hook comparing the sum with itself', () => {
    const armed = armKernel(withSymbols({ __nosave_begin: undefined }), hookObject);
    expect(armed.nosaveWord).toBe(armed.hookSlots + 24n); // SLOT_SUM, stubs/include/hook-slots.h
    expect(armKernel(kernel, hookObject).nosaveWord).toBe(word);
  });
});
