/** What status says of payloads in /boot. What it reads in /sys is tested on running systems: qemu-tests. */
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { spread } from '../testkit/lanes.js';
import { buildInto, runSaveoops } from '../testkit/command-line.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { findReserved } from '../system/crash-region.js';
import type { SystemStatus } from './status.js';

const kernel = stockKernels().find(({ flavour }) => flavour === 'cloud-amd64')?.vmlinuz ?? '';
const release = basename(kernel).replace('vmlinuz-', '');
let folder: string;
let root: string;
const boot = (name: string): string => join(root, 'boot', name);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'saveoops-status-'));
  writeFileSync(join(folder, `initrd.img-${release}`), Buffer.alloc(50_000, 'initrd'));
  const initrd = ['--initrd', join(folder, `initrd.img-${release}`)];
  buildInto(join(folder, 'embedded'), kernel, initrd);
  buildInto(join(folder, 'beside'), kernel, [...initrd, '--initrd-beside']);
}, 120_000);
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** A system in `root` that is armed, with the kernel and the initramfs of the payload installed. */
beforeEach(() => {
  root = mkdtempSync(join(folder, 'root-'));
  const node = join(root, 'sys/kernel/boot_params/setup_data/0');
  mkdirSync(node, { recursive: true });
  writeFileSync(join(node, 'type'), '0x53415645\n');
  const data = Buffer.alloc(24);
  data.writeUInt32LE(2, 0);
  data.writeBigUInt64LE(112n << 20n, 8);
  writeFileSync(join(node, 'data'), data);
  mkdirSync(join(root, 'boot'));
  copyFileSync(kernel, boot(basename(kernel)));
  copyFileSync(join(folder, `initrd.img-${release}`), boot(`initrd.img-${release}`));
});

const install = (payload: string, name = 'saveoops'): void => {
  cpSync(join(folder, payload), boot(name), { recursive: true });
};

/** Exit code, the lines of --motd, and what --json says of the first payload. */
function status(...args: string[]): { code: number | null; motd: string[]; stale: readonly string[] } {
  const motd = runSaveoops(['status', '--root', root, '--motd', ...args]);
  const json = runSaveoops(['status', '--root', root, '--json', ...args]);
  const plain = runSaveoops(['status', '--root', root, ...args]);
  const { payloads } = JSON.parse(json.stdout) as SystemStatus;
  expect([json.status, plain.status]).toEqual([motd.status, motd.status]);
  for (const each of payloads.flatMap(({ stale }) => stale)) expect(plain.stdout).toContain(`\n  ${each}\n`);
  return {
    code: motd.status,
    motd: motd.stdout.split('\n').filter((line) => line !== ''),
    stale: payloads[0]?.stale ?? ['no payload'],
  };
}

