/**
 * GRUB as a loader: `saveoops update --enable grub` on a machine with Debian's own grub-mkconfig. That GRUB then does what its
 * configuration says: qemu-tests/grub.lane.ts.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { UpdateResult } from '../commands/update.js';
import { oracle, type CommandResult } from '../testkit/command-line.js';
import { bootUuid, canRunGrub, GrubMachine, probedDisks, type ProbedDisk } from '../testkit/grub-machine.js';
import { spread } from '../testkit/lanes.js';
import { checkOutput } from '../testkit/output-schema.js';
import { smallKernel } from '../testkit/stock-kernels.js';

const cli = fileURLToPath(new URL('../cli.js', import.meta.url));
const script = fileURLToPath(new URL('../../../src/boot/grub.d/99_saveoops', import.meta.url));
const stock = smallKernel();
const version = basename(stock.vmlinuz).slice('vmlinuz-'.length);
const older = '5.10.0-1-amd64';
const limit = 300_000;

/** One entry of the menu: its first line, what it runs, as written but for indentation. */
interface Entry {
  readonly head: string;
  readonly id: string;
  readonly lines: readonly string[];
}

/** A reading of grub.cfg of its own: entries in their order, wherever they are nested. */
function entriesOf(config: string): readonly Entry[] {
  return [...config.matchAll(/^([ \t]*)menuentry (.*)\{\n([^]*?)^\1\}$/gm)].map(
    ([, , head = '', body = '']) => ({
      head,
      id: /'([^']*)' $/.exec(head)?.[1] ?? '',
      lines: body.split('\n').map((line) => line.trim()),
    }),
  );
}

/** What 99_saveoops has added; the rest is what the machine had. */
function split(config: string): { readonly own: string; readonly rest: string } {
  const found =
    /\n### BEGIN \/etc\/grub\.d\/99_saveoops ###\n([^]*?)### END \/etc\/grub\.d\/99_saveoops ###\n/;
  return { own: found.exec(config)?.[1] ?? '', rest: config.replace(found, '') };
}

const digests = (machine: GrubMachine): readonly string[] =>
  [machine.boot, machine.scripts].flatMap((folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => {
        const path = join(entry.parentPath, entry.name);
        const content = entry.isSymbolicLink() ? readlinkSync(path) : readFileSync(path);
        return `${path} ${createHash('sha256').update(content).digest('hex')} ${statSync(path).mode}`;
      })
      .sort(),
  );

const update = (machine: GrubMachine, ...args: readonly string[]): CommandResult =>
  machine.run(process.execPath, cli, 'update', '--no-config', ...args);

function newMachine(disk?: ProbedDisk, defaults?: string): GrubMachine {
  const machine = new GrubMachine(disk, defaults);
  for (const each of [version, older]) {
    copyFileSync(stock.vmlinuz, join(machine.boot, `vmlinuz-${each}`));
    writeFileSync(join(machine.boot, `initrd.img-${each}`), 'initramfs');
  }
  return machine;
}

/** As if the script had been enabled, without a payload. */
function withScript(machine: GrubMachine, words = ''): string {
  spawnSync('mkdir', ['-p', join(machine.boot, 'saveoops')]);
  writeFileSync(join(machine.boot, 'saveoops', 'grub.conf'), `words=${words}\n`);
  symlinkSync(script, join(machine.scripts, '99_saveoops'));
  const { status, stdout, stderr } = machine.run('grub-mkconfig');
  expect([status, stderr]).toEqual([0, expect.stringContaining('done')]);
  oracle('grub-script-check', [], Buffer.from(stdout, 'latin1'));
  return stdout;
}

