/** One kernel of the matrix: built, booted to userspace, panicked early and late, its VMCOREINFO compared, started by UEFI. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { synthesiseVmcoreinfo } from '../../src/arm/vmcoreinfo.js';
import { runTest } from '../../src/commands/test.js';
import { SaveoopsError } from '../../src/errors.js';
import { readManifest } from '../../src/image/payload-folder.js';
import { loadKernel } from '../../src/kernel/load-kernel.js';
import { captureEnds, judgeCapture, type Outcome } from '../../src/machine/outcome.js';
import type { Firmware } from '../../src/machine/qemu-command.js';
import { markedBlocks } from '../../src/machine/recovered-log.js';
import { runScenario } from '../../src/machine/scenario.js';
import { build } from '../../src/library/build.js';
import { makeEsp, startedFile } from '../harness/make-esp.js';
import { blockBegins, blockEnds, guestInitramfs } from '../harness/guest.js';
import { unattendedDisk } from '../harness/unattended-disk.js';
import { keyOf, printKcore, runTimeKeys, vmcoreinfoOf } from '../vmcoreinfo-lines.js';
import type { KernelResult } from './report.js';

const crashAppend = 'saveoops.hold=0';
/** Seconds; of one machine. */
const timeout = 300;
const passed = 'passed';
/** The last part: 5.10 rt makes two lines of the message. */
const guestPanic = 'sysrq triggered crash';
/** Of a kernel without a root file system. */
const mountPanic = 'VFS: Unable to mount root fs';

export interface MatrixRun {
  /** Path of the primary's bzImage. */
  readonly primary: string;
  /** Of the crash kernel's, when it is another one. */
  readonly crash: string | undefined;
}

/** Never throws for what the kernel does; each cell of the result says how it went. */
export async function runKernel({ primary, crash }: MatrixRun): Promise<KernelResult> {
  const folder = mkdtempSync(join(tmpdir(), 'svo-'));
  try {
    const dir = join(folder, 'payload');
    const initrd = await guestInitramfs(
      `${printKcore}echo "guest: userspace"\nstty -echo\necho c >/proc/sysrq-trigger\n`,
    );
    try {
      await build({
        kernel: primary,
        crashKernel: crash,
        initrd: [initrd],
        append: 'sysrq_always_enabled',
        crashAppend,
        out: dir,
      });
    } catch (error) {
      if (!(error instanceof SaveoopsError)) throw error;
      return { built: `refused: ${error.message} (${error.found})` };
    }
    const { memory, facts } = await readManifest(dir);
    const fact = (name: string): string => facts.find((each) => each.name === name)?.value ?? '';
    const { boot, late, vmcoreinfo } = await bootToUserspace(dir, folder, primary);
    const efi = join(folder, 'efi');
    await build({ kernel: primary, crashKernel: crash, format: 'efi', crashAppend, out: efi });
    return {
      built: passed,
      region: memory.size,
      gap: Number(/\+(\d+)$/.exec(fact('gap'))?.[1] ?? 0),
      earlyExceptions: fact('pv_ops.irq.halt') !== '',
      boot,
      late,
      vmcoreinfo,
      early: await test(dir, 'start_kernel'),
      mount: await test(dir, 'mount'),
      handover: await test(dir, 'mount', 'uefi'),
      pe: await startByFirmware(join(efi, 'saveoops.efi'), folder),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** `saveoops test`: passed, or the last line that it prints. */
async function test(dir: string, panic: string, firmware: Firmware = 'bios'): Promise<string> {
  let printed = '';
  const io = { out: (text: string) => void (printed += text), progress: () => undefined };
  const status = await runTest({ dir, panic, timeout, firmware }, io);
  return status === 0 ? passed : (printed.trimEnd().split('\n').pop() ?? '');
}

/** The composed image as the file that firmware starts by itself; it has no command line, so the screen alone tells of the primary. */
async function startByFirmware(composed: string, folder: string): Promise<string> {
  const image = join(folder, 'esp.img');
  await makeEsp(image, [{ path: startedFile, source: composed }]);
  const run = await runScenario({
    machine: { boot: { kind: 'disk', image }, firmware: 'uefi' },
    folder,
    timeout,
    endAt: captureEnds,
  });
  const outcome = judgeCapture(run, mountPanic);
  return outcome.outcome === 'passed' ? passed : said(outcome, run.reproduce);
}

async function bootToUserspace(
  dir: string,
  folder: string,
  primary: string,
): Promise<Record<'boot' | 'late' | 'vmcoreinfo', string>> {
  const image = await unattendedDisk(dir, 'saveoops', 'console=ttyS0,115200', folder);
  const run = await runScenario({
    machine: { boot: { kind: 'disk', image } },
    folder,
    timeout,
    endAt: captureEnds,
  });
  const outcome = judgeCapture(run, guestPanic);
  const [kcore] = markedBlocks(run.serial, blockBegins('kcore'), blockEnds('kcore'));
  const userspace = kcore?.complete === true && /^guest: userspace/m.test(run.serial);
  const ours = synthesiseVmcoreinfo(await loadKernel(readFileSync(primary), primary)).text;
  return {
    boot: userspace ? passed : said(outcome, run.reproduce),
    late: outcome.outcome === 'passed' ? passed : said(outcome, run.reproduce),
    vmcoreinfo: userspace
      ? compare(ours, vmcoreinfoOf(Buffer.from(kcore.lines.join(''), 'base64')))
      : 'unknown',
  };
}

function said({ outcome, reason, lastLines }: Outcome, reproduce: string): string {
  console.log([...lastLines.map((line) => `  ${line}`), `  ${reproduce}`].join('\n'));
  return `${outcome}: ${reason}`;
}

/** Lines that readers miss or get wrong are a failure; lines beyond the kernel's own are counted. */
function compare(ours: string, published: readonly string[]): string {
  const running = unmoved(published);
  const wanted = new Set(running.filter((line) => !runTimeKeys.has(keyOf(line))));
  const made = ours.trimEnd().split('\n');
  const missing = [...wanted].filter((line) => !made.includes(line));
  if (missing.length > 0) return `failed: lacks ${missing.join(', ')}`;
  const further = made.filter((line) => !wanted.has(line));
  const known = new Set(running.map(keyOf));
  const wrong = further.filter((line) => known.has(keyOf(line)));
  if (wrong.length > 0) return `failed: ${wrong.join(', ')}`;
  return further.length === 0 ? `${wanted.size} lines equal` : `${wanted.size} equal, ${further.length} more`;
}

/** The note as it would be without KASLR. */
function unmoved(lines: readonly string[]): readonly string[] {
  const offset = BigInt(`0x${lines.find((line) => keyOf(line) === 'KERNELOFFSET')?.split('=')[1] ?? '0'}`);
  return lines.map((line) =>
    line.replace(/^(SYMBOL\(.*\)=)([0-9a-f]+)$/, (_, head: string, address: string) => {
      return head + (BigInt(`0x${address}`) - offset).toString(16);
    }),
  );
}
