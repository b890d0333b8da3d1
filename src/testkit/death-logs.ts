/** Logs of kernels that died in QEMU, recorded by qemu-tests/death-logs.lane.ts, with what is known of each death. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What is known of a death from the injection and from the guest, not from its log. */
export interface DeathFacts {
  /** `uname -r`. */
  readonly release: string;
  /** Of the crash region that the entry stub reserved, bytes. */
  readonly regionSize: number;
  /** /proc/cmdline. */
  readonly commandLine?: string;
  /** /proc/sys/kernel/tainted before the death. */
  readonly tainted?: number;
  /** DMI product name and firmware version. */
  readonly product?: string;
  readonly firmware?: string;
  /** /sys/firmware/memmap, "START END TYPE" each. */
  readonly memory?: readonly string[];
  /** Seconds, shortly before the death. */
  readonly uptime?: number;
  /** Of the process that was made to die. */
  readonly pid?: number;
  readonly cpu?: number;
  /** The function, and the module, whose instruction failed. */
  readonly atRip?: string;
  readonly module?: string;
  /** A function, and a module, that the call trace must have. */
  readonly inTrace?: string;
  readonly moduleInTrace?: string;
  /** What panic() was given. */
  readonly message?: string;
  /** How the address begins that was used, 0x.... */
  readonly address?: string;
}

export interface DeathLog {
  readonly release: string;
  /** The kind of death. */
  readonly name: string;
  readonly path: string;
  readonly text: string;
  readonly facts: DeathFacts;
}

export const fixtures = fileURLToPath(new URL('../../../src/report/fixtures/', import.meta.url));

/** All recorded logs that have facts. */
export function deathLogs(): readonly DeathLog[] {
  return readdirSync(fixtures)
    .filter((name) => /^\d/.test(name))
    .sort()
    .flatMap((release) =>
      readdirSync(join(fixtures, release))
        .filter((file) => file.endsWith('.json'))
        .sort()
        .map((file) => {
          const path = join(fixtures, release, file.replace('.json', '.txt'));
          const facts = JSON.parse(readFileSync(join(fixtures, release, file), 'utf8')) as DeathFacts;
          return { release, name: file.replace('.json', ''), path, text: readFileSync(path, 'utf8'), facts };
        }),
    );
}
