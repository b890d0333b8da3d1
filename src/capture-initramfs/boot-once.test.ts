import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { withTemporaryFolder } from '../host/files.js';
import { oracle, runSaveoops } from '../testkit/command-line.js';
import { scriptFolder } from './scripts.js';

const bootOnce = join(scriptFolder, 'bin/boot-once');

interface Sandbox {
  /** An empty folder, where the file system would be mounted. */
  readonly root: string;
  /** Runs boot-once by busybox, whose tools are the only programs, beside an extlinux that records its arguments. */
  readonly run: (...args: string[]) => { status: number | null; said: string };
  /** Arguments that extlinux got, one call a line. */
  readonly calls: () => string;
}

async function sandbox(use: (sandbox: Sandbox) => void, extlinuxStatus = 0): Promise<void> {
  await withTemporaryFolder((folder) => {
    const [bin, root, record] = ['bin', 'root', 'calls'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    mkdirSync(bin);
    mkdirSync(root);
    spawnSync('/bin/busybox', ['--install', '-s', bin]);
    const extlinux = `#!${bin}/sh\necho "$*" >>${record}\necho "words"\necho "the last words"\nexit ${extlinuxStatus}\n`;
    writeFileSync(join(bin, 'extlinux'), extlinux, { mode: 0o755 });
    use({
      root,
      run: (...args) => {
        const { status, stdout } = spawnSync('/bin/busybox', ['sh', bootOnce, ...args], {
          encoding: 'utf8',
          env: { PATH: bin },
        });
        return { status, said: stdout.trim() };
      },
      calls: () => (existsSync(record) ? readFileSync(record, 'utf8') : ''),
    });
    return Promise.resolve();
  });
}

describe('boot-once count', () => {
  test('counts on, from nothing, and saveoops booted ends the row', () =>
    sandbox(({ root, run }) => {
      expect(['1', '2', '3'].map(() => run('count', root).said)).toEqual(['1', '2', '3']);
      expect(readFileSync(join(root, 'in-a-row'), 'utf8')).toBe('3\n');
      expect(runSaveoops(['booted', '--dir', root])).toMatchObject({ status: 0, stdout: '', stderr: '' });
      expect(readFileSync(join(root, 'in-a-row'), 'utf8')).toBe('0\n');
      expect(run('count', root).said).toBe('1');
    }));

  test.each(['', '\n', '08', '-1', '1000', '1 2', '$(reboot)', 'x'.repeat(5000)])(
    'begins anew after %j',
    (text) =>
      sandbox(({ root, run }) => {
        writeFileSync(join(root, 'in-a-row'), text);
        expect(run('count', root)).toEqual({ status: 0, said: '1' });
      }),
  );

  test('does not follow a link', () =>
    sandbox(({ root, run }) => {
      const elsewhere = join(root, 'elsewhere');
      writeFileSync(elsewhere, '1\n');
      symlinkSync(elsewhere, join(root, 'in-a-row'));
      expect(run('count', root)).toEqual({ status: 1, said: '' });
      expect(readFileSync(elsewhere, 'utf8')).toBe('1\n');
    }));
});

describe('boot-once set', () => {
  const install = (root: string, config: string): string => {
    const folder = join(root, 'boot/syslinux');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'ldlinux.sys'), '');
    writeFileSync(join(folder, 'syslinux.cfg'), config);
    return folder;
  };
  const capture = (root: string): string => {
    const path = join(root, 'saveoops/20261124T180000Z-6.1.0-a1b2c3');
    mkdirSync(path, { recursive: true });
    writeFileSync(join(root, 'saveoops/in-a-row'), '3\n');
    return path;
  };

  test.each(['LABEL old\n', '  label old\r\n', 'DEFAULT x\nLABEL x\nLabel\told\n'])(
    'tells extlinux label and capture, and begins to count anew: %j',
    (config) =>
      sandbox(({ root, run, calls }) => {
        const folder = install(root, config);
        expect(run('set', root, 'old', capture(root))).toEqual({ status: 0, said: '' });
        expect(calls()).toBe(`--once=old saveoops.fallback=20261124T180000Z-6.1.0-a1b2c3 ${folder}\n`);
        expect(readFileSync(join(root, 'saveoops/in-a-row'), 'utf8')).toBe('0\n');
      }),
  );

  test('an entry that the configuration does not have is refused, and the count stays', () =>
    sandbox(({ root, run, calls }) => {
      install(root, 'LABEL older\nAPPEND LABEL old\n# LABEL old\n');
      expect(run('set', root, 'old', capture(root))).toEqual({
        status: 1,
        said: 'no ldlinux.sys with an entry "old" beside it',
      });
      expect(calls()).toBe('');
      expect(readFileSync(join(root, 'saveoops/in-a-row'), 'utf8')).toBe('3\n');
    }));

  test("extlinux's failure is told in its last words, and the count stays", () =>
    sandbox(({ root, run }) => {
      install(root, 'LABEL old\n');
      expect(run('set', root, 'old', capture(root))).toEqual({ status: 1, said: 'the last words' });
      expect(readFileSync(join(root, 'saveoops/in-a-row'), 'utf8')).toBe('3\n');
    }, 1));
});

