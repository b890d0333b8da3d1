import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { execa } from 'execa';
import { withTemporaryFolder } from '../host/files.js';
import { makeDiskImage } from '../image/disk-image.js';
import { makeIsoImage } from '../image/iso-image.js';
import { unattendedConfig } from '../image/boot-config.js';
import { loadVmlinux, stockKernels } from '../testkit/stock-kernels.js';
import { parseKallsyms } from '../formats/kallsyms/kallsyms.js';
import { writeFile } from 'node:fs/promises';
import { injectPanic } from './inject-panic.js';
import { functionAddress } from './kernel-functions.js';
import { Machine } from './machine.js';
import { reproduceLine, type MachineSpec } from './qemu-command.js';
import { runScenario } from './scenario.js';
import { serialLines } from './serial-text.js';

const stock =
  stockKernels().find(({ vmlinuz }) => vmlinuz.includes('6.1') && vmlinuz.includes('cloud')) ??
  stockKernels()[0];
if (stock === undefined) throw new Error('no stock kernel');
const kernel = stock.vmlinuz;
const seconds = 120_000;
const silent = 'console=ttyS0,115200 panic=-1';

function plain(append: string, rest: Partial<MachineSpec> = {}): MachineSpec {
  return { boot: { kind: 'kernel', kernel, append }, memory: 512, ...rest };
}

async function symbols(): Promise<(name: string) => bigint | undefined> {
  if (stock === undefined) throw new Error('no stock kernel');
  const kallsyms = parseKallsyms(await loadVmlinux(stock));
  return (name) => functionAddress(kallsyms, name);
}

describe('a machine', () => {
  test(
    'runs a kernel to its own reset; the serial log on disk is what was read',
    async () => {
      await withTemporaryFolder(async (folder) => {
        const run = await runScenario({ machine: plain(silent), folder, timeout: 60 });
        expect(run.end).toEqual({ kind: 'exit', code: 0, signal: undefined });
        expect(run.serial).toContain('Kernel panic - not syncing: VFS: Unable to mount root fs');
        expect(readFileSync(run.serialLog, 'utf8')).toBe(run.serial);
      });
    },
    seconds,
  );

  test(
    'ends at a line, and QEMU is gone with it',
    async () => {
      await withTemporaryFolder(async (folder) => {
        const machine = await Machine.start(plain(silent), { folder });
        const seen = await machine.waitForLine([/Linux version/], { timeoutMs: 60_000 });
        // The line is whole, however it came in.
        expect(seen).toMatchObject({
          kind: 'line',
          line: expect.stringMatching(/Linux version .*\(\d{4}-\d\d-\d\d\)$/),
        });
        await machine.stop();
        expect(await machine.exited).toMatchObject({ signal: 'SIGKILL' });
        // What comes after the end answers at once.
        expect(await machine.waitForLine([/never/], { timeoutMs: 1 })).toMatchObject({ kind: 'exit' });
      });
    },
    seconds,
  );

  test(
    'a run that reaches nothing times out; a bad command line tells what QEMU said',
    async () => {
      await withTemporaryFolder(async (folder) => {
        const run = await runScenario({ machine: plain(silent), folder, timeout: 0.3 });
        expect(run.end).toEqual({ kind: 'timeout', seconds: 0.3 });
        const bad = await runScenario({
          machine: plain(silent, { extra: ['-nosuchoption'] }),
          folder,
          timeout: 30,
          debug: async () => Promise.resolve(),
        });
        expect(bad.end).toMatchObject({ kind: 'trouble', message: expect.stringContaining('nosuchoption') });
      });
    },
    seconds,
  );

  test(
    'dies with a parent that was killed without warning',
    async () => {
      await withTemporaryFolder(async (folder) => {
        const script = join(folder, 'parent.mjs');
        const machineModule = new URL('./machine.js', import.meta.url).href;
        const pidFile = join(folder, 'qemu.pid');
        const spec = plain(silent, { extra: ['-pidfile', pidFile, '-S'] });
        await writeFile(
          script,
          `import { Machine } from ${JSON.stringify(machineModule)};
           const m = await Machine.start(${JSON.stringify(spec)}, { folder: ${JSON.stringify(folder)}, qmp: true });
           await m.qmp();
           console.log('ready');
           setInterval(() => {}, 1000);`,
        );
        const parent = execa(process.execPath, [script], { reject: false });
        await new Promise((resolve) => parent.stdout.once('data', resolve));
        const pid = Number(readFileSync(pidFile, 'utf8'));
        expect(existsSync(`/proc/${pid}`)).toBe(true);
        parent.kill('SIGKILL');
        await parent;
        await expect(gone(pid)).resolves.toBe(true);
      });
    },
    seconds,
  );

  test(
    'QMP reads physical memory and ends the machine',
    async () => {
      await withTemporaryFolder(async (folder) => {
        const out = join(folder, 'memory');
        const run = await runScenario({
          machine: plain(silent),
          folder,
          timeout: 60,
          meanwhile: async (machine, qmp) => {
            await machine.waitForLine([/Linux version/], { timeoutMs: 50_000 });
            const client = await qmp();
            await client.saveMemory(0xf_fff0n, 16, out);
            await expect(client.execute('no-such-command')).rejects.toMatchObject({ kind: 'tool' });
            await client.quit();
          },
        });
        expect(run.end).toMatchObject({ kind: 'exit', code: 0 });
        // The reset vector of a PC's BIOS is a far jump.
        expect(readFileSync(out)[0]).toBe(0xea);
      });
    },
    seconds,
  );

  test(
    'the reproduce line works when pasted into a shell',
    async () => {
      const line = reproduceLine(plain(`${silent} saveoops.word='a b'`));
      const { stdout } = await execa('sh', ['-c', line], { stdin: 'ignore' });
      expect(stdout).toContain(`saveoops.word='a b'`);
      expect(stdout).toContain('VFS: Unable to mount root fs');
    },
    seconds,
  );
});

