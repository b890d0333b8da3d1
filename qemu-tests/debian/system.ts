/**
 * One installed Debian: a disk of its own, on which what a boot writes stays for the next. Each boot ends with the guest's
 * reset or power-off, as QEMU sees it; what it is to do comes as a script ("orders") that the root shell on the serial
 * console runs once a boot.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runScenario, type Scenario, type ScenarioResult } from '../../src/machine/scenario.js';
import { withShutdownReasons } from '../harness/shutdown-events.js';
import { partitions } from './image.js';

export interface DebianBoot {
  /** bash, as root, after the login. Default: nothing. */
  readonly orders?: string;
  /** Wall-clock seconds; default 600. */
  readonly timeout?: number;
  readonly endAt?: readonly RegExp[];
  readonly endAtPrompt?: readonly RegExp[];
  readonly debug?: Scenario['debug'];
  readonly meanwhile?: Scenario['meanwhile'];
  /** Further QEMU options. */
  readonly extra?: readonly string[];
}

export interface DebianRun extends ScenarioResult {
  /** How the guest ended: "guest-reset", "guest-shutdown"; empty when a line ended the run. */
  readonly reasons: readonly string[];
}

/** Of the root shell on the serial port. */
export const shellPrompt = /^root@debian:~# *$/;

const run = (program: string, args: readonly string[]): string =>
  execFileSync(program, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' },
  });

export class DebianSystem {
  private readonly folder = mkdtempSync(join(tmpdir(), 'svo-'));
  readonly image = join(this.folder, 'disk.img');

  /** @param image is copied */
  constructor(image: string) {
    run('cp', ['--sparse=always', '--reflink=auto', image, this.image]);
  }

  /** Throws an Error that begins with "lost" when the boot came to no end of its own. */
  async boot(options: DebianBoot): Promise<DebianRun> {
    const orders = join(this.folder, 'orders');
    writeFileSync(orders, options.orders ?? ':\n');
    const { result, reasons } = await withShutdownReasons((events) =>
      runScenario({
        machine: {
          boot: { kind: 'disk', image: this.image, writable: true },
          extra: [
            ...['-fw_cfg', `name=opt/saveoops/orders,file=${orders}`],
            ...events,
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

  /** Reads a file of the boot partition, by its path there. Throws when there is none. */
  bootFile(path: string): Buffer {
    const out = join(this.folder, 'file');
    rmSync(out, { force: true });
    this.debugfs(`dump /${path} ${out}`);
    return readFileSync(out);
  }

  /** Copies a folder of the boot partition to the host and gives its name there. */
  bootFolder(path: string): string {
    const out = mkdtempSync(join(this.folder, 'copy-'));
    this.debugfs(`rdump /${path} ${out}`);
    return out;
  }

  private debugfs(request: string): void {
    run('debugfs', ['-R', request, `${this.image}?offset=${partitions.boot.start << 20}`]);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