describe('boot-once set-grub', () => {
  const capture = (root: string): string => {
    const path = join(root, 'saveoops/20261124T180000Z-6.1.0-a1b2c3');
    mkdirSync(path, { recursive: true });
    writeFileSync(join(root, 'saveoops/in-a-row'), '3\n');
    return path;
  };
  const menu = [
    ...["menuentry 'Debian' --class os $menuentry_id_option 'plain' {", '\tlinux /vmlinuz', '}'],
    ...[
      "submenu 'More' $menuentry_id_option 'more' {",
      "\tmenuentry 'x' $menuentry_id_option 'old' {",
      '\t}',
      '}',
    ],
    ...["menuentry 'after' $menuentry_id_option 'after' {", '}', ''],
  ].join('\n');
  const install = (root: string, folder: string, ...variables: readonly string[]): string => {
    mkdirSync(join(root, folder), { recursive: true });
    writeFileSync(join(root, folder, 'grub.cfg'), menu);
    const environment = join(root, folder, 'grubenv');
    oracle('grub-editenv', [environment, 'create']);
    for (const each of variables) oracle('grub-editenv', [environment, 'set', each]);
    return environment;
  };
  const variables = [
    [],
    ['saved_entry=gnulinux-simple', 'next_entry='],
    ['next_entry=a', 'saveoops_capture=b', 'last=1'],
    ['odd=ends with \\', 'next_entry_=no', 'lines=a\nnext_entry=not this\nb', 'next_entry=old\nold'],
  ];

  test.each(variables)('writes what grub-editenv would have written: %j %j %j %j', (...given) =>
    sandbox(({ root, run }) => {
      const set = given.filter((each) => each !== undefined);
      const environment = install(root, 'grub', ...set);
      const like = install(root, 'like', ...set);
      oracle('grub-editenv', [like, 'set', 'saveoops_capture=20261124T180000Z-6.1.0-a1b2c3']);
      oracle('grub-editenv', [like, 'set', 'next_entry=more>old']);
      expect(run('set-grub', root, 'old', capture(root))).toEqual({ status: 0, said: '' });
      expect(readFileSync(environment, 'latin1')).toBe(readFileSync(like, 'latin1'));
      expect(readFileSync(join(root, 'saveoops/in-a-row'), 'utf8')).toBe('0\n');
    }),
  );

  test.each(['plain', 'after'])('an entry outside of submenus: %s', (id) =>
    sandbox(({ root, run }) => {
      const environment = install(root, 'boot/grub');
      expect(run('set-grub', root, id, capture(root))).toEqual({ status: 0, said: '' });
      expect(oracle('grub-editenv', [environment, 'list'])).toContain(`next_entry=${id}\n`);
    }),
  );

  test.each([
    ['an entry that there is not', 'none', undefined, 'no grub.cfg with an entry "none"'],
    ['no block', 'old', '', "grubenv is no environment block of GRUB's"],
    ['another file', 'old', 'x'.repeat(1024), 'grubenv has no room for saveoops_capture, or is damaged'],
    [
      'a full block',
      'old',
      `# GRUB Environment Block\na=${'x'.repeat(996)}\n`,
      'grubenv has no room for saveoops_capture, or is damaged',
    ],
  ])('%s is refused, nothing is written, and the count stays', (_, id, block, why) =>
    sandbox(({ root, run }) => {
      const environment = install(root, 'grub');
      if (block !== undefined) writeFileSync(environment, block);
      const had = readFileSync(environment, 'latin1');
      const { status, said } = run('set-grub', root, id, capture(root));
      expect([status, said.replace(`${root}/grub/`, '')]).toEqual([1, why]);
      expect(readFileSync(environment, 'latin1')).toBe(had);
      expect(readFileSync(join(root, 'saveoops/in-a-row'), 'utf8')).toBe('3\n');
    }),
  );
});

