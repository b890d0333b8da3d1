/**
 * The proof of a payload: boots it in QEMU, makes the primary kernel panic, and says whether its log came back.
 * The proof is made on a copy of DIR's files on a disk image of its own; DIR is only read.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { SaveoopsError } from '../errors.js';
import { makeFolder, readInput, withTemporaryFolder } from '../host/files.js';
import { asTask, step, type RunOptions } from '../host/task.js';
import { unattendedConfig, type BootEntry } from '../image/boot-config.js';
import { payloadFile } from '../compose/payload-files.js';
import { makeDiskImage } from '../image/disk-image.js';
import { loaderNeeds, makeEfiDisk, type KernelBoot } from '../image/efi-disk.js';
import type { EfiLoader } from '../image/efi-loaders.js';
import { readManifest, readPayloadFolder, withConfig, type PayloadFolder } from '../image/payload-folder.js';
import { machineNeeds, requireOnHost, uefiMachineNeeds } from '../image/requirements.js';
import { injectPanic, type PanicInjection } from '../machine/inject-panic.js';
import { injectReset, resetOptions, type ResetKind } from '../machine/inject-reset.js';
import { KernelDebugger, type KernelFacts } from '../machine/kernel-debugger.js';
import { functionAddress, readKernelSymbols, requireFunction } from '../machine/kernel-functions.js';
import { bootPrompt, captureEnds, judgeCapture, type Outcome } from '../machine/outcome.js';
import type { Firmware, MachineSpec } from '../machine/qemu-command.js';
import { runScenario } from '../machine/scenario.js';
import { lastLineBeforeReset } from '../machine/serial-parts.js';
import { takeApart } from '../payload/take-apart.js';
import { testDefaults } from './test-defaults.js';

/** Which payload to test, and on what machine. */
export interface TestRequest {
  /** Folder that `build` wrote. It is only read. */
  readonly dir: string;
  /** `mount`: the panic of a missing root. Else the kernel function at whose entry panic() is called. */
  readonly panic?: string | undefined;
  /** In place of a panic: the machine is reset, and the next boot captures. */
  readonly reset?: ResetKind | undefined;
  /** The kernel function at whose entry that is. Default: pci_subsys_init. */
  readonly at?: string | undefined;
  readonly nokaslr?: boolean | undefined;
  readonly cpus?: number | undefined;
  /** Default: BIOS; UEFI with another loader than Syslinux. */
  readonly firmware?: Firmware | undefined;
  /** Default: Syslinux. */
  readonly loader?: TestLoader | undefined;
  /** MiB. */
  readonly memory?: number | undefined;
  /** Wall-clock seconds for the run in QEMU. */
  readonly timeout?: number | undefined;
  /** Folder for the disk image, its configuration and all logs. */
  readonly keep?: string | undefined;
}

/** What can boot the payload. */
export type TestLoader = 'syslinux' | EfiLoader;

/** How the run ended; `saveoops test --json` prints it. */
export interface TestResult {
  readonly version: 1;
  /** `failed`: the log did not come back, or holds another panic; `lost`: no verdict. */
  readonly outcome: Outcome['outcome'];
  /** The `panic` of the run; null with `reset`. */
  readonly panic: string | null;
  /** `reset` and `at`; null with `panic`. */
  readonly reset: { readonly kind: ResetKind; readonly at: string } | null;
  /** What the recovered log had to contain: after a reset the last line that the kernel had said on the serial port, '' for none. */
  readonly message: string;
  /** The recovered log, or null. */
  readonly recovered: string | null;
  /** A shell line that starts the same machine. */
  readonly reproduce: string;
  readonly seconds: number;
  /** One sentence. */
  readonly reason: string;
  /** Folder with the logs and the files that `reproduce` names, or null when it is gone. */
  readonly kept: string | null;
  /** Null after a pass. The end of what each kernel put on the serial port: at most 200 lines of 500 characters. */
  readonly serial: {
    /** Firmware, boot loader, primary kernel, crash stub. */
    readonly primary: readonly string[];
    /** The crash kernel, without the recovered log. Empty when it was not started. */
    readonly crash: readonly string[];
  } | null;
  /** The last lines on the serial port, for a person. */
  readonly lastLines: readonly string[];
}

