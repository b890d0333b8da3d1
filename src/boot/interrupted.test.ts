/**
 * `saveoops update` with GRUB and with systemd-boot, killed at each change of a file, and on a disk that is full: whatever the menu
 * offers then is there and whole. The same with EXTLINUX: update-boot.test.ts. The menu is read by this test's own, small reading.
 */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { CommandResult } from '../testkit/command-line.js';
import { canRunGrub, GrubMachine } from '../testkit/grub-machine.js';
import { everyLane, few } from '../testkit/lanes.js';
import { smallKernel } from '../testkit/stock-kernels.js';
import { canTrace } from '../testkit/tracing.js';

const cli = fileURLToPath(new URL('../cli.js', import.meta.url));
const once = fileURLToPath(new URL('../testkit/update-once.js', import.meta.url));
const stock = smallKernel();
const version = basename(stock.vmlinuz).slice('vmlinuz-'.length);
const limit = 600_000;
/** Settings of the payload that comes next. */
const nextSettings = ['--max-captures-in-a-row', '5'];

/** An installed machine, on folders of this host. */
interface Installed {
  /** Folders that hold all that boots. */
  readonly folders: readonly string[];
  /** Where the disk is mounted that payloads are on, for `run`, and the folder of this host that is there. */
  readonly disk: string;
  readonly diskFolder: string;
  readonly store: string;
  readonly payload: string;
  run(program: string, ...args: readonly string[]): CommandResult;
  readonly update: readonly string[];
  /** Arguments of update-once for the payload that comes next. */
  once(payload: string): readonly string[];
  /** All files that the entries name which the boot loader shows now. */
  shown(): readonly string[];
  remove(): void;
}

function withGrub(): Installed {
  const machine = new GrubMachine();
  const { boot } = machine;
  copyFileSync(stock.vmlinuz, join(boot, `vmlinuz-${version}`));
  writeFileSync(join(boot, `initrd.img-${version}`), 'initramfs');
  writeFileSync(join(boot, 'grub/grub.cfg'), machine.run('grub-mkconfig').stdout);
  const relative = machine.run('grub-mkrelpath', '/boot').stdout.trim();
  return {
    folders: [boot, machine.scripts],
    disk: '/boot',
    diskFolder: boot,
    store: join(boot, 'saveoops'),
    payload: 'saveoops.bzimage',
    run: (program, ...args) => machine.run(program, ...args),
    update: ['--enable', 'grub'],
    once: (payload) => ['grub', '/boot', '-', version, payload],
    shown: () => {
      const here = (path: string): string => path.replace(relative, boot);
      const shown: string[] = [];
      // Conditions that ask for a file; whatever else is asked may be true.
      const open: boolean[] = [];
      for (const line of machine.config.split('\n').map((each) => each.trim())) {
        const asked = /^if \[ -f (\S+) \]; then$/.exec(line)?.[1];
        if (/^if .*; then$/.test(line)) open.push(asked === undefined || existsSync(here(asked)));
        else if (line === 'fi') open.pop();
        const named = /^(?:linux|initrd)\t(\S+)/.exec(line)?.[1];
        if (named !== undefined && !open.includes(false)) shown.push(here(named));
      }
      return shown;
    },
    remove: () => {
      machine.remove();
    },
  };
}

const token = '0123456789abcdef0123456789abcdef';

