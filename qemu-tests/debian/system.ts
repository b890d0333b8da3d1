/**
 * One installed Debian: a disk of its own, on which what a boot writes stays for the next. Each boot ends with the guest's
 * reset or power-off, as QEMU sees it; what it is to do comes as a script ("orders") that the root shell on the serial
 * console runs once a boot.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { runScenario, type Scenario, type ScenarioResult } from '../../src/machine/scenario.js';
import type { BootSource } from '../../src/machine/qemu-command.js';
import type { Manifest } from '../../src/payload/manifest.js';
import type { RunOptions } from '../harness/boot.js';
import { withShutdownReasons } from '../harness/shutdown-events.js';
import { markedBlocks } from '../../src/machine/recovered-log.js';
import { blockBegins, blockEnds } from '../harness/guest.js';
import { recordedDrive } from './recorded-writes.js';
import { bootPlace, partitions, startsByUefi, type DebianLoader } from './image.js';

export interface DebianBoot {
  /** bash, as root, after the login. Default: nothing. */
  readonly orders?: string;
  /** Wall-clock seconds; default 600. */
  readonly timeout?: number;
  /** MiB; default 1024. */
  readonly memory?: number;
  /** Default 1. */
  readonly cpus?: number;
  readonly endAt?: readonly RegExp[];
  readonly endAtPrompt?: readonly RegExp[];
  readonly debug?: Scenario['debug'];
  readonly meanwhile?: Scenario['meanwhile'];
  /** What the disk is told to write is recorded in this file (recorded-writes.ts). */
  readonly record?: string;
  /** What this boot writes is forgotten. */
  readonly forget?: boolean;
  /** In place of the loader's: ovmf(). */
  readonly firmware?: Pick<RunOptions, 'board' | 'extra'>;
  /** Further QEMU options. */
  readonly extra?: readonly string[];
}

export interface DebianRun extends ScenarioResult {
  /** How the guest ended: "guest-reset", "guest-shutdown"; empty when a line ended the run. */
  readonly reasons: readonly string[];
}

const menuPath = 'saveoops/syslinux-saveoops.cfg';

/** What the orders of a boot printed as the block `name` (printBlock()). Throws an Error when it is not whole. */
export function block(run: DebianRun, name: string): readonly string[] {
  const [found] = markedBlocks(run.serial, blockBegins(name), blockEnds(name));
  if (found?.complete === true) return found.lines;
  throw new Error([`failed: no whole block "${name}"`, run.serial.slice(-3000), run.reproduce].join('\n'));
}

/** Orders: the files of `DebianSystem.bring` are in /root. */
export const unpack = 'cd /root\ntar -xf /dev/disk/by-id/ata-QEMU_HARDDISK_brought\n';

/** Of the root shell on the serial port. */
export const shellPrompt = /^root@debian:~# *$/;

const run = (program: string, args: readonly string[]): string =>
  execFileSync(program, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' },
  });

export function copyImage(image: string, copy: string): void {
  run('cp', ['--sparse=always', '--reflink=auto', image, copy]);
}

export class DebianSystem {
  private readonly folder = mkdtempSync(join(tmpdir(), 'svo-'));
  readonly image = join(this.folder, 'disk.img');

  /** @param image is copied */
  constructor(
    image: string,
    private readonly loader: DebianLoader = 'extlinux',
  ) {
    copyImage(image, this.image);
  }

  /** Throws an Error that begins with "lost" when the boot came to no end of its own. */
  async boot(options: DebianBoot): Promise<DebianRun> {
    const { firmware } = options;
    const orders = join(this.folder, 'orders');
    // In braces bash has read all of it before it begins: a system that wakes from hibernation finds those of another boot.
    writeFileSync(orders, `{\n${options.orders ?? ':\n'}}\n`);
    const { result, reasons } = await withShutdownReasons((events) =>
      runScenario({
        machine: {
          boot: this.disk(options),
          ...(startsByUefi(this.loader) && firmware === undefined && { firmware: 'uefi' as const }),
          ...(firmware?.board !== undefined && { board: firmware.board }),
          ...(options.memory !== undefined && { memory: options.memory }),
          ...(options.cpus !== undefined && { cpus: options.cpus }),
          extra: [
            ...['-fw_cfg', `name=opt/saveoops/orders,file=${orders}`],
            ...events,
            ...(options.record === undefined ? [] : recordedDrive(this.image, options.record)),
            ...(firmware?.extra ?? []),
            ...(options.extra ?? []),
          ],
        },
        folder: this.folder,
        timeout: options.timeout ?? 600,
        endAt: options.endAt ?? [],
        ...(options.endAtPrompt !== undefined && { endAtPrompt: options.endAtPrompt }),
        ...(options.debug !== undefined && { debug: options.debug }),
        ...(options.meanwhile !== undefined && { meanwhile: options.meanwhile }),
      }),
    );
    const { end } = result;
    if (end.kind === 'timeout' || end.kind === 'trouble') {
      throw new Error(
        [
          `lost: ${end.kind === 'timeout' ? `no end within ${end.seconds} seconds` : end.message}`,
          result.serial.slice(-3000),
          result.reproduce,
        ].join('\n'),
      );
    }
    return { ...result, reasons };
  }

