import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Manifest } from '../payload/manifest.js';
import { repackPayload } from '../payload/repack-payload.js';
import { loadStubObjects } from '../stubs/stub-objects.js';
import { takeApart } from '../payload/take-apart.js';
import { spread } from '../testkit/lanes.js';
import { buildInto, oracle, runSaveoops } from '../testkit/command-line.js';
import { surviveMutations } from '../testkit/mutate.js';
import { stockKernels } from '../testkit/stock-kernels.js';

const kernels = stockKernels();
const kernel = kernels.find(({ flavour }) => flavour === 'cloud-amd64')?.vmlinuz ?? '';
const other = kernels.find(({ flavour }) => flavour === 'amd64')?.vmlinuz ?? '';
let folder: string;
const at = (name: string): string => join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'saveoops-repack-'));
  for (const [name, size] of [
    ['one.img', 10_001],
    ['two.img', 70_000],
    ['small.img', 3],
    ['large.img', 30 << 20],
  ] as const) {
    writeFileSync(at(name), Buffer.alloc(size, name));
  }
  buildInto(at('base'), kernel, base);
}, 120_000);
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Options with file names of `folder` in place. */
const files = (args: readonly string[]): string[] =>
  args.map((arg) => (arg.endsWith('.img') ? at(arg) : arg));
const base = ['--append', 'root=/dev/sda1 quiet', '--crash-append', 'saveoops.hold=5'];

function repack(from: string, out: string, args: readonly string[]): ReturnType<typeof runSaveoops> {
  return runSaveoops(['repack', join(at(from), 'saveoops.c32'), '--out', at(out), ...files(args)]);
}

const sizeOf = (name: string): number =>
  (JSON.parse(readFileSync(join(at(name), 'saveoops.json'), 'utf8')) as Manifest).memory.size;

describe('repack gives the files that build gives with the new values, byte for byte', () => {
  const cases = [
    { name: 'nothing', built: [], changes: [], after: base },
    {
      name: 'append, crash append and initrds',
      built: [],
      changes: ['--append', 'rw single', '--crash-append', '', '--initrd', 'one.img', '--initrd', 'two.img'],
      after: ['--append', 'rw single', '--initrd', 'one.img', '--initrd', 'two.img'],
    },
    {
      name: 'a long crash append',
      built: ['--initrd', 'two.img'],
      changes: ['--crash-append', 'a'.repeat(1500)],
      after: ['--append', 'root=/dev/sda1 quiet', '--initrd', 'two.img', '--crash-append', 'a'.repeat(1500)],
    },
    {
      name: 'a small capture initramfs',
      built: ['--initrd', 'one.img', '--crash-size', '200M'],
      changes: ['--crash-initrd', 'small.img', '--initrd', 'two.img'],
      after: [...base, '--crash-initrd', 'small.img', '--initrd', 'two.img', '--crash-size', '200M'],
    },
    {
      name: 'a large capture initramfs',
      built: [],
      changes: ['--crash-initrd', 'large.img'],
      after: [...base, '--crash-initrd', 'large.img'],
    },
    {
      name: 'initrds beside, oops=panic, a crash kernel of its own, resets',
      built: [
        '--initrd-beside',
        '--initrd',
        'one.img',
        '--oops-panic',
        '--crash-kernel',
        other,
        '--reset-vga',
      ],
      changes: ['--append', 'ro', '--initrd', 'two.img', '--crash-size', '256M'],
      after: [
        '--initrd-beside',
        '--initrd',
        'two.img',
        '--oops-panic',
        '--crash-kernel',
        other,
        '--reset-vga',
      ].concat('--append', 'ro', '--crash-append', 'saveoops.hold=5', '--crash-size', '256M'),
    },
  ];
  test.each(spread(2, cases))(
    '$name',
    ({ built, changes, after }) => {
      for (const name of ['from', 'repacked', 'wanted']) rmSync(at(name), { recursive: true, force: true });
      if (built.length === 0) oracle('cp', ['-r', at('base'), at('from')]);
      else buildInto(at('from'), kernel, [...base, ...files(built)]);
      buildInto(at('wanted'), kernel, files(after));
      const run = repack('from', 'repacked', changes);
      expect([run.status, run.stderr]).toEqual([0, '']);
      oracle('diff', ['-r', at('wanted'), at('repacked')]);
      expect(runSaveoops(['inspect', at('repacked/saveoops.c32')]).status).toBe(0);
    },
    180_000,
  );

  test('in place, there and back', () => {
    oracle('cp', ['-r', at('base'), at('place')]);
    const there = repack('place', 'place', [
      '--append',
      'x',
      '--crash-append',
      'y z',
      '--crash-size',
      '300M',
    ]);
    expect(there.status).toBe(0);
    expect(sizeOf('place')).toBe(300 << 20);
    expect(() => oracle('diff', ['-r', at('base'), at('place')])).toThrow();
    const size = `${sizeOf('base') >> 20}M`;
    const back = repack('place', 'place', [...base, '--crash-size', size]);
    expect(back.status).toBe(0);
    buildInto(at('asked'), kernel, [...base, '--crash-size', size]);
    oracle('diff', ['-r', at('asked'), at('place')]);
  }, 120_000);

  test('to a file: the payload alone, and the APPEND that its entry needs', () => {
    const run = repack('base', 'alone.c32', ['--append', 'ro x']);
    expect([run.status, run.stderr]).toEqual([0, '']);
    expect(run.stdout).toContain('APPEND ro x\n');
    buildInto(at('with-append'), kernel, ['--append', 'ro x', '--crash-append', 'saveoops.hold=5']);
    oracle('cmp', [at('alone.c32'), at('with-append/saveoops.c32')]);
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  }, 120_000);
});