describe('boot-once set-systemd-boot', () => {
  const name = 'token-saveoops-fallback';
  /** What saveoops update has made ready; gives the folder of the entries. */
  const install = (root: string, entry: readonly string[]): string => {
    const [made, entries] = [join(root, 'saveoops/token'), join(root, 'loader/entries')];
    for (const folder of [made, entries]) mkdirSync(folder, { recursive: true });
    writeFileSync(join(made, `${name}.conf`), [...entry, ''].join('\n'));
    writeFileSync(join(root, 'saveoops/in-a-row'), '3\n');
    return entries;
  };

  test('has the entry made, with one try and the name of the capture, and begins the count anew', () =>
    sandbox(({ root, run }) => {
      const entries = install(root, ['title a', 'linux /token/1/linux']);
      writeFileSync(join(entries, `${name}+0-1.conf`), 'of an earlier time');
      expect(run('set-systemd-boot', root, name, join(root, 'saveoops/capture'))).toEqual({
        status: 0,
        said: '',
      });
      expect(readdirSync(entries)).toEqual([`${name}+1.conf`]);
      expect(readFileSync(join(entries, `${name}+1.conf`), 'utf8')).toBe(
        'title a\nlinux /token/1/linux\noptions    saveoops.fallback=capture\n',
      );
      expect(readFileSync(join(root, 'saveoops/in-a-row'), 'utf8')).toBe('0\n');
    }));

  test.each([
    ['is nowhere', 'V.efi'],
    ['has no counter any more', 'V.efi', 'V.efi'],
    ['has a counter', 'V+2-1.efi', 'V+2-1.efi'],
    ['of another version has one', 'V.efi', 'V2+3.efi'],
  ])('starts a unified kernel image whose name %s', (_, wanted, ...there) =>
    sandbox(({ root, run }) => {
      const entries = install(root, ['title a', 'efi        /EFI/Linux/V.efi', 'options ro']);
      mkdirSync(join(root, 'EFI/Linux'), { recursive: true });
      for (const file of there) writeFileSync(join(root, 'EFI/Linux', file), '');
      expect(run('set-systemd-boot', root, name, join(root, 'saveoops/capture')).status).toBe(0);
      expect(readFileSync(join(entries, `${name}+1.conf`), 'utf8')).toBe(
        `title a\nefi        /EFI/Linux/${wanted}\noptions ro\noptions    saveoops.fallback=capture\n`,
      );
    }),
  );

  test('a default of the administrator in loader.conf that is another entry is said', () =>
    sandbox(({ root, run }) => {
      const entries = install(root, ['title a']);
      writeFileSync(join(root, 'loader/loader.conf'), 'timeout 3\ndefault mine*\n');
      expect(run('set-systemd-boot', root, name, join(root, 'saveoops/capture'))).toEqual({
        status: 1,
        said: 'loader.conf has a default of its own: mine*',
      });
      expect(readdirSync(entries)).toEqual([]);
    }));
});

test('wrong arguments: usage', () => sandbox(({ run }) => expect(run('set').status).toBe(2)));

describe('saveoops build refuses', () => {
  test.each([
    [['--max-captures-in-a-row', '-1'], /not a number of captures/],
    [['--max-captures-in-a-row', '1.5'], /not a number of captures/],
    [['--fallback-entry', 'two words'], /not a label/],
    [['--fallback-entry', ''], /not a label/],
  ] as const)('%j', (args, why) => {
    const run = runSaveoops(['build', '--kernel', '/nowhere', '--out', 'out', ...args]);
    expect([run.status, run.stderr]).toEqual([64, expect.stringMatching(why)]);
  });
});

/** What `boot-once set` says of a file system with these files. No folder here is an installation that extlinux takes. */
function said(folder: string, files: Readonly<Record<string, string>>, label: string): string {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  const args = ['sh', bootOnce, 'set', folder, label, join(folder, 'saveoops', 'capture')];
  const run = spawnSync('busybox', args, { encoding: 'utf8' });
  expect(run.status).toBe(1);
  return run.stdout.trim();
}

describe('boot-once looks for the label before it asks extlinux', () => {
  const menu = 'DEFAULT x\n\nLABEL saveoops-fallback\n\tMENU HIDE\n';
  const none = 'no ldlinux.sys with an entry "saveoops-fallback" beside it';

  test.each([
    ['in the configuration', { 'syslinux/ldlinux.sys': '', 'syslinux/syslinux.cfg': menu }],
    [
      'in the menu of /boot',
      { 'boot/extlinux/ldlinux.sys': '', 'boot/saveoops/syslinux-saveoops.cfg': menu },
    ],
    [
      'in the menu of a boot partition',
      { 'extlinux/ldlinux.sys': '', 'saveoops/syslinux-saveoops.cfg': menu },
    ],
    [
      'in the menu, loader in /boot itself',
      { 'boot/ldlinux.sys': '', 'boot/saveoops/syslinux-saveoops.cfg': menu },
    ],
  ])('and finds it %s', (_, files) =>
    withTemporaryFolder((folder) => {
      expect(said(folder, files, 'saveoops-fallback')).not.toBe(none);
      return Promise.resolve();
    }),
  );

  test.each([
    [
      'another label',
      { 'extlinux/ldlinux.sys': '', 'saveoops/syslinux-saveoops.cfg': 'LABEL saveoops-fallback2\n' },
    ],
    ['a menu without a loader', { 'saveoops/syslinux-saveoops.cfg': menu }],
  ])('and not with %s', (_, files) =>
    withTemporaryFolder((folder) => {
      expect(said(folder, files, 'saveoops-fallback')).toBe(none);
      return Promise.resolve();
    }),
  );
});
