import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { offsetInImage } from '../kernel/flat-image.js';
import { loadKernel, type Kernel } from '../kernel/load-kernel.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { armKernel, type ArmedKernel } from './arm-kernel.js';
import { checkArmed, checkHook, type EditedBytes, type InstalledHook } from './check-armed.js';

const object = readFileSync(fileURLToPath(new URL('../../stubs/hook.o', import.meta.url)));

describe.each(stockKernels())('the armed image of $flavour', ({ vmlinuz }) => {
  let kernel: Kernel;
  let armed: ArmedKernel;
  let edits: EditedBytes[];
  let hook: InstalledHook;
  beforeAll(async () => {
    kernel = await loadKernel(readFileSync(vmlinuz), vmlinuz);
    armed = armKernel(kernel, object);
    edits = armed.edits.map(({ what, address, before, after }) => ({
      what,
      offset: offsetInImage(kernel.image, BigInt(address), after.length / 2, what),
      before: Buffer.from(before, 'hex'),
      after: Buffer.from(after, 'hex'),
    }));
    hook = {
      object,
      address: BigInt(armed.edits[0]?.address ?? 0),
      pointers: [
        { address: armed.smpStop, entry: 'hook_stop' },
        { address: armed.smpCrashStop, entry: 'hook_crash_stop' },
      ],
      unused: new Set(),
    };
  }, 60_000);

  /** The armed image with a byte changed, and the edits that declare it. */
  const changed = (offset: number): { bytes: Uint8Array; declared: EditedBytes[] } => {
    const bytes = Uint8Array.from(armed.bytes);
    bytes[offset] = (bytes[offset] ?? 0) ^ 1;
    const declared = edits.map((each) => ({
      ...each,
      after: bytes.slice(each.offset, each.offset + each.after.length),
    }));
    return { bytes, declared };
  };
  const refusal = (where: string): unknown =>
    expect.objectContaining({ kind: 'invariant', where: expect.stringContaining(where) as unknown });
  const startOf = (what: string): number => edits.find((each) => each.what === what)?.offset ?? 0;

  test('passes as arming made it', () => {
    expect(() => {
      checkArmed(kernel, armed.bytes, edits, hook);
    }).not.toThrow();
  });

  test('every changed byte of the hook is found', () => {
    const start = startOf('hook in a gap of .text');
    const size = edits[0]?.after.length ?? 0;
    expect(size).toBeGreaterThan(400);
    const bytes = Uint8Array.from(armed.bytes);
    for (let offset = start; offset < start + size; offset++) {
      bytes[offset] = (armed.bytes[offset] ?? 0) ^ 1;
      expect(() => {
        checkHook(kernel, bytes, hook);
      }).toThrow(refusal('hook'));
      bytes[offset] = armed.bytes[offset] ?? 0;
    }
    checkHook(kernel, bytes, hook);
  });

  test.each(['smp_ops.stop_other_cpus', 'smp_ops.crash_stop_other_cpus'])(
    'a changed %s is found, though it is declared',
    (what) => {
      for (const byte of [0, 7]) {
        const { bytes, declared } = changed(startOf(what) + byte);
        expect(() => {
          checkArmed(kernel, bytes, declared, hook);
        }).toThrow(refusal('the pointer to hook_'));
      }
    },
  );

  test('a changed byte outside is found', () => {
    for (const offset of [0, startOf('hook in a gap of .text') - 1, armed.bytes.length - 1]) {
      const { bytes } = changed(offset);
      expect(() => {
        checkArmed(kernel, bytes, edits, hook);
      }).toThrow(refusal('image offsets'));
    }
  });
});
