/** A random sample of the sweep (qemu-tests/sweep): the whole of it runs by name, `npm run sweep`. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { loadKernel, type Kernel } from '../src/kernel/load-kernel.js';
import { oracle } from '../src/testkit/command-line.js';
import { few } from '../src/testkit/lanes.js';
import { stockKernel } from './harness/payloads.js';
import { bootPoints, callees, type BootPoint } from '../src/kernel/boot-points.js';
import { renderCoverage, type SweepWay, type SweptTimeline } from './sweep/report.js';
import { runPoint, sweepImage, type Sweep } from './sweep/run-point.js';
import { userspaceInitramfs, userspacePoints } from './sweep/userspace.js';

const folder = mkdtempSync(join(tmpdir(), 'svo-sweep-'));
const { vmlinuz } = stockKernel('amd64');
let kernel: Kernel;
let built: Pick<Sweep, 'image' | 'debug' | 'userspace'>;
beforeAll(async () => {
  kernel = await loadKernel(readFileSync(vmlinuz), vmlinuz);
  built = {
    ...(await sweepImage(vmlinuz, folder)),
    userspace: await userspaceInitramfs(vmlinuz, kernel.bzImage.release),
  };
}, 120_000);
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('a random point of the boot or of userspace', () => {
  test.each(few(1, [4, 1]))(
    'with %i CPUs gives its whole log',
    async (cpus) => {
      // Not every initcall of a kernel that suits all machines runs on this one: the next point then.
      const points = [...bootPoints(kernel), ...userspacePoints(kernel)].sort(() => Math.random() - 0.5);
      let point: BootPoint | undefined = points.pop();
      for (let tries = 0; tries < 4 && point !== undefined; tries++, point = points.pop()) {
        const result = await runPoint({ kernel, ...built, way: 'bios', cpus }, point);
        if (!result.reached) continue;
        expect(result).toMatchObject({ ...point, recovered: true, firstMissing: undefined, reason: '' });
        return;
      }
      throw new Error('lost: none of four points was reached');
    },
    400_000,
  );
});

test('the functions that start_kernel calls are those that objdump finds', () => {
  const start = kernel.kallsyms.requireAddress('start_kernel');
  const end = kernel.kallsyms.nextAddress(start) ?? start;
  const file = join(folder, 'start_kernel.bin');
  const offset = Number(start - kernel.image.virtual);
  const code = kernel.image.bytes.subarray(offset, offset + Number(end - start));
  writeFileSync(file, code);
  const said = oracle('objdump', [
    ...['-D', '-w', '--no-show-raw-insn', '-b', 'binary', '-m', 'i386:x86-64'],
    ...[`--adjust-vma=0x${start.toString(16)}`, file],
  ]);
  const called = [...said.matchAll(/call +0x([0-9a-f]+)/g)].map(([, hex = '0']) => BigInt(`0x${hex}`));
  const names = callees(kernel, 'start_kernel').map((name) => kernel.kallsyms.addresses(name));
  expect(names.length).toBeGreaterThan(50);
  for (const addresses of names) expect(addresses.some((address) => called.includes(address))).toBe(true);
});

test('a sweep leaves the sections of other ways as they are', () => {
  const timeline = (way: SweepWay, release: string): SweptTimeline => ({
    way,
    release,
    commandLine: 'quiet',
    points: [],
    allPoints: 900,
    tables: [{ cpus: 1, results: [] }],
  });
  const bios = renderCoverage('', timeline('bios', '6.1'));
  const both = renderCoverage(bios, timeline('uefi', '6.2'));
  expect(both.startsWith(bios)).toBe(true);
  expect(renderCoverage(both, timeline('bios', '6.3'))).toBe(both.replace('6.1', '6.3'));
  expect(renderCoverage(both, timeline('uefi', '6.2'))).toBe(both);
});