describe('a payload in /boot', () => {
  test.each(['embedded', 'beside'])('%s initrds: up to date', (payload) => {
    install(payload);
    expect(status()).toEqual({ code: 0, motd: [], stale: [] });
    const { stdout } = runSaveoops(['status', '--root', root]);
    expect(stdout).toContain(`payload: ${boot('saveoops')}, Linux ${release}: up to date\n`);
  });

  test.each(['embedded', 'beside'])('%s initrds: an initramfs that was made anew', (payload) => {
    install(payload);
    writeFileSync(boot(`initrd.img-${release}`), 'anew');
    const stale = [`${boot(`initrd.img-${release}`)} was changed after the build`];
    const motd = [`saveoops: the payload in ${boot('saveoops')} is stale: ${stale.join()}`];
    expect(status()).toEqual({ code: 3, motd, stale });
  });

  test('a kernel that was changed; one that is gone', () => {
    install('embedded');
    const file = boot(basename(kernel));
    const bytes = readFileSync(file);
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
    writeFileSync(file, bytes);
    expect(status()).toMatchObject({ code: 3, stale: [`${file} was changed after the build`] });
    rmSync(file);
    expect(status()).toMatchObject({ code: 3, stale: [`${file} is gone`] });
  });

  test.each(
    spread(3, [
      [release.replace(/-(\d+)-/, (_, abi: string) => `-${Number(abi) + 1}-`), true],
      [release.replace(/-(\d+)-/, '-1$1-'), true], // As a text it comes before: -156- and -56-.
      [release.replace(/^(\d+)\.(\d+)/, '$1.1$2'), true],
      [release.replace(/-(\d+)-/, (_, abi: string) => `-${Number(abi) - 1}-`), false],
      [release.replace(/^(\d+)/, '4'), false],
      [`9${release.replace('cloud-', 'rt-')}`, false],
      ['0-rescue-1234', false],
    ]),
  )('with Linux %s installed beside it: stale %p', (other, isStale) => {
    install('embedded');
    writeFileSync(boot(`vmlinuz-${other}`), '');
    const stale = isStale ? [`Linux ${other} is installed, and no payload has it`] : [];
    expect(status()).toMatchObject({ code: isStale ? 3 : 0, stale });
  });

  test('beside the payload of the newest kernel an older one is not stale', () => {
    install('embedded', 'saveoops/old');
    install('embedded', 'saveoops/new');
    const next = release.replace(/-(\d+)-/, '-1$1-');
    const manifest = readFileSync(boot('saveoops/new/saveoops.json'), 'utf8');
    writeFileSync(boot('saveoops/new/saveoops.json'), manifest.replaceAll(release, next));
    copyFileSync(kernel, boot(`vmlinuz-${next}`));
    copyFileSync(boot(`initrd.img-${release}`), boot(`initrd.img-${next}`));
    expect(status()).toEqual({ code: 0, motd: [], stale: [] });
  });

  test('--payload: one elsewhere, and only that', () => {
    install('embedded');
    writeFileSync(boot(`initrd.img-${release}`), 'anew');
    const elsewhere = join(root, 'elsewhere');
    renameSync(boot('saveoops'), elsewhere);
    expect(status()).toMatchObject({ code: 0, stale: ['no payload'] });
    expect(status('--payload', elsewhere).code).toBe(3);
    const missing = runSaveoops(['status', '--root', root, '--payload', join(root, 'sys')]);
    expect([missing.status, missing.stdout]).toEqual([74, '']);
  });

  test('started without one: the advice is to boot its entry, or to make one when there is none', () => {
    rmSync(join(root, 'sys/kernel/boot_params/setup_data/0'), { recursive: true });
    const advice = (): string =>
      /^ {2}do: (.*)$/m.exec(runSaveoops(['status', '--root', root]).stdout)?.[1] ?? '';
    expect(advice()).toMatch(/^make a payload: saveoops build/);
    install('embedded');
    expect(advice()).toMatch(/^boot the armed entry/);
    writeFileSync(boot('saveoops/waiting-for-key'), 'no key\n  do: enrol it\n');
    expect(advice()).toBe('enrol it');
  });

  test('a manifest that cannot be read is said, not thrown', () => {
    install('embedded');
    writeFileSync(boot('saveoops/saveoops.json'), '{');
    expect(status()).toMatchObject({ code: 3, stale: [expect.stringContaining('not a Saveoops manifest')] });
  });

  test('a file that is not readable is not compared', () => {
    install('embedded');
    rmSync(boot(`initrd.img-${release}`));
    mkdirSync(boot(`initrd.img-${release}`)); // For root, too, no file that can be read.
    const { stdout, status: code } = runSaveoops(['status', '--root', root]);
    expect(code).toBe(0);
    expect(stdout).toContain(`not compared: ${boot(`initrd.img-${release}`)}: EISDIR`);
  });

  test('not armed counts more than stale; --motd says both', () => {
    install('embedded');
    rmSync(boot(basename(kernel)));
    const data = Buffer.alloc(24);
    data.writeUInt32LE(2, 0);
    data.writeUInt32LE(7, 4);
    writeFileSync(join(root, 'sys/kernel/boot_params/setup_data/0/data'), data);
    const { code, motd } = status();
    expect(code).toBe(1);
    expect(motd).toEqual([expect.stringContaining('E07 not armed'), expect.stringContaining('is gone')]);
  });
});