(canRunGrub ? describe : describe.skip)(
  'saveoops update --enable grub (skipped where no namespace may be made)',
  () => {
    let machine: GrubMachine;
    let before: readonly string[];
    let plainConfig: string;
    /** What a dry run has told before the first payload. */
    let told: UpdateResult;
    const marker = (): string => join(machine.boot, 'saveoops', version, 'armed.grub');
    const stored = (...names: readonly string[]): string => join(machine.boot, 'saveoops', ...names);

    beforeAll(() => {
      machine = newMachine();
      // One kernel to build for; the other one cannot be.
      writeFileSync(join(machine.boot, `vmlinuz-${older}`), 'no kernel');
      writeFileSync(join(machine.boot, 'grub', 'grub.cfg'), '', { mode: 0o600 });
      expect(machine.run('grub-mkconfig', '-o', '/boot/grub/grub.cfg').status).toBe(0);
      machine.run('grub-editenv', '/boot/grub/grubenv', 'create');
      plainConfig = machine.config;
      before = digests(machine);
      const rehearsed = update(machine, '--enable', 'grub', '--oops-panic', '--dry-run', '--json');
      told = JSON.parse(rehearsed.stdout) as UpdateResult;
      checkOutput('update', rehearsed.stdout);
      expect(digests(machine)).toEqual(before);
      const run = update(machine, '--enable', 'grub', '--oops-panic');
      expect([run.stdout, run.status]).toEqual([`saveoops: ${version}: armed\n`, 65]);
    }, limit);
    afterAll(() => {
      machine.remove();
    });

    test('the armed entry is the plain one with another kernel file, and the default', () => {
      const { own, rest } = split(machine.config);
      expect(rest).toBe(plainConfig);
      const plain = entriesOf(rest)[0];
      const [armed] = entriesOf(own);
      expect([armed?.id, armed?.head.replace(/ \$menu.*/, '')]).toEqual([
        'saveoops',
        plain?.head.replace(/' --class/, ", armed' --class").replace(/ \$menu.*/, ''),
      ]);
      expect(armed?.lines).toEqual(
        plain?.lines.map((line) =>
          line.startsWith('linux\t')
            ? `${line.replace(`vmlinuz-${version}`, `saveoops/${version}/saveoops.bzimage`).replace('  ', ' ')} saveoops.boot=${bootUuid} oops=panic`
            : line,
        ),
      );
      expect(own).toContain(
        '\nif [ -z "${boot_once}" -a "${default}" = "0" ]; then set default=saveoops; fi\n',
      );
      expect(existsSync(marker())).toBe(true);
    });

    test('a dry run has told each file but those of the payload', () => {
      expect(told.kernels.map(({ action, armed }) => [action, armed])).toEqual([
        ['built', true],
        ['failed', false],
      ]);
      const payload = ['saveoops.bzimage', 'saveoops.json', 'SHA256SUMS', 'update.json'];
      const changed = digests(machine)
        .filter((line) => !before.includes(line))
        .map((line) =>
          line.split(' ')[0]?.replace(machine.boot, '/boot').replace(machine.scripts, '/etc/grub.d'),
        )
        .filter((path) => !payload.some((name) => path?.endsWith(`/${version}/${name}`) === true));
      expect([...(told.loaderFiles ?? [])].sort()).toEqual(changed.sort());
    });

    test('the payload is a kernel whose digest sha256sum knows, and the crash kernel knows GRUB', () => {
      oracle('sh', ['-c', 'cd "$1" && sha256sum --check --strict SHA256SUMS', 'sh', stored(version)]);
      expect(oracle('file', ['-b', stored(version, 'saveoops.bzimage')])).toContain(
        'Linux kernel x86 boot executable',
      );
      const text = readFileSync(stored(version, 'saveoops.json'), 'utf8');
      expect(text).toContain(' saveoops.loader=grub');
    });

    test('a kernel that cannot be armed has its plain entry', () => {
      expect(existsSync(stored(older))).toBe(false);
      expect(machine.config).toContain(`/vmlinuz-${older} `);
    });

    test(
      'a new initramfs needs nothing',
      () => {
        writeFileSync(join(machine.boot, `initrd.img-${version}`), 'another initramfs');
        const had = digests(machine);
        const run = update(machine, '--kernel-version', version, '--oops-panic', '--hook');
        expect(run).toEqual({ status: 0, stdout: `saveoops: ${version}: up to date\n`, stderr: '' });
        expect(digests(machine)).toEqual(had);
        writeFileSync(join(machine.boot, `initrd.img-${version}`), 'initramfs');
      },
      limit,
    );

    test(
      'before a kernel changes one file goes, and comes back with the same kernel; grub.cfg is not written',
      () => {
        const had = digests(machine);
        expect(update(machine, '--before', version, '--hook')).toMatchObject({ status: 0, stderr: '' });
        expect(digests(machine)).toEqual(had.filter((line) => !line.startsWith(`${marker()} `)));
        expect(update(machine, '--kernel-version', version, '--oops-panic').stdout).toBe(
          `saveoops: ${version}: up to date\n`,
        );
        expect(digests(machine)).toEqual(had);
      },
      limit,
    );

    test(
      'another kernel of the same version is not offered armed by the old payload',
      () => {
        const kernel = join(machine.boot, `vmlinuz-${version}`);
        const bytes = readFileSync(kernel);
        writeFileSync(kernel, 'no kernel');
        expect(update(machine, '--kernel-version', version, '--oops-panic').status).toBe(65);
        expect(existsSync(marker())).toBe(false);
        writeFileSync(kernel, bytes);
        expect(update(machine, '--kernel-version', version, '--oops-panic').status).toBe(0);
        expect(existsSync(marker())).toBe(true);
      },
      limit,
    );

    test(
      '--disable takes every byte back',
      () => {
        machine.run('grub-editenv', '/boot/grub/grubenv', 'set', 'saveoops_capture=', 'next_entry=');
        const had = digests(machine);
        const rehearsed = JSON.parse(
          update(machine, '--disable', '--dry-run', '--json').stdout,
        ) as UpdateResult;
        expect(digests(machine)).toEqual(had);
        expect(rehearsed.loaderFiles).toEqual([
          `/boot/saveoops/${version}/armed.grub`,
          '/etc/grub.d/99_saveoops',
          '/boot/saveoops/grub.conf',
          '/boot/grub/grub.cfg',
          '/boot/grub/grubenv',
          '/boot/saveoops/loader',
        ]);
        expect(update(machine, '--disable', '--hook')).toEqual({ status: 0, stdout: '', stderr: '' });
        expect(digests(machine)).toEqual(before);
        // And a hook is silent again.
        expect(update(machine, '--hook')).toEqual({ status: 0, stdout: '', stderr: '' });
        expect(digests(machine)).toEqual(before);
      },
      limit,
    );

    test('append is refused: GRUB has the command line', () => {
      expect(update(machine, '--enable', 'grub', '--append', 'ro')).toMatchObject({
        status: 64,
        stderr: expect.stringContaining('GRUB_CMDLINE_LINUX'),
      });
      expect(digests(machine)).toEqual(before);
    });
  },
);

(canRunGrub ? describe : describe.skip)(
  '/etc/grub.d/99_saveoops (skipped where no namespace may be made)',
  () => {
    const machines: GrubMachine[] = [];
    const made = (disk?: ProbedDisk, defaults?: string): GrubMachine => {
      const machine = newMachine(disk, defaults);
      machines.push(machine);
      return machine;
    };
    afterAll(() => {
      for (const machine of machines) machine.remove();
    });

    test.each(spread(2, Object.entries(probedDisks)))(
      '%s: each entry finds its files as the plain one does',
      (_, disk) => {
        const machine = made(disk, 'GRUB_CMDLINE_LINUX="console=ttyS0"\nGRUB_ENABLE_CRYPTODISK=y\n');
        const { own, rest } = split(withScript(machine));
        const plain = entriesOf(rest).filter(({ id }) => !id.includes('recovery'));
        const before = (entry: Entry | undefined): readonly string[] => {
          const lines = (entry?.lines ?? []).filter((line) => !/^(echo|linux)/.test(line));
          return lines.filter((line) => !line.includes('saveoops_') && line !== 'save_env saveoops_capture');
        };
        expect(entriesOf(own).map(({ id }) => id)).toEqual([
          'saveoops',
          ...[version, older].flatMap((each) => [`saveoops-${each}`, `saveoops-old-${each}`]),
          'saveoops-test',
          'saveoops-fallback',
        ]);
        for (const entry of entriesOf(own)) {
          const of = entry.id.includes(older) || entry.id === 'saveoops-fallback' ? older : version;
          const like = plain.findLast(({ lines }) => lines.some((line) => line.includes(`/vmlinuz-${of} `)));
          const access = before(like);
          expect([entry.id, before(entry).filter((line) => line !== 'fi')]).toEqual([
            entry.id,
            access.filter((line) => line !== 'fi'),
          ]);
          const linux = entry.lines.find((line) => line.startsWith('linux'));
          expect(linux).toContain(' console=ttyS0');
          if (!entry.id.endsWith('test')) expect(linux).toContain(' root=');
        }
      },
      limit,
    );

    const rule = /set default=saveoops; fi/;
    test.each(
      spread(2, [
        ['nothing', '', /"\$\{default\}" = "0" \]; then set default=saveoops/],
        ['0', 'GRUB_DEFAULT=0\n', /"\$\{default\}" = "0" \]; then set default=saveoops/],
        [
          'saved',
          'GRUB_DEFAULT=saved\nGRUB_SAVEDEFAULT=true\n',
          /"\$\{default\}" = "" \]; then set default=saveoops/,
        ],
        ['another number', 'GRUB_DEFAULT=2\n', undefined],
        ['a title', 'GRUB_DEFAULT="Windows Boot Manager"\n', undefined],
        ['an id in a submenu', 'GRUB_DEFAULT="gnulinux-advanced-x>gnulinux-y"\n', undefined],
      ]),
    )(
      'GRUB_DEFAULT %s is heeded',
      (_, defaults, wanted) => {
        const { own, rest } = split(withScript(made(undefined, defaults)));
        if (wanted === undefined) expect(own).not.toMatch(rule);
        else expect(own).toMatch(wanted);
        // Behind all others: no number means another entry.
        expect(rest.trimEnd()).toMatch(/### END \/etc\/grub\.d\/41_custom ###$/);
        const saves = entriesOf(own).filter(({ lines }) => lines.includes('savedefault'));
        expect(saves.length > 0).toBe(defaults.includes('SAVEDEFAULT'));
        expect(saves.some(({ id }) => /test|fallback/.test(id))).toBe(false);
      },
      limit,
    );

    test(
      'GRUB_DISABLE_SUBMENU: no submenu of ours either',
      () => {
        const config = withScript(made(undefined, 'GRUB_DISABLE_SUBMENU=y\n'));
        expect(config).not.toMatch(/^\s*submenu/m);
        expect(entriesOf(split(config).own)).toHaveLength(7);
      },
      limit,
    );

    test(
      'with passwords an entry wants what the plain one wants, and the test entry the password',
      () => {
        const machine = made();
        const file = join(machine.scripts, '10_linux');
        writeFileSync(file, readFileSync(file, 'utf8').replace('--class os"', '--class os --unrestricted"'));
        const own = entriesOf(split(withScript(machine)).own);
        const free = own.filter(({ head }) => head.includes(' --unrestricted '));
        expect(own.filter((entry) => !free.includes(entry)).map(({ id }) => id)).toEqual(['saveoops-test']);
      },
      limit,
    );

    test(
      'no other entries, no entries of ours; and nothing fails',
      () => {
        const machine = made();
        chmodSync(join(machine.scripts, '10_linux'), 0o644);
        expect(split(withScript(machine)).own).toBe('');
        rmSync(join(machine.boot, 'saveoops'), { recursive: true });
        chmodSync(join(machine.scripts, '10_linux'), 0o755);
        const run = machine.run('grub-mkconfig');
        expect([run.status, split(run.stdout).own]).toEqual([0, '']);
        expect(lstatSync(join(machine.scripts, '99_saveoops')).isSymbolicLink()).toBe(true);
      },
      limit,
    );

    test(
      'an entry that GRUB would not understand is none, with a word',
      () => {
        const machine = made();
        const broken = `#!/bin/sh\nprintf "menuentry 'a {\\n\\tlinux /vmlinuz-${version}\\n}\\n"\n`;
        writeFileSync(join(machine.scripts, '10_linux'), broken);
        spawnSync('mkdir', ['-p', join(machine.boot, 'saveoops')]);
        writeFileSync(join(machine.boot, 'saveoops', 'grub.conf'), 'words=\n');
        symlinkSync(script, join(machine.scripts, '99_saveoops'));
        const run = machine.run('/etc/grub.d/99_saveoops');
        expect([run.status, run.stdout]).toEqual([0, '']);
        expect(run.stderr).toMatch(/not understood/);
      },
      limit,
    );
  },
);
