/** The files of systemd-boot's menu; what systemd-boot makes of them is in qemu-tests/efi-systemd-boot.lane.ts. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { makeChanges, pending } from './file-change.js';
import type { Loader, Offer } from './loader.js';
import { systemdBoot } from './systemd-boot.js';
import { oracle } from '../testkit/command-line.js';
import { writePe } from '../testkit/pe-writer.js';

const folder = mkdtempSync(join(tmpdir(), 'saveoops-sdboot-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const token = '0123456789abcdef0123456789abcdef';
const [newer, older] = ['6.12.10-amd64', '6.12.9-amd64'];
/** As kernel-install writes it. */
const plainText = (version: string): string =>
  [
    '# Boot Loader Specification type#1 entry',
    'title      Debian GNU/Linux 13 (trixie)',
    `version    ${version}`,
    `machine-id ${token}`,
    'sort-key   debian',
    'options    root=UUID=1 ro quiet',
    `linux      /${token}/${version}/linux`,
    `initrd     /${token}/${version}/initrd.img-${version}`,
    '',
  ].join('\n');

let root: string;
let entries: string;
beforeEach(() => {
  root = mkdtempSync(join(folder, 'root-'));
  entries = join(root, 'boot/efi/loader/entries');
  for (const path of ['etc/kernel', 'boot/efi/loader/entries'])
    mkdirSync(join(root, path), { recursive: true });
  writeFileSync(join(root, 'etc/machine-id'), `${token}\n`);
  writeFileSync(join(entries, `${token}-${newer}+3.conf`), plainText(newer));
  writeFileSync(join(entries, `${token}-${older}.conf`), plainText(older));
});

const system = (words: readonly string[] = []): Parameters<typeof systemdBoot>[0] => ({
  root,
  bootConfig: undefined,
  words,
  fallbackEntry: undefined,
});
const offer = async (loader: Loader, store: string, wanted: readonly Offer[]): Promise<void> => {
  await makeChanges(await loader.changes(store, wanted));
};
const offers = (armed: string | undefined, previous?: string): readonly Offer[] =>
  [newer, older].map((version) => ({
    kernel: { version, kernel: `vmlinuz-${version}`, initrd: `initrd.img-${version}` },
    armed: version === newer ? armed : undefined,
    previous: version === newer ? previous : undefined,
  }));
const names = (): readonly string[] => readdirSync(entries).sort();
const plainNames = [`${token}-${newer}+3.conf`, `${token}-${older}.conf`];
const armedFile = (counter = ''): string => `${token}-${newer}_999-saveoops${counter}.conf`;

