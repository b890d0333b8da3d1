/** after-reset.bin as `saveoops update` leaves it: what the module of one payload knows of the others (docs/protocol.md). */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { runSaveoops } from '../testkit/command-line.js';
import { smallKernel } from '../testkit/stock-kernels.js';
import { keptListChange } from './kept-regions.js';

const { vmlinuz } = smallKernel();
const version = basename(vmlinuz).slice('vmlinuz-'.length);
const limit = 120_000;
let boot: string;
const store = (...names: readonly string[]): string => join(boot, 'saveoops', ...names);

beforeAll(() => {
  boot = mkdtempSync(join(tmpdir(), 'saveoops-kept-'));
  cpSync(vmlinuz, join(boot, basename(vmlinuz)));
  writeFileSync(join(boot, 'extlinux.conf'), 'DEFAULT linux\nLABEL linux\n\tLINUX vmlinuz\n');
});
afterAll(() => {
  rmSync(boot, { recursive: true, force: true });
});

function update(...more: readonly string[]): void {
  const args = [
    '--boot',
    boot,
    '--boot-config',
    join(boot, 'extlinux.conf'),
    '--append',
    'ro',
    '--no-config',
  ];
  expect(runSaveoops(['update', ...args, ...more])).toMatchObject({ status: 0, stderr: '' });
}

/** What the list holds, cut up by docs/protocol.md: a head of 16 bytes, then 208 for each payload. */
function regions(text: string | undefined): readonly Buffer[] {
  const bytes = Buffer.from(text ?? '', 'latin1');
  if (text === undefined) return [];
  expect(bytes.toString('latin1', 0, 4)).toBe('SvKl');
  const count = bytes.readUInt32LE(12);
  const found = Array.from({ length: count }, (_, index) =>
    bytes.subarray(16 + 208 * index).subarray(0, 208),
  );
  expect(bytes.subarray(16 + 208 * count).every((byte) => byte === 0)).toBe(true);
  return found;
}
const listed = (): readonly Buffer[] =>
  regions(
    existsSync(store('after-reset.bin')) ? readFileSync(store('after-reset.bin'), 'latin1') : undefined,
  );

/** Whether a payload's module has this region as its own: the bytes stand in its load table. */
const holds = (name: string, region: Buffer): boolean =>
  readFileSync(store(name, 'saveoops.c32'))
    .subarray(0, 1 << 20)
    .includes(region);

test(
  'it tells of each payload that is kept, and of no other',
  async () => {
    update();
    expect(listed()).toEqual([]);
    // What was built before stays as V.old; it has no region to tell of.
    update('--after-reset');
    const [first, ...none] = listed();
    expect(none).toEqual([]);
    expect(first && [holds(version, first), holds(`${version}.old`, first)]).toEqual([true, false]);
    // The running system may have come from V.old: both are told of.
    update('--after-reset', '--crash-append', 'saveoops.hold=7');
    const both = listed();
    expect(both).toHaveLength(2);
    expect([version, `${version}.old`].map((name) => both.map((each) => holds(name, each)))).toEqual([
      [false, true],
      [true, false],
    ]);
    expect(both[1]).not.toEqual(first);
    expect(both[0]).toEqual(first);

    const text = readFileSync(store('after-reset.bin'), 'latin1');
    const wanted = async (): Promise<readonly Buffer[]> => regions((await keptListChange(store())).text);
    expect((await keptListChange(store())).text).toBe(text);
    // Being written: not told of.
    renameSync(store(version), store(`${version}.new`));
    expect(await wanted()).toEqual([first]);
    renameSync(store(`${version}.new`), store(version));
    // Of somebody else: a folder without update.json.
    mkdirSync(store('mine'));
    for (const name of ['saveoops.c32', 'saveoops.json']) cpSync(store(version, name), store('mine', name));
    expect(await wanted()).toEqual(both);
    rmSync(store('mine'), { recursive: true });
    // Damaged: a flipped bit in the digests that its module would go by.
    const file = store(version, 'saveoops.c32');
    const bytes = readFileSync(file);
    const at = bytes.indexOf(both[1] ?? '') + 100;
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    rmSync(file);
    writeFileSync(file, bytes);
    expect(await wanted()).toEqual([first]);
    // Not there any more, cut off.
    writeFileSync(file, bytes.subarray(0, 4096));
    expect(await wanted()).toEqual([first]);
    rmSync(file);
    expect(await wanted()).toEqual([first]);

    update('--remove', version);
    expect(
      readdirSync(store()).filter((name) => name.startsWith('after-reset') || name.startsWith(version)),
    ).toEqual([]);
    update('--after-reset');
    expect(listed()).toEqual([first]);
    update('--disable');
    expect(existsSync(store('after-reset.bin'))).toBe(false);
  },
  limit,
);