  private disk({ record, forget = false }: DebianBoot): BootSource {
    if (record === undefined) return { kind: 'disk', image: this.image, writable: !forget };
    // QEMU opens a disk once: the drive "disk", which stays unplugged, has another file.
    const none = join(this.folder, 'none');
    writeFileSync(none, Buffer.alloc(512));
    return { kind: 'disk', image: none, device: ['-device', 'ide-hd,drive=recorded,bus=ide.0,bootindex=0'] };
  }

  /** Options of QEMU for a disk with these files, which `unpack` takes from it. */
  bring(files: readonly string[]): readonly string[] {
    const archive = join(this.folder, 'brought.tar');
    run('tar', ['-cf', archive, ...files.flatMap((file) => ['-C', dirname(file), basename(file)])]);
    return [
      ...['-drive', `if=none,id=brought,format=raw,snapshot=on,file=${archive}`],
      ...['-device', 'ide-hd,drive=brought,bus=ide.1,serial=brought'],
    ];
  }

  /** Reads a file of /boot, by its path there. Throws when there is none. */
  bootFile(path: string): Buffer {
    const out = join(this.folder, 'file');
    rmSync(out, { force: true });
    const { partition, folder } = bootPlace[this.loader];
    this.debugfs(`dump /${folder}${path} ${out}`, { partition });
    return readFileSync(out);
  }

  /** Copies a folder of /boot to the host and gives its name there. */
  bootFolder(path: string): string {
    const out = mkdtempSync(join(this.folder, 'copy-'));
    const { partition, folder } = bootPlace[this.loader];
    this.debugfs(`rdump /${folder}${path} ${out}`, { partition });
    return out;
  }

  /** Release of the kernel that the installed menu has first. */
  get release(): string {
    const release = /^DEFAULT saveoops-(?:plain-)?(\S+)$/m.exec(this.bootFile(menuPath).toString())?.[1];
    if (release === undefined) throw new Error('failed: the installed menu has no default');
    return release;
  }

  /**
   * The payload of a kernel, copied to the host, with the kernel beside it, as the injector wants it.
   * @param release default: that of the kernel that extlinux' installed menu has first
   */
  payloadFolder(release = this.release): string {
    const folder = join(this.bootFolder(`saveoops/${release}`), release);
    const kernel = join(folder, `vmlinuz-${release}`);
    writeFileSync(kernel, this.bootFile(`vmlinuz-${release}`));
    const { primary } = JSON.parse(readFileSync(join(folder, 'saveoops.json'), 'utf8')) as Manifest;
    if (primary.kernelFile !== basename(kernel)) copyFileSync(kernel, join(folder, primary.kernelFile));
    return folder;
  }

  /**
   * Edits extlinux.conf as its administrator would: a DEFAULT behind the INCLUDE, an entry of the installed menu with
   * more words on its command line. The system must have been shut down cleanly.
   */
  setDefault(entry: 'armed' | 'plain', words = ''): void {
    const installed = `saveoops-${entry === 'armed' ? '' : 'plain-'}${this.release}`;
    const menu = this.bootFile(menuPath).toString();
    const body = menu.split('\n\n').find((part) => part.startsWith(`LABEL ${installed}\n`));
    if (body === undefined) throw new Error(`failed: the installed menu has no entry ${installed}:\n${menu}`);
    const own = body
      .replace(/^LABEL .*$/m, 'LABEL lane')
      .replace(/^\tMENU .*\n?/gm, '')
      .replace(/^\tAPPEND .*$/m, (line) => `${line} ${words}`.trimEnd());
    const path = 'extlinux/extlinux.conf';
    const [before = ''] = this.bootFile(path).toString().split('DEFAULT lane\n');
    const config = join(this.folder, 'extlinux.conf');
    writeFileSync(config, `${before}DEFAULT lane\n${own.trimEnd()}\n`);
    this.debugfs(`rm /${path}`, { write: true });
    this.debugfs(`write ${config} /${path}`, { write: true });
    if (!this.bootFile(path).equals(readFileSync(config))) throw new Error(`lost: ${path} was not written`);
  }

  /** No line of Saveoops at the login: Node takes up to a minute for it on this emulated processor. */
  quietLogin(): void {
    this.debugfs('rm /etc/update-motd.d/85-saveoops', { write: true, partition: 'root' });
  }

  private debugfs(request: string, how: { write?: boolean; partition?: 'boot' | 'root' } = {}): void {
    const { write = false, partition = 'boot' } = how;
    const place = `${this.image}?offset=${partitions[partition].start * 2 ** 20}`;
    run('debugfs', [...(write ? ['-w'] : []), '-R', request, place]);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