describe('boot media in a machine', () => {
  test.each(['disk', 'cdrom'] as const)(
    'Syslinux boots the kernel from %s',
    async (kind) => {
      await withTemporaryFolder(async (folder) => {
        const config = join(folder, 'syslinux.cfg');
        const text = 'UI menu.c32\nDEFAULT other\nLABEL other\n COM32 x.c32\nLABEL plain\n LINUX vmlinuz\n';
        await writeFile(config, unattendedConfig(text, 'plain', silent));
        const image = join(folder, 'boot, with comma.img');
        const make = kind === 'disk' ? makeDiskImage : makeIsoImage;
        await make(
          [
            { name: 'vmlinuz', source: kernel },
            { name: 'syslinux.cfg', source: config },
          ],
          image,
        );
        const run = await runScenario({
          machine: { boot: { kind, image }, memory: 512, cpus: 2 },
          folder,
          timeout: 60,
        });
        expect(run.end).toMatchObject({ kind: 'exit', code: 0 });
        const lines = serialLines(run.serial);
        expect(lines).toContainEqual(expect.stringMatching(/^(SYS|ISO)LINUX 6\.04/));
        expect(run.serial).toContain('smp: Brought up 1 node, 2 CPUs');
        expect(run.serial).toContain('VFS: Unable to mount root fs');
      });
    },
    seconds,
  );
});