describe('what is refused leaves everything as it was', () => {
  const refused = (args: readonly string[], status: number, pattern: RegExp): void => {
    oracle('cp', ['-rT', at('base'), at('kept')]);
    const run = repack('kept', 'kept', args);
    expect([run.status, run.stdout]).toEqual([status, '']);
    expect(run.stderr).toMatch(pattern);
    oracle('diff', ['-r', at('base'), at('kept')]);
  };
  test('a region that is too small for the new initramfs, or that is asked for: exit code 67 and the sum', () => {
    refused(['--crash-size', '80M'], 67, /the crash region is too small[^]*at least [0-9.]+ MiB: /);
    buildInto(at('tight'), kernel, [...base, '--crash-size', '120M']);
    const run = repack('tight', 'nowhere', ['--crash-initrd', 'large.img']);
    expect(run.status).toBe(67);
    expect(run.stderr).toMatch(/at least [0-9.]+ MiB: /);
    expect(readdirSync(folder)).not.toContain('nowhere');
  }, 60_000);

  test.each([
    [['--append', 'a\nb'], 64, /line break/],
    [['--crash-append', 'a'.repeat(2000)], 64, /does not fit/],
    [['--initrd', 'missing.img'], 74, /missing\.img/],
    [['--crash-size', 'big'], 64, /not a size/],
    [['--frob'], 64, /frob/],
  ] as const)('%j: exit code %d', (args, status, pattern) => {
    refused(args, status, pattern);
  });

  test('a payload that is none: exit code 65 or 74', () => {
    const run = (name: string): number | null => runSaveoops(['repack', name, '--out', at('nowhere')]).status;
    expect([run(kernel), run(at('two.img')), run(at('missing'))]).toEqual([65, 65, 74]);
    expect(readdirSync(folder)).not.toContain('nowhere');
  });

  test('a configuration that a person has changed: not overwritten, but a file can be written', () => {
    oracle('cp', ['-rT', at('base'), at('changed')]);
    writeFileSync(at('changed/syslinux.cfg'), '# mine\n', { flag: 'a' });
    const run = repack('changed', 'changed', ['--append', 'x']);
    expect(run.status).toBe(66);
    expect(run.stderr).toContain('the configuration was changed after the build');
    oracle('cmp', [at('base/saveoops.c32'), at('changed/saveoops.c32')]);
    expect(repack('changed', 'own.c32', ['--append', 'x']).status).toBe(0);
  });
});

describe('damage', () => {
  const region = (name: string): Manifest['regions'][number] => {
    const manifest = JSON.parse(readFileSync(at('base/saveoops.json'), 'utf8')) as Manifest;
    const found = manifest.regions.find((each) => each.name === name);
    if (found === undefined) throw new Error(`no region ${name}`);
    return found;
  };
  const damagedAt = (place: number): void => {
    oracle('cp', ['-rT', at('base'), at('damaged')]);
    const bytes = readFileSync(at('base/saveoops.c32'));
    bytes.writeUInt8(bytes.readUInt8(place) ^ 0x10, place);
    writeFileSync(at('damaged/saveoops.c32'), bytes);
  };

  test.each(['setup', 'primary', 'entry-stub'])('of %s, which gets a new sum: exit code 65', (name) => {
    damagedAt(region(name).offset + (region(name).size >> 1));
    const run = repack('damaged', 'damaged', ['--append', 'x']);
    expect([run.status, run.stdout]).toEqual([65, '']);
    expect(run.stderr).toContain('the payload is damaged');
  });

  test('of any kind ends in a typed error or in a payload', async () => {
    const bytes = readFileSync(at('base/saveoops.c32'));
    const { efiModule } = await loadStubObjects();
    const refused = await surviveMutations(
      bytes,
      60,
      (damaged) => repackPayload(takeApart(damaged, 'damaged.c32'), efiModule, { crashAppend: 'x' }),
      region('module').size,
    );
    expect(refused).toBeGreaterThan(20);
  }, 60_000);

  test('elsewhere is still found afterwards', () => {
    damagedAt(region('crash-initrd').offset + 1000);
    expect(repack('damaged', 'damaged', ['--append', 'x']).status).toBe(0);
    const { status, stderr } = runSaveoops(['inspect', at('damaged/saveoops.c32')]);
    expect(status).toBe(65);
    expect(stderr).toContain('crash-initrd: other bytes than were written');
  });
});
