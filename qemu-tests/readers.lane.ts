/**
 * crash and drgn on dumps of Saveoops, with the kernel's debug package: `npm run test:readers`, which fetches it. Not
 * part of `npm test`: the package is 858 MB. The oracle for crash is QEMU's own dump of an unarmed kernel in the same
 * panic: what crash complains about there, too, is not ours.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { runScenario } from '../src/machine/scenario.js';
import { makeReport } from '../src/report/report.js';
import { crashingGuest, dumpAt } from './dump-at.js';
import { check, guestBlock, serialConsole } from './harness/boot.js';
import { DumpDisk } from './harness/dump-disk.js';
import { cache } from './harness/folders.js';
import { printBlock } from './harness/guest.js';
import { stockKernel } from './harness/payloads.js';

const minutes = 60_000;
const kernel = stockKernel('amd64').vmlinuz;
const vmlinux = join(cache, 'debug', basename(kernel).replace('vmlinuz', 'vmlinux'));
const folder = mkdtempSync(join(tmpdir(), 'svo-'));
const disks: DumpDisk[] = [];
afterAll(() => {
  for (const disk of disks) disk.remove();
  rmSync(folder, { recursive: true, force: true });
});

const copying = printBlock('copy', 'dd if=/proc/vmcore of=/mnt/vmcore bs=1M 2>/dev/null; echo $?');

/** A raw /proc/vmcore, copied by dd in the crash kernel. */
async function rawDump(place: string, cpus: number, message: string): Promise<string> {
  const disk = new DumpDisk();
  disks.push(disk);
  const { run } = await dumpAt(disk, { place, cpus, message, script: copying });
  return check(run, () => {
    expect(guestBlock(run, 'copy')).toEqual(['0']);
    return disk.file('vmcore');
  });
}

/** QEMU's own dump of the unarmed kernel, once it has said all that panic() says. */
async function qemuDump(cpus: number): Promise<string> {
  const out = join(folder, 'qemu.dump');
  const result = await runScenario({
    machine: {
      boot: {
        kind: 'kernel',
        kernel,
        initrd: await crashingGuest(),
        append: `${serialConsole} sysrq_always_enabled nokaslr`,
      },
      memory: 512,
      cpus,
    },
    folder,
    timeout: 180,
    meanwhile: async (machine, qmp) => {
      await machine.waitForLine([/end Kernel panic/], { timeoutMs: 170_000 });
      const client = await qmp();
      await client.execute('dump-guest-memory', { paging: false, protocol: `file:${out}` });
      await client.quit();
    },
  });
  expect(result.serial).toContain('end Kernel panic');
  return out;
}

const crashCommands = ['sys', 'bt', 'bt -a', 'log', 'ps', 'files'] as const;
type Answers = Readonly<Record<string, readonly string[]>>;

/** What crash answers, by command; under `start` what it says before the first. */
function askCrash(core: string, commands: readonly string[] = crashCommands, ...options: string[]): Answers {
  const input = [...commands.flatMap((command) => [`!echo "=== ${command}"`, command]), 'quit', ''].join(
    '\n',
  );
  const text = execFileSync('sh', ['-c', 'exec crash -s "$@" 2>&1', 'sh', ...options, vmlinux, core], {
    input,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    timeout: 4 * minutes,
  });
  const answers: Record<string, string[]> = {};
  let lines: string[] = (answers['start'] = []);
  for (const line of text.split('\n')) {
    const command = /^=== (.*)$/.exec(line)?.[1];
    if (command === undefined) lines.push(line);
    else lines = answers[command] = [];
  }
  return answers;
}

/** Lines in which crash complains, without the numbers in them; what the dead kernel itself logged is no complaint. */
function complaints(lines: readonly string[] = []): readonly string[] {
  return lines
    .filter((line) => !/^\[ *\d+\.\d+\]/.test(line))
    .filter((line) => /\b(error|warning|cannot|invalid|fail(ed|ure)?|not found|corrupt|seek)\b/i.test(line))
    .map((line) => line.replace(/\b(0x)?[0-9a-f]{4,}\b/gi, 'N').replace(/\d+/g, 'N'));
}

function askDrgn(core: string, script: string): readonly string[] {
  const file = join(folder, 'ask.py');
  writeFileSync(file, script);
  return execFileSync('drgn', ['-q', '-c', core, '-s', vmlinux, file], {
    encoding: 'utf8',
    timeout: 4 * minutes,
  })
    .trimEnd()
    .split('\n');
}

beforeAll(() => {
  if (!existsSync(vmlinux)) throw new Error(`no ${vmlinux}: run npm run test:readers, which fetches it`);
});