function withSystemdBoot(): Installed {
  const root = mkdtempSync(join(tmpdir(), 'saveoops-sdboot-'));
  const esp = join(root, 'boot/efi');
  const entries = join(esp, 'loader/entries');
  const variables = 'sys/firmware/efi/efivars';
  for (const path of ['etc', variables, `boot/efi/${token}/${version}`, 'boot/efi/loader/entries'])
    mkdirSync(join(root, path), { recursive: true });
  writeFileSync(join(root, 'etc/machine-id'), `${token}\n`);
  const secureBoot = 'SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c';
  writeFileSync(join(root, variables, secureBoot), Buffer.of(6, 0, 0, 0, 0));
  copyFileSync(stock.vmlinuz, join(root, `boot/vmlinuz-${version}`));
  for (const name of ['linux', 'initrd']) writeFileSync(join(esp, token, version, name), name);
  writeFileSync(
    join(entries, `${token}-${version}.conf`),
    ['title Debian', `version ${version}`, 'options ro', `linux /${token}/${version}/linux`]
      .concat(`initrd /${token}/${version}/initrd`, '')
      .join('\n'),
  );
  return {
    folders: [join(root, 'boot')],
    disk: esp,
    diskFolder: esp,
    store: join(esp, 'saveoops', token),
    payload: 'saveoops.efi',
    run: (program, ...args) => {
      const namespace = ['--user', '--map-root-user', '--mount', program];
      const { status, stdout, stderr } = spawnSync('unshare', [...namespace, ...args], { encoding: 'utf8' });
      return { status, stdout, stderr };
    },
    update: ['--enable', 'systemd-boot', '--root', root, '--boot', join(root, 'boot')],
    once: (payload) => ['systemd-boot', join(root, 'boot'), root, version, payload],
    shown: () =>
      readdirSync(entries)
        .filter((name) => name.endsWith('.conf'))
        .flatMap((name) => {
          const text = readFileSync(join(entries, name), 'utf8');
          return [...text.matchAll(/^(?:linux|initrd)\s+(\S+)$/gm)].map(([, file = '']) => join(esp, file));
        }),
    remove: () => {
      rmSync(root, { recursive: true });
    },
  };
}

const rows = few(1, [
  ['systemd-boot', withSystemdBoot],
  ['GRUB', withGrub],
] as const);
const possible = canTrace && canRunGrub;