describe('the test of a reset', () => {
  const capture = (name: string, kind: string, commandLine: string, lost: number): void => {
    const folder = boot(`saveoops/${name}`);
    mkdirSync(folder, { recursive: true });
    const held = { checked: 700, lost };
    const reset = { lostKiB: 4096, image: held, tables: { checked: 9, lost: 0 }, uptime: 4, by: null };
    writeFileSync(
      join(folder, 'capture.json'),
      JSON.stringify({ kind, reset, primary: { release, banner: null, commandLine } }),
    );
  };

  test('is told from the newest capture that it left', () => {
    const said = (): string => runSaveoops(['status', '--root', root]).stdout;
    capture('20261124T180000Z-6.1.0-a1b2c3', 'reset', 'ro quiet', 0);
    expect(said()).not.toContain('after a reset');
    capture('20261122T180000Z-6.1.0-a1b2c4', 'reset', 'ro saveoops.test=reset quiet', 2);
    expect(said()).toContain(
      'after a reset: memory comes through, 707 of 709 checked pages (test of 2026-11-22',
    );
    capture('20261123T180000Z-6.1.0-a1b2c5', 'reset', 'saveoops.test=reset', 0);
    expect(said()).toContain('709 of 709 checked pages (test of 2026-11-23');
    capture('20261125T180000Z-6.1.0-a1b2c6', 'panic', 'saveoops.test=reset', 0);
    expect(said()).toContain('test of 2026-11-23');
  });
});

test('MemoryOverwriteRequest is told where a payload or the configuration has --after-reset, and nowhere else', () => {
  const variables = join(root, 'sys/firmware/efi/efivars');
  mkdirSync(variables, { recursive: true });
  const request = join(variables, 'MemoryOverwriteRequestControl-e20939be-32d4-41be-a150-897f85d49829');
  const said = (value: number): [unknown, string | undefined] => {
    writeFileSync(request, Buffer.of(7, 0, 0, 0, value));
    const run = (option: string): string => runSaveoops(['status', '--root', root, option]).stdout;
    const { clearsMemory } = JSON.parse(run('--json')) as SystemStatus;
    expect(run('--motd')).toBe('');
    const lines = runSaveoops(['status', '--root', root]).stdout.split('\n');
    return [clearsMemory, lines.find((line) => line.includes('MemoryOverwriteRequest'))];
  };
  install('embedded');
  expect(said(1)).toEqual([undefined, undefined]);
  mkdirSync(join(root, 'etc'));
  const config = join(root, 'etc/saveoops.yaml');
  for (const text of ['after-reset: false\n', 'after-reset: [', 'after-reset\n', 'save: boot\n']) {
    writeFileSync(config, text);
    expect(said(1)).toEqual([undefined, undefined]);
  }
  writeFileSync(config, 'after-reset: true\n');
  expect(said(1)).toEqual([true, expect.stringContaining('will have cleared memory')]);
  rmSync(config);
  const manifest = JSON.parse(readFileSync(boot('saveoops/saveoops.json'), 'utf8')) as object;
  writeFileSync(boot('saveoops/saveoops.json'), JSON.stringify({ ...manifest, afterReset: true }));
  expect(said(1)).toEqual([true, expect.stringContaining('will have cleared memory')]);
  expect(said(0x10)).toEqual([false, expect.stringContaining('has not been asked to clear memory')]);
});

describe('findReserved', () => {
  const iomem = [
    '00000000-00000fff : Reserved',
    '00100000-5fffffff : System RAM',
    '  01000000-02000000 : Kernel code',
    '  10000000-1fffffff : Reserved',
    '70000000-76ffffff : Reserved',
    '80000000-ffffffff : Reserved',
  ].join('\n');
  test.each([
    [112 << 20, { start: '0x70000000', end: '0x76ffffff' }],
    [110 << 20, { start: '0x70000000', end: '0x76ffffff' }],
    [114 << 20, { start: '0x80000000', end: '0xffffffff' }],
    [0, undefined],
    [2 ** 32, undefined],
  ])('%d bytes', (size, range) => {
    expect(findReserved(iomem, size)).toEqual(range);
  });

  test('as a user who is not root sees it', () => {
    expect(findReserved(iomem.replace(/\b[0-9a-f]{8}\b/g, '00000000'), 112 << 20)).toBeUndefined();
  });
});