/** Bounds of TestResult.serial. */
const serialEnd = { lines: 200, characters: 500 } as const;

/** Labels that `saveoops build` writes: the armed boot, and the one that panics on purpose. */
const armedLabel = 'saveoops';
const testLabel = 'saveoops-test';
const mountMessage = 'VFS: Unable to mount root fs';

/**
 * Boots a payload in QEMU, makes its primary kernel panic, and tells whether the log came back.
 *
 * @throws {@link SaveoopsError} for what the inputs or the host deserve: `usage`, `file`, `format`, `tool`, `unsupported`, `missing-fact`
 */
export async function testPayload(request: TestRequest, run: RunOptions = {}): Promise<TestResult> {
  return await asTask(run, async () => await testNow(request));
}

async function testNow(given: TestRequest): Promise<TestResult> {
  const { loader = testDefaults.loader } = given;
  const efiLoader = loader === 'syslinux' ? undefined : loader;
  const options: TestRequest = efiLoader === undefined ? given : { ...given, firmware: 'uefi' };
  const panic = options.panic ?? testDefaults.panic;
  checkOptions(options, panic);
  await requireOnHost([
    ...machineNeeds,
    ...(options.firmware === 'uefi' ? uefiMachineNeeds : []),
    ...(efiLoader === undefined ? [] : loaderNeeds(efiLoader)),
  ]);
  const payload = await readPayloadFolder(options.dir);
  const death = await prepareDeath(options, panic);

  const { outcome, kept } = await inFolder(options.keep, async (folder) => {
    step(`Making a disk image of ${options.dir}`);
    const image = await makeTestImage(payload, death, options, folder);
    step(`Booting it in QEMU, at most ${options.timeout ?? testDefaults.timeout} seconds`);
    const ended = await runInQemu(image, options, death, folder);
    if (ended.recovered !== undefined) {
      await writeFile(join(folder, 'recovered.log'), ended.recovered.text);
    }
    return ended;
  });
  return {
    version: 1,
    outcome: outcome.outcome,
    panic: death.kind === 'reset' ? null : death.kind === 'panic' ? death.panic : death.kind,
    reset: death.kind === 'reset' ? { kind: death.reset, at: death.at } : null,
    message: outcome.message,
    recovered: outcome.recovered?.text ?? null,
    reproduce: outcome.reproduce,
    seconds: Math.round(outcome.seconds * 10) / 10,
    reason: outcome.reason,
    kept: kept ?? null,
    serial:
      outcome.outcome === 'passed'
        ? null
        : { primary: endOf(outcome.parts.primary), crash: endOf(outcome.parts.crash) },
    lastLines: outcome.lastLines,
  };
}

/** How the primary is to die. */
type Death =
  | { readonly kind: 'mount' }
  | { readonly kind: 'panic'; readonly panic: string; readonly injection: PanicInjection }
  | { readonly kind: 'reset'; readonly reset: ResetKind; readonly at: string; readonly facts: KernelFacts };

/** What it takes, read before the machine starts: a wrong function name must not cost a boot. */
async function prepareDeath(options: TestRequest, panic: string): Promise<Death> {
  const { reset, at = testDefaults.at } = options;
  if (reset !== undefined) {
    const { bootWatchdog, afterReset } = await readManifest(options.dir);
    if (!afterReset)
      throw refusal('--reset', 'a payload without it', 'one that was built with --after-reset');
    if (reset === 'watchdog' && bootWatchdog === 0) {
      throw refusal('--reset watchdog', 'a payload without it', 'one that was built with --boot-watchdog');
    }
    return { kind: 'reset', reset, at, facts: await kernelFacts(options, [at]) };
  }
  if (panic === 'mount') return { kind: 'mount' };
  const message = `Saveoops test ${randomBytes(6).toString('hex')}`;
  const facts = await kernelFacts(options, [panic, 'panic']);
  return { kind: 'panic', panic, injection: { ...facts, functionName: panic, message } };
}