describe('entries', () => {
  test('the armed one is a copy of the plain one with another kernel, and words', async () => {
    const loader = systemdBoot(system(['oops=panic']));
    const store = await loader.open();
    expect(store).toBe(join(root, 'boot/efi/saveoops', token));
    await offer(loader, store, offers(newer, `${newer}.old`));
    expect(names()).toEqual([...plainNames, armedFile(), `${token}-${newer}-saveoops-old.conf`].sort());
    expect(readFileSync(join(entries, armedFile()), 'utf8')).toBe(
      [
        '# Written by saveoops update.',
        'title      Debian GNU/Linux 13 (trixie), armed',
        ...plainText(newer).split('\n').slice(2, 6),
        `linux      /saveoops/${token}/${newer}/saveoops.efi`,
        `initrd     /${token}/${newer}/initrd.img-${newer}`,
        'options    oops=panic',
        '',
      ].join('\n'),
    );
  });

  test('a counter is the one of kernel-install, and what systemd-boot has made of it stays', async () => {
    writeFileSync(join(root, 'etc/kernel/tries'), '3\n');
    const loader = systemdBoot(system());
    const store = await loader.open();
    await offer(loader, store, offers(newer));
    expect(names()).toContain(armedFile('+3'));
    const text = readFileSync(join(entries, armedFile('+3')));
    rmSync(join(entries, armedFile('+3')));
    writeFileSync(join(entries, armedFile('+2-1')), text);
    await offer(loader, store, offers(newer));
    expect(names()).toEqual([...plainNames, armedFile('+2-1')].sort());
    // A new payload is a new entry.
    await offer(loader, store, offers(undefined));
    await offer(loader, store, offers(newer));
    expect(names()).toEqual([...plainNames, armedFile('+3')].sort());
  });

  test('withdrawn is what boots a payload of that version, and nothing else', async () => {
    const loader = systemdBoot(system());
    const store = await loader.open();
    await offer(loader, store, offers(newer, `${newer}.old`));
    await loader.withdraw(store, older);
    expect(names()).toHaveLength(4);
    await loader.withdraw(store, newer);
    expect(names()).toEqual([...plainNames].sort());
  });

  test('of the fallback: made ready, taken by the capture, used up; leaving takes all of it', async () => {
    const loader = systemdBoot(system());
    const store = await loader.open();
    await offer(loader, store, offers(newer));
    const ready = join(store, `${token}-saveoops-fallback.conf`);
    const text = readFileSync(ready, 'utf8');
    expect(text).toContain(`linux      /${token}/${older}/linux\n`);
    expect(text).toContain('\nsort-key   0-saveoops\n');
    expect(text).not.toContain('sort-key   debian');
    const waiting = `${token}-saveoops-fallback+1.conf`;
    writeFileSync(join(entries, waiting), text);
    await offer(loader, store, offers(newer));
    expect(names()).toContain(waiting);
    rmSync(join(entries, waiting));
    writeFileSync(join(entries, `${token}-saveoops-fallback+0-1.conf`), text);
    await offer(loader, store, offers(newer));
    expect(names()).toEqual([...plainNames, armedFile()].sort());
    writeFileSync(join(entries, waiting), text);
    await loader.leave(store);
    expect(names()).toEqual([...plainNames].sort());
    expect(existsSync(ready)).toBe(false);
  });

  test('said before they are written: on a machine that has no folder of ours yet, too', async () => {
    const loader = systemdBoot(system());
    const said = await pending(await loader.changes(await loader.locate(), offers(newer)));
    expect(await loader.wouldJoin(await loader.locate(), offers(newer))).toEqual([]);
    expect(names()).toEqual([...plainNames].sort());
    expect(existsSync(join(root, 'boot/efi/saveoops'))).toBe(false);
    const store = await loader.open();
    const written = [join(store, `${token}-saveoops-fallback.conf`), join(entries, armedFile())];
    expect(said.map(({ path }) => path)).toEqual(written);
    await makeChanges(said);
    expect(await pending(await loader.changes(store, offers(newer)))).toEqual([]);
    expect([...(await loader.wouldLeave(store))].sort()).toEqual([...written].sort());
  });

  test('the plain ones keep every byte', async () => {
    const loader = systemdBoot(system());
    const store = await loader.open();
    await offer(loader, store, offers(newer, `${newer}.old`));
    await loader.leave(store);
    expect(readFileSync(join(entries, `${token}-${newer}+3.conf`), 'utf8')).toBe(plainText(newer));
  });
});