(possible ? describe : describe.skip).each(rows)(
  '%s (skipped where strace may not trace, or no namespace may be made)',
  (_, make) => {
    let machine: Installed;
    let saved: string;
    /** Files of the two payloads: what a whole one is. */
    const whole: Buffer[] = [];

    const save = (name: string): void => {
      machine.folders.forEach((folder, index) => {
        cpSync(folder, join(saved, name, String(index)), { recursive: true, verbatimSymlinks: true });
      });
    };
    /** Nothing is ever written in place, so that hard links will do. The folders stay: they may be mounted. */
    const restore = (name: string): void => {
      machine.folders.forEach((folder, index) => {
        for (const each of readdirSync(folder)) rmSync(join(folder, each), { recursive: true });
        expect(spawnSync('cp', ['-al', `${join(saved, name, String(index))}/.`, folder]).status).toBe(0);
      });
    };
    /** All that is offered is there, and each payload whole. Gives what the armed entry of the kernel is, beside that of the payload before. */
    const expectBootable = (): 'plain' | 'before' | 'after' => {
      const files = machine.shown();
      expect(files.some((file) => !file.includes('/saveoops/'))).toBe(true);
      for (const file of files) expect([file, existsSync(file)]).toEqual([file, true]);
      const payloads = files.filter((file) => file.endsWith(machine.payload));
      const kind = (file: string): number => whole.findIndex((each) => each.equals(readFileSync(file)));
      for (const file of payloads) expect([file, kind(file)]).not.toEqual([file, -1]);
      const now = payloads.find((file) => !file.includes('.old/'));
      if (now === undefined) return 'plain';
      return kind(now) === 0 ? 'before' : 'after';
    };

    const update = (...settings: readonly string[]): CommandResult =>
      machine.run(process.execPath, cli, 'update', '--no-config', ...machine.update, ...settings);

    beforeAll(() => {
      machine = make();
      saved = mkdtempSync(join(tmpdir(), 'saveoops-saved-'));
      save('new');
      // The last one has a payload, and a previous one.
      for (const [name, settings] of [
        ['before', []],
        ['after', nextSettings],
        ['again', []],
      ] as const) {
        expect(update(...settings)).toMatchObject({ status: 0, stdout: `saveoops: ${version}: armed\n` });
        if (name !== 'again') whole.push(readFileSync(join(machine.store, version, machine.payload)));
        save(name);
        cpSync(join(machine.store, version), join(saved, `payload-${name}`), { recursive: true });
      }
      expect(whole[0]?.equals(whole[1] ?? Buffer.of())).toBe(false);
      expect(expectBootable()).toBe('before');
    }, limit);
    afterAll(() => {
      machine.remove();
      rmSync(saved, { recursive: true });
    });

    test.each([
      ['a new payload beside one with a previous one', 'again', ['before', 'plain', 'after']],
      ['the first payload of all', 'new', ['plain', 'after']],
    ] as const)(
      'killed at each change of a file, %s: what is offered is there and whole; the next run ends it',
      (_, start, stages) => {
        const ends: string[] = [];
        const all = new Set<string>();
        const payload = join(saved, 'payload-after');
        const command = [process.execPath, once, ...machine.once(payload)];
        for (const call of ['rename', 'unlink', 'rmdir', 'mkdir', 'symlink', 'fsync']) {
          const seen: string[] = [];
          // Between two of fsync's lies mostly a change of another kind.
          const step = everyLane ? 1 : call === 'fsync' ? 24 : 8;
          for (let n = 1; ; n += step) {
            restore(start);
            const inject = ['-e', `trace=${call}`, '-e', `inject=${call}:signal=SIGKILL:when=${n}`];
            const strace = ['strace', '-f', '-qq', '-o', '/dev/null', ...inject];
            // strace counts the calls of each thread by itself: one thread for all.
            const run = machine.run('env', 'UV_THREADPOOL_SIZE=1', ...strace, ...command);
            const boots = expectBootable();
            all.add(boots);
            if (boots !== seen.at(-1)) seen.push(boots);
            if (run.status === 0) break;
            ends.push(`${call} ${n}`);
            if (n % 3 === 1) {
              expect(machine.run(command[0] ?? '', ...command.slice(1)).status).toBe(0);
              expect(expectBootable()).toBe('after');
              const names = readdirSync(machine.store);
              expect(names.filter((name) => /\.new$|\.tmp$/.test(name))).toEqual([]);
            }
          }
          expect([call, seen]).toEqual([call, stages.filter((stage) => seen.includes(stage))]);
        }
        if (!everyLane) return;
        expect(stages.filter((stage) => !all.has(stage))).toEqual([]);
        expect(ends.length).toBeGreaterThanOrEqual(10);
      },
      limit,
    );

    test(
      'on a disk that is full to the last byte: refused, and what is offered is there and whole',
      () => {
        restore('again');
        const [mounted, out] = [join(saved, 'mounted'), join(saved, 'out')];
        cpSync(machine.diskFolder, mounted, { recursive: true });
        mkdirSync(out);
        const script = `set -e
mount -t tmpfs none "$1"
cp -a "$2"/. "$1"
mount -o remount,size=$(du -sk "$1" | cut -f 1)k "$1"
cat /dev/zero >"$1"/fill 2>/dev/null || true
disk=$1 out=$3
shift 3
"$@" || status=$?
cp -a "$disk"/. "$out"
exit $status`;
        const update = [process.execPath, cli, 'update', '--no-config', ...machine.update, ...nextSettings];
        const run = machine.run('sh', '-c', script, 'sh', machine.disk, mounted, out, ...update);
        expect(run).toMatchObject({
          status: 67,
          stderr: expect.stringContaining('no room for the new payload'),
        });
        for (const each of readdirSync(machine.diskFolder))
          rmSync(join(machine.diskFolder, each), { recursive: true });
        cpSync(out, machine.diskFolder, { recursive: true });
        expect(['before', 'plain']).toContain(expectBootable());
      },
      limit,
    );
  },
);