function refusal(option: string, found: string, wanted: string): SaveoopsError {
  return new SaveoopsError('usage', `bad ${option}`, { where: option, found, wanted });
}

function checkOptions(options: TestRequest, panic: string): void {
  const refuse = (option: string, found: string, wanted: string): never => {
    throw refusal(option, found, wanted);
  };
  const { reset, at = testDefaults.at, firmware } = options;
  for (const [option, name] of [
    ['--panic', panic],
    ['--at', at],
  ] as const) {
    if (!/^[A-Za-z_][\w.]*$/.test(name)) refuse(option, JSON.stringify(name), 'a kernel function');
  }
  if (reset === undefined && options.at !== undefined) refuse('--at', 'no --reset', 'both, or none');
  if (reset !== undefined && panic !== 'mount') refuse('--reset', `--panic ${panic}`, 'one of the two');
  if (reset !== undefined && firmware === 'uefi') {
    refuse(
      '--reset',
      'a machine that UEFI starts',
      'BIOS and Syslinux: no other boot looks for a system that was reset',
    );
  }
  for (const [option, value, least, most] of [
    ['--cpus', options.cpus, 1, 255],
    ['--memory', options.memory, 128, 1 << 20],
    ['--timeout', options.timeout, 1, 86_400],
  ] as const) {
    if (value !== undefined && !(Number.isInteger(value) && value >= least && value <= most)) {
      refuse(option, String(value), `a whole number from ${least} to ${most}`);
    }
  }
}

/** Throws `missing-fact` when the primary kernel has no function of one of these names. */
async function kernelFacts(options: TestRequest, functions: readonly string[]): Promise<KernelFacts> {
  const manifest = await readManifest(options.dir);
  const kallsyms = await readKernelSymbols(join(options.dir, manifest.primary.kernelFile));
  for (const name of functions) requireFunction(kallsyms, name);
  return {
    linkAddressOf: (name) => functionAddress(kallsyms, name),
    kaslr: knowsOffset(options) ? { kind: 'known', offset: 0n } : { kind: 'payload', debug: manifest.debug },
    timeoutMs: (options.timeout ?? testDefaults.timeout) * 1000,
  };
}

/** Under UEFI the entry stub lies where firmware has room, so that the debugger cannot follow it: no KASLR then. */
function knowsOffset({ firmware }: TestRequest): boolean {
  return firmware === 'uefi';
}

async function makeTestImage(
  payload: PayloadFolder,
  death: Death,
  options: TestRequest,
  folder: string,
): Promise<string> {
  const label = death.kind === 'mount' ? testLabel : armedLabel;
  const entry = payload.config.entries.find((each) => each.label === label);
  if (entry === undefined) {
    throw new SaveoopsError('format', `syslinux.cfg has no label ${label}`, {
      where: join(payload.folder, 'syslinux.cfg'),
      found: `labels: ${payload.config.entries.map((each) => each.label).join(', ') || 'none'}`,
      wanted: `the label ${label} that saveoops build writes`,
      hint: 'build the payload again',
    });
  }
  const random = options.nokaslr !== true && (death.kind === 'mount' || !knowsOffset(options));
  const extra = `console=ttyS0,115200${random ? '' : ' nokaslr'}`;
  const image = join(folder, 'disk.img');
  const { loader = 'syslinux' } = options;
  if (loader === 'syslinux') {
    const config = unattendedConfig(payload.configText, label, extra);
    await makeDiskImage(await withConfig(payload.files, config, folder), image);
  } else {
    await makeEfiDisk(loader, await kernelBoot(payload, entry, extra, folder), image, folder);
  }
  return image;
}

