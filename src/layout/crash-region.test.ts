import { describe, expect, test } from '@jest/globals';
import { renderError, SaveoopsError } from '../errors.js';
import { regionPlaces } from '../stubs/shared-layout.js';
import { planCrashRegion, type CrashParts } from './crash-region.js';

const MiB = 1 << 20;
const debian: CrashParts = {
  kernelSize: 8 * MiB,
  initSize: 64 * MiB,
  initrdSize: 2 * MiB + 123,
  unpackedSize: 4 * MiB,
  scratchSize: 24 * MiB,
};

function refusal(parts: CrashParts, size: number): string {
  try {
    planCrashRegion(parts, size);
  } catch (error) {
    if (error instanceof SaveoopsError) return renderError(error);
    throw error;
  }
  throw new Error('the size was accepted');
}

describe('planCrashRegion', () => {
  test('what lies in the region does not overlap and fits', () => {
    for (const initrdSize of [1, 4095, 4096, 4097, 5 * MiB]) {
      const parts = { ...debian, initrdSize };
      const region = planCrashRegion(parts);
      const kernelEnd = regionPlaces.CRASH_KERNEL + parts.kernelSize;
      expect(region.size % (2 * MiB)).toBe(0);
      expect(region.workOffset).toBeGreaterThanOrEqual(kernelEnd);
      expect(region.workSize).toBeGreaterThanOrEqual(parts.scratchSize);
      expect(region.workOffset + region.workSize).toBe(region.initrdOffset);
      expect(region.initrdOffset % 4096).toBe(0);
      expect(region.initrdOffset + initrdSize).toBeLessThanOrEqual(region.size);
    }
  });

  test('the sum that it shows is the size', () => {
    for (const given of [undefined, 200 * MiB]) {
      const region = planCrashRegion(debian, given);
      expect(region.sum.reduce((total, part) => total + part.bytes, 0)).toBe(region.size);
      expect(region.sum.every((part) => part.bytes > 0)).toBe(true);
    }
  });

  test('a given size is taken, rounded up to 2 MiB', () => {
    expect(planCrashRegion(debian, 160 * MiB).size).toBe(160 * MiB);
    expect(planCrashRegion(debian, 160 * MiB + 1).size).toBe(162 * MiB);
  });

  test('a size that is too small is refused with the sum; the size it names is accepted', () => {
    const text = refusal(debian, 64 * MiB);
    expect(text).toContain('64.0 MiB crash kernel while it decompresses (init_size)');
    const least = Number(/at least ([0-9.]+) MiB/.exec(text)?.[1]);
    expect(planCrashRegion(debian, least * MiB).size).toBe(least * MiB);
    expect(() => refusal(debian, least * MiB - 1)).not.toThrow();
  });

  test('scratch memory at boot counts too', () => {
    const text = refusal({ ...debian, scratchSize: 300 * MiB }, 200 * MiB);
    expect(text).toContain('300.0 MiB scratch memory at boot');
  });
});