describe('unified kernel images', () => {
  /** As ukify makes them, but for what systemd-boot does not read: by objcopy, out of systemd-stub's place. */
  const unified = (name: string): void => {
    const [linux, work] = [join(root, 'boot/efi/EFI/Linux'), mkdtempSync(join(folder, 'uki-'))];
    mkdirSync(linux, { recursive: true });
    writeFileSync(
      join(work, 'osrel'),
      'ID=debian\nVERSION="13 (trixie)"\nPRETTY_NAME="Debian GNU/Linux 13"\n',
    );
    writeFileSync(join(work, 'cmdline'), 'root=UUID=1 ro\0');
    writeFileSync(join(work, 'stub'), writePe(0x1000));
    oracle('objcopy', [
      ...['osrel', 'cmdline'].flatMap((each, index) => [
        ...['--add-section', `.${each}=${join(work, each)}`],
        ...['--change-section-vma', `.${each}=0x${String(index + 2)}000`],
        ...['--set-section-flags', `.${each}=data,readonly`],
      ]),
      ...[join(work, 'stub'), join(linux, name)],
    ]);
  };

  test('the armed entry is of their title, and of their place in the menu; the fallback has their command line', async () => {
    rmSync(join(entries, plainNames[0] ?? ''));
    unified(`${token}-${newer}+3.efi`);
    unified(`${token}-${older}.efi`);
    writeFileSync(join(root, 'etc/kernel/tries'), '3\n');
    const loader = systemdBoot(system(['oops=panic']));
    const store = await loader.open();
    await offer(loader, store, offers(newer, `${newer}.old`));
    const head = [
      '# Written by saveoops update.',
      'title      Debian GNU/Linux 13, ',
      'version    13 (trixie)',
    ];
    expect(readFileSync(join(entries, armedFile('+3')), 'utf8')).toBe(
      [
        `${head.slice(0, 2).join('\n')}armed`,
        ...[head[2], 'sort-key   debian', `efi        /saveoops/${token}/${newer}/saveoops.efi`, ''],
      ].join('\n'),
    );
    // An entry of type #1 of the same kernel comes behind it.
    expect(readFileSync(join(store, `${token}-saveoops-fallback.conf`), 'utf8')).toBe(
      [
        `${head.slice(0, 2).join('\n')}after captures in a row`,
        ...[head[2], `efi        /EFI/Linux/${token}-${older}.efi`, 'sort-key   0-saveoops'],
        'options    root=UUID=1 ro systemd.mask=systemd-bless-boot.service',
        '',
      ].join('\n'),
    );
    await loader.leave(store);
    expect(names()).toEqual([plainNames[1]]);
  });

  test('what is none is passed over', async () => {
    const linux = join(root, 'boot/efi/EFI/Linux');
    mkdirSync(linux, { recursive: true });
    writeFileSync(join(linux, `${token}-${newer}.efi`), 'MZ');
    const loader = systemdBoot(system());
    const store = await loader.open();
    await offer(loader, store, offers(newer));
    expect(readFileSync(join(entries, armedFile()), 'utf8')).toContain(`linux      /saveoops/`);
  });
});

describe('refused', () => {
  test('a machine without entries of kernel-install', async () => {
    rmSync(join(root, 'boot/efi/loader/entries'), { recursive: true });
    await expect(systemdBoot(system()).open()).rejects.toMatchObject({ kind: 'unsupported' });
  });

  test('a payload whose kernel has no entry, once all others are offered', async () => {
    const loader = systemdBoot(system());
    const store = await loader.open();
    rmSync(join(entries, `${token}-${newer}+3.conf`));
    mkdirSync(join(store, newer));
    writeFileSync(join(store, newer, 'update.json'), '{}');
    await offer(loader, store, offers(newer));
    await expect(loader.join(store)).rejects.toMatchObject({ kind: 'unsupported' });
    expect(names()).toEqual([`${token}-${older}.conf`]);
  });
});

test("the token is that of /etc/kernel/entry-token, else the machine id, else the system's id", async () => {
  for (const [name, put] of [
    ['mine', () => writeFileSync(join(root, 'etc/kernel/entry-token'), 'mine\n')],
    [
      'debian',
      () => (
        rmSync(join(root, 'etc/kernel/entry-token')),
        writeFileSync(join(root, 'etc/os-release'), 'ID=debian\n')
      ),
    ],
  ] as const) {
    put();
    rmSync(entries, { recursive: true });
    mkdirSync(entries);
    writeFileSync(join(entries, `${name}-${newer}.conf`), plainText(newer));
    expect(await systemdBoot(system()).open()).toBe(join(root, 'boot/efi/saveoops', name));
  }
});