/** What another loader is given in place of the payload: the composed image and the initrds, in files of their own. */
async function kernelBoot(
  payload: PayloadFolder,
  entry: BootEntry,
  extra: string,
  folder: string,
): Promise<KernelBoot> {
  const path = join(payload.folder, payloadFile);
  const { composed, initrds } = takeApart(await readInput(path, 'a payload'), path);
  const write = async (name: string, bytes: Uint8Array): Promise<string> => {
    const file = join(folder, name);
    await writeFile(file, bytes);
    return file;
  };
  const embedded = await Promise.all(
    initrds.map(({ bytes }, index) => write(`embedded-initrd-${index}`, bytes)),
  );
  return {
    image: await write('saveoops.efi', composed),
    initrds: [...embedded, ...entry.initrds.map((name) => join(payload.folder, name))],
    commandLine: [entry.append, extra].filter((words) => words !== '').join(' '),
  };
}

type TestOutcome = Outcome & { readonly message: string };

async function runInQemu(
  image: string,
  options: TestRequest,
  death: Death,
  folder: string,
): Promise<TestOutcome> {
  const machine: MachineSpec = {
    boot: { kind: 'disk', image },
    firmware: options.firmware,
    cpus: options.cpus ?? testDefaults.cpus,
    memory: options.memory ?? testDefaults.memory,
    ...(death.kind === 'reset' && { extra: resetOptions }),
  };
  const run = await runScenario({
    machine,
    folder,
    timeout: options.timeout ?? testDefaults.timeout,
    // The end marker settles the run: what follows is the crash kernel's pause before it resets the machine.
    endAt: captureEnds,
    endAtPrompt: [bootPrompt.pattern],
    ...(death.kind === 'panic' && {
      debug: async (gdb): Promise<void> => {
        await injectPanic(gdb, death.injection);
      },
    }),
    ...(death.kind === 'reset' &&
      injectReset(death.reset, death.at, (gdb) => KernelDebugger.start(gdb, death.facts))),
  });
  const message = messageOf(death, run.serial);
  const judged = { ...judgeCapture(run, message ?? ''), message: message ?? '' };
  if (judged.outcome === 'lost') return judged;
  if (message === undefined)
    return { ...judged, outcome: 'failed', reason: 'the boot after the reset captured nothing' };
  if (message !== '' || judged.outcome === 'failed') return judged;
  return { ...judged, reason: 'captured after the reset; the kernel had not printed anything yet' };
}

/** What the recovered log must contain; undefined: there is none after a reset. */
function messageOf(death: Death, serial: string): string | undefined {
  if (death.kind === 'mount') return mountMessage;
  if (death.kind === 'panic') return death.injection.message;
  return lastLineBeforeReset(serial);
}

interface KeptOutcome {
  readonly outcome: TestOutcome;
  readonly kept: string | undefined;
}

/**
 * Runs in `keep`, or in a temporary folder that goes away after a pass; after anything else it is evidence and
 * stays, under a name that says so.
 */
async function inFolder(
  keep: string | undefined,
  use: (folder: string) => Promise<TestOutcome>,
): Promise<KeptOutcome> {
  if (keep !== undefined) {
    const folder = resolve(keep);
    await makeFolder(folder, 'a folder for the logs');
    return { outcome: await use(folder), kept: folder };
  }
  return await withTemporaryFolder(async (folder) => {
    const outcome = await use(folder);
    if (outcome.outcome === 'passed') return { outcome, kept: undefined };
    const kept = join(tmpdir(), `saveoops-evidence-${randomBytes(4).toString('hex')}`);
    await rm(kept, { recursive: true, force: true });
    await rename(folder, kept);
    await mkdir(folder); // withTemporaryFolder removes it.
    return { outcome: { ...outcome, reproduce: outcome.reproduce.replaceAll(folder, kept) }, kept };
  });
}

function endOf(lines: readonly string[]): readonly string[] {
  return lines.slice(-serialEnd.lines).map((line) => line.slice(0, serialEnd.characters));
}