describe('a panic on the second of two CPUs, with KASLR', () => {
  let core: string;
  let ours: Answers;
  beforeAll(async () => {
    core = await rawDump('late', 2, '');
    ours = askCrash(core);
  }, 8 * minutes);

  test(
    'crash complains about nothing that it accepts in a dump of QEMU',
    async () => {
      const theirs = askCrash(await qemuDump(2));
      for (const command of ['start', ...crashCommands]) {
        const accepted = complaints(theirs[command]);
        expect([command, complaints(ours[command]).filter((line) => !accepted.includes(line))]).toEqual([
          command,
          [],
        ]);
        expect([command, (ours[command] ?? []).length > 2 || command === 'start']).toEqual([command, true]);
      }
    },
    8 * minutes,
  );

  test('crash finds the panicking task, the function that crashed, and the other CPU', () => {
    const text = (command: string): string => (ours[command] ?? []).join('\n');
    expect(text('sys')).toMatch(/CPUS: 2\b/);
    expect(text('sys')).toMatch(/PANIC: "Kernel panic - not syncing: sysrq triggered crash"/);
    expect(text('bt')).toMatch(/CPU: 1 +COMMAND: "sh"/);
    expect(text('bt')).toMatch(/\] sysrq_handle_crash at /);
    expect(text('bt -a')).toMatch(/CPU: 0 +COMMAND: "swapper\/0"/);
    expect(text('log')).toContain('sysrq: Trigger a crash');
  });

  test('saveoops report reads out of the log what crash reads out of the memory', () => {
    const text = (command: string): string => (ours[command] ?? []).join('\n');
    const { report } = makeReport({ where: 'crash', log: text('log'), cut: false, capture: undefined });
    const [, panic] = /PANIC: "(.*)"/.exec(text('sys')) ?? [];
    const [, release] = /RELEASE: (\S+)/.exec(text('sys')) ?? [];
    const [, pid, cpu, comm] = /PID: (\d+) .*CPU: (\d+) +COMMAND: "(.*)"/.exec(text('bt')) ?? [];
    const { cause, kernel } = report;
    expect([cause?.headline, kernel.release]).toEqual([panic, release]);
    expect([cause?.pid, cause?.cpu, cause?.comm]).toEqual([Number(pid), Number(cpu), comm]);
    const stack = [...text('bt').matchAll(/\] (\S+) at [0-9a-f]+/g)].map(([, name]) => name);
    const trace = (cause?.trace ?? []).filter(({ sure }) => sure).map((entry) => entry.function);
    const common = trace.slice(trace.indexOf('panic'));
    expect(common.length).toBeGreaterThan(3);
    // crash names the part of a function that gcc has put elsewhere (.cold) by its own name, too.
    expect(stack).toEqual(expect.arrayContaining(common));
  });

  test('crash finds the registers of both CPUs in the notes, those of the panicking one inside panic()', () => {
    const registers = askCrash(core, ['help -r'])['help -r'] ?? [];
    const rip = registers.flatMap((line) => /\bRIP: ([0-9a-f]{16})/.exec(line)?.[1] ?? []);
    expect(rip.length).toBe(2);
    const symbols = askCrash(
      core,
      rip.map((each) => `sym ${each}`),
    );
    const named = rip.map((each) => (symbols[`sym ${each}`] ?? []).join('\n'));
    expect(named[1]).toMatch(/\bpanic\+/);
    expect(named[0]).toMatch(/\([tT]\) /);
  }, 60_000);

  test(
    'drgn finds the thread that crashed, and its stack',
    () => {
      const lines = askDrgn(
        core,
        'thread = prog.crashed_thread()\nprint(thread.object.comm.string_().decode())\nprint(prog.stack_trace(thread.tid))',
      );
      expect(lines[0]).toBe('sh');
      expect(lines.join('\n')).toMatch(/#\d+ +sysrq_handle_crash\b/);
    },
    5 * minutes,
  );
});

describe('a panic at console_init', () => {
  const message = 'Injected at console_init';
  let core: string;
  beforeAll(async () => {
    core = await rawDump('console_init', 1, message);
  }, 8 * minutes);

  test(
    'crash --minimal gives the log and disassembles',
    () => {
      const answers = askCrash(core, ['log', 'sym console_init'], '--minimal');
      expect((answers['log'] ?? []).join('\n')).toContain(`Kernel panic - not syncing: ${message}`);
      expect((answers['sym console_init'] ?? []).join('\n')).toMatch(/\(T\) console_init/i);
    },
    5 * minutes,
  );

  test(
    'drgn reads variables and the stack of the panicking CPU',
    () => {
      const lines = askDrgn(
        core,
        'print(prog["init_uts_ns"].name.release.string_().decode())\nprint(prog.stack_trace(prog["init_task"].address_of_()))',
      );
      expect(lines[0]).toBe(basename(kernel).replace('vmlinuz-', ''));
      expect(lines.join('\n')).toMatch(/#\d+ +panic\b/);
    },
    5 * minutes,
  );
});
