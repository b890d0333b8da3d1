/** What is said of a panic, against what was measured: docs/results/coverage.md has hundreds of real ones. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { loadKernel, type Kernel } from '../kernel/load-kernel.js';
import { sampleManifest } from '../testkit/sample-manifest.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { explainer, type Explanation } from './explain.js';

const { vmlinuz = '' } = stockKernels().find(({ flavour }) => flavour === 'amd64') ?? {};
let kernel: Kernel;
let explained: (place: string) => Explanation;

beforeAll(async () => {
  kernel = await loadKernel(readFileSync(vmlinuz), vmlinuz);
  explained = explainer(kernel, sampleManifest);
}, 120_000);

describe('a point of the boot', () => {
  test('before start_kernel nothing comes back', () => {
    for (const name of ['startup_64', 'x86_64_start_kernel']) {
      expect(explained(name)).toMatchObject({ when: 'early', captured: 'no', readers: [] });
    }
  });

  test('start_kernel is the first that is captured, by the notes of the build', () => {
    const { when, captured, notes, readers } = explained('start_kernel');
    expect([when, captured]).toEqual(['boot', 'yes']);
    expect(notes.join('\n')).toMatch(/made by the build[^]*NT_PRSTATUS of the CPU that panics/);
    expect(readers.find(({ name }) => name === 'vmcore-dmesg')?.reads).toBe('yes');
    expect(readers.find(({ name }) => name === 'makedumpfile')?.reads).toBe('no');
  });

  // docs/readers.md: entering sparse_init it fails, entering zone_sizes_init, the next function, it works.
  test('makedumpfile reads from console_init on, and not early in setup_arch', () => {
    const reads = (place: string): unknown =>
      explained(place).readers.find(({ name }) => name === 'makedumpfile')?.reads;
    expect([reads('e820__memory_setup'), reads('console_init')]).toEqual(['no', 'yes']);
  });

  test("behind crash_notes_memory_init the kernel's own crash path writes the notes", () => {
    const late = explained('populate_rootfs');
    expect(late.moment).toContain('initcall');
    expect(late.notes.join('\n')).toContain('NT_PRSTATUS of every CPU');
    expect(late.readers.every(({ reads }) => reads === 'yes')).toBe(true);
  });
});

test('a function that runs at any time, and an address within it', () => {
  const { when, address } = explained('do_exit');
  expect(when).toBe('any');
  const within = `0x${(BigInt(address) + 5n).toString(16)}`;
  expect(explained(within)).toMatchObject({ function: 'do_exit', offset: 5, address });
  expect(explained('do_exit+0x5')).toMatchObject({ function: 'do_exit', offset: 5 });
});

test('what is no function is refused, with names that are like it', () => {
  expect(() => explained('start_kernl')).toThrow(/no function start_kernl/);
  expect(() => explained('0x0000000000001000')).toThrow(/no function of the kernel lies there/);
});

test('every point at which a real panic was captured is said to be', () => {
  const at = fileURLToPath(new URL('../../../docs/results/coverage.md', import.meta.url));
  const rows = [...readFileSync(at, 'utf8').matchAll(/^\| (\w+) \| [\w ]+ \| yes \|/gm)];
  const names = [...new Set(rows.map(([, name]) => name ?? ''))].filter(
    (name) => kernel.kallsyms.addresses(name).length === 1,
  );
  expect(names.length).toBeGreaterThan(300);
  expect(names.filter((name) => explained(name).captured === 'no')).toEqual([]);
}, 120_000);