describe('the debugger', () => {
  test(
    'stops at a physical address before paging, and reads, writes and steps',
    async () => {
      await withTemporaryFolder(async (folder) => {
        const machine = await Machine.start(plain(`${silent} nokaslr`, { cpus: 2 }), { folder, gdb: true });
        try {
          const gdb = await machine.gdb();
          expect((await gdb.status()).signal).toBe(5);
          expect(await gdb.threads()).toHaveLength(2);
          // The CPU stands at its reset vector: real mode, shown in the 64-bit layout.
          expect(await gdb.registers()).toMatchObject({ rip: 0xfff0n, cs: 0xf000n, eflags: 2n });
          // startup_64 of the decompressed kernel, entered with identity-mapped paging.
          await gdb.setBreakpoint(0x100_0000n);
          gdb.continue();
          expect(() => gdb.continue()).toThrow(/debugger port/);
          const stop = await gdb.waitForStop(60_000);
          expect(stop).toEqual({ signal: 5, thread: '01' });
          await gdb.selectThread('1');
          const registers = await gdb.registers();
          expect(registers.rip).toBe(0x100_0000n);
          // RSI is boot_params: the setup header's magic lies at 0x202 in it.
          const bootParams = await gdb.readMemory(registers.rsi, 4096);
          expect(bootParams.toString('latin1', 0x202, 0x206)).toBe('HdrS');
          await gdb.setPhysicalMemory(true);
          expect(await gdb.readMemory(registers.rsi, 4096)).toEqual(bootParams);
          await gdb.setPhysicalMemory(false);
          const words = Buffer.from(Array.from({ length: 3000 }, (_, i) => i & 0xff));
          await gdb.writeMemory(0x8_0000n, words);
          expect(await gdb.readMemory(0x8_0000n, words.length)).toEqual(words);
          await gdb.writeRegister('r15', 0xfedc_ba98_7654_3210n);
          expect((await gdb.registers()).r15).toBe(0xfedc_ba98_7654_3210n);
          await gdb.stepFrom(0x100_0000n, stop);
          expect((await gdb.registers()).rip).not.toBe(0x100_0000n);
          await expect(gdb.readMemory(0xffff_ff00_0000_0000n, 8)).rejects.toMatchObject({ kind: 'tool' });
          await expect(gdb.readMemory(-1n, 8)).rejects.toThrow(RangeError);
          await expect(gdb.writeRegister('rax', 1n << 64n)).rejects.toThrow(RangeError);
          gdb.continue();
          await machine.waitForLine([/Linux version/], { timeoutMs: 50_000 });
          await expect(gdb.waitForStop(1)).rejects.toMatchObject({ found: 'nothing within 0.001 s' });
          gdb.interrupt();
          expect((await gdb.waitForStop(10_000)).signal).toBe(2);
          await gdb.removeBreakpoint(0x100_0000n);
          await gdb.detach();
          expect(await machine.waitForLine([/VFS: Unable/], { timeoutMs: 50_000 })).toMatchObject({
            kind: 'line',
          });
        } finally {
          await machine.stop();
        }
      });
    },
    seconds,
  );

  test.each([
    // Earlier, a kernel without Saveoops has no console to show its panic on, nor read `panic=`.
    ['setup_per_cpu_areas', 1],
    ['console_init', 1],
    ['rest_init', 2],
    ['kernel_init_freeable', 2],
  ])(
    'panics at %s on %d CPUs, and the trace names the function',
    async (functionName, cpus) => {
      await withTemporaryFolder(async (folder) => {
        const linkAddressOf = await symbols();
        const message = `Saveoops test ${functionName} 1234`;
        const run = await runScenario({
          machine: plain(`${silent} earlyprintk=ttyS0,115200 nokaslr`, { cpus }),
          folder,
          timeout: 60,
          // The end of the trace: this early, a stock kernel cannot always reset the machine.
          endAt: [/<\/TASK>/],
          debug: async (gdb) => {
            const kaslr = { kind: 'known', offset: 0n } as const;
            const done = await injectPanic(gdb, {
              functionName,
              message,
              linkAddressOf,
              kaslr,
              timeoutMs: 50_000,
            });
            expect(done.kaslrOffset).toBe(0n);
          },
        });
        expect(run.serial).toContain(`Kernel panic - not syncing: ${message}`);
        expect(run.serial).toMatch(new RegExp(`\\] [ ?]*${functionName}\\+0x1/`));
      });
    },
    seconds,
  );

  test(
    'a function that is never reached ends the run with that reason',
    async () => {
      await withTemporaryFolder(async (folder) => {
        const run = await runScenario({
          machine: plain(`${silent} nokaslr`),
          folder,
          timeout: 60,
          debug: async (gdb) => {
            await injectPanic(gdb, {
              functionName: 'f',
              message: 'x',
              linkAddressOf: () => 0xffff_ffff_9000_0000n,
              kaslr: { kind: 'known', offset: 0n },
              timeoutMs: 500,
            });
          },
        });
        expect(run.end).toMatchObject({ kind: 'trouble', message: expect.stringContaining('entry of f') });
      });
    },
    seconds,
  );
});

/** A killed process leaves /proc as soon as init has reaped it: the kernel's own event is not ours to await. */
async function gone(pid: number): Promise<boolean> {
  for (let i = 0; i < 100; i++) {
    if (!existsSync(`/proc/${pid}`) || /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) {
      return true;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}
