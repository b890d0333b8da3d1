/** The entry stub's side of UEFI on the host (stubs/host/efi.c): what QEMU's firmware does not refuse. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { oracle } from '../testkit/command-line.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const program = join(root, 'dist', 'stubs', 'efi');

interface Boot {
  readonly console: string;
  readonly serial: string;
  readonly reason: number;
  readonly kernelCalls: number;
  readonly status: number;
}

/** Start, end, type. */
type Row = readonly [string, string, number];

beforeAll(() => {
  oracle('make', ['-s', '-C', join(root, 'stubs'), `OUT=${join(root, 'dist', 'stubs')}`, program]);
}, 120_000);

describe('what firmware refuses is said on its console, and the kernel boots all the same', () => {
  test.each<[string, number, string]>([
    ['image', 40, 'no memory below 4 GiB for a copy of the image'],
    ['event', 41, 'firmware does not tell when boot services end'],
    ['region', 5, 'no free RAM below 4 GiB for the crash region'],
  ])('%s: E%d', (refused, reason, why) => {
    const number = String(reason).padStart(2, '0');
    expect(JSON.parse(oracle(program, [refused]))).toMatchObject({
      console: `saveoops: E${number} not armed: ${why}\r\n`,
      serial: '',
      reason,
      kernelCalls: 1,
      status: 7,
    });
  });

  test('a kernel that is not found: E42, on the serial port, as the console is gone', () => {
    const { console, serial, ...rest } = JSON.parse(oracle(program, ['kernel'])) as Boot;
    expect([console, serial]).toEqual([
      '',
      'saveoops: E42 not armed: the kernel that its EFI stub is about to start was not found\n',
    ]);
    expect(rest).toMatchObject({ reason: 42, kernelCalls: 1, status: 7, patched: 0 });
  });

  test('the bzImage is not the kernel that a stub enters which decompresses', () => {
    expect(JSON.parse(oracle(program, ['decompressed']))).toMatchObject({ reason: 42, patched: 1 });
    expect(JSON.parse(oracle(program, ['packed']))).toMatchObject({ reason: 0, serial: '', patched: 1 });
  });
});

describe('a crash region that is given back', () => {
  interface Given {
    readonly copyIsBelow: number;
    readonly copyIsEqual: number;
    readonly status: string;
    readonly given: string;
    readonly e820: readonly Row[];
    readonly efi: readonly Row[];
  }
  const giveBack = (entries: number): Given =>
    JSON.parse(oracle(program, ['give-back', String(entries)])) as Given;

  test('boot_params and the EFI map may lie above 4 GiB; the entry stub works on a copy below', () => {
    expect(giveBack(3)).toMatchObject({
      ...{ copyIsBelow: 1, copyIsEqual: 1, given: '0x40000000' },
      status: '0x3ffff000', // the node's page, which stays reserved
    });
  });

  test('is RAM in both maps; what firmware has reserved beside it is not', () => {
    const { e820, efi } = giveBack(3);
    expect(e820).toEqual([
      ['0x0', '0x100000', 1],
      ['0x3ffff000', '0x40000000', 2],
      ['0x40000000', '0x40400000', 1],
      ['0x40400000', '0x40402000', 2],
      ['0x200000', '0x300000', 1],
    ]);
    expect(efi).toEqual([
      ['0x30000000', '0x3ffff000', 7],
      ['0x3ffff000', '0x40000000', 0],
      ['0x40000000', '0x40400000', 7],
      ['0x40400000', '0x40402000', 0],
      ['0x40402000', '0x40502000', 7],
    ]);
  });

  test('stays reserved in an E820 map without two free entries', () => {
    expect(giveBack(126).e820).toHaveLength(128);
    const { e820 } = giveBack(127);
    expect(e820).toHaveLength(127);
    expect(e820).toContainEqual(['0x3ffff000', '0x40402000', 2]);
  });
});
