/**
 * Boots a payload folder in QEMU and gives what happened. A run ends in one of three ways, which an error's first
 * word tells: it passed (no error), it failed (the machine did something else than the test demands), or it is lost
 * (no verdict: timeout, or QEMU itself in trouble). Errors of both kinds carry the evidence.
 */
import { mkdtempSync } from 'node:fs';
import { copyFile, mkdir, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, expect } from '@jest/globals';
import { unattendedConfig } from '../../src/image/boot-config.js';
import { makeDiskImage } from '../../src/image/disk-image.js';
import type { ImageFile } from '../../src/image/image-files.js';
import { makeIsoImage } from '../../src/image/iso-image.js';
import { readPayloadFolder, withConfig } from '../../src/image/payload-folder.js';
import { captureEnds, judgeCapture } from '../../src/machine/outcome.js';
import type { BootSource, Firmware } from '../../src/machine/qemu-command.js';
import { markedBlocks } from '../../src/machine/recovered-log.js';
import { runScenario, type Scenario, type ScenarioResult } from '../../src/machine/scenario.js';
import { serialLines } from '../../src/machine/serial-text.js';
import { cache, digestOf } from './folders.js';
import { blockBegins, blockEnds } from './guest.js';

/** Of any run, whatever the machine starts from. */
export interface RunOptions {
  /** MiB. */
  readonly memory?: number;
  readonly cpus?: number;
  /** Wall-clock seconds; default 180. */
  readonly timeout?: number;
  /**
   * Lines that end the run. Default: those of a capture, its end marker and what tells that none will come. QEMU's
   * own end (the guest reset or powered off) always ends it.
   */
  readonly endAt?: readonly RegExp[];
  readonly debug?: Scenario['debug'];
  readonly meanwhile?: Scenario['meanwhile'];
  /** Further QEMU options. */
  readonly extra?: readonly string[];
  /** QEMU's -machine; default "q35". */
  readonly board?: string;
  /** Default "bios". */
  readonly firmware?: Firmware;
  /** False: the machine has no serial port, so the result has no text. */
  readonly serialPort?: boolean;
}

export interface BootOptions extends RunOptions {
  /** Label of syslinux.cfg to boot at once; default "saveoops", the armed boot. */
  readonly label?: string;
  /** Added to the label's APPEND; default: the serial console. Give '' for a primary without one. */
  readonly extraAppend?: string;
  /** iso-as-disk: as from a stick that the ISO image was copied to. */
  readonly media?: 'disk' | 'iso' | 'iso-as-disk';
  /** QEMU options that plug the drive "disk" in; default: the first on the machine's own controller. */
  readonly diskDevice?: readonly string[];
  /** What the machine writes to its boot disk stays on it: bootDisk() gives the image. */
  readonly writable?: boolean;
  /** Changes a copy of the folder, whose syslinux.cfg is the unattended one, before the medium is made of it. */
  readonly edit?: (imageFolder: string) => Promise<void>;
  /** Changes the medium once it is made. */
  readonly rearrange?: (image: string) => Promise<void>;
}

/** The serial console as `saveoops test` asks for it. */
export const serialConsole = 'console=ttyS0,115200';

/** Media of this file's runs, by serial log. Those of runs with evidence stay: a reproduce line names them. */
const media = new Map<string, string>();
afterAll(async () => {
  for (const image of media.values()) await rm(image, { force: true });
});

/** Runs of each test so far, for the names of their folders. */
const runs = new Map<string, number>();

/** Throws an Error that begins with "lost" when the run came to no end of its own. */
export async function bootPayload(dir: string, options: BootOptions = {}): Promise<ScenarioResult> {
  const folder = await runFolder();
  const isIso = options.media === 'iso' || options.media === 'iso-as-disk';
  const image = join(folder, isIso ? 'boot.iso' : 'boot.img');
  const files = await imageFiles(dir, folder, options);
  await (isIso ? makeIsoImage(files, image) : makeDiskImage(files, image));
  await options.rearrange?.(image);
  const boot: BootSource =
    options.media === 'iso'
      ? { kind: 'cdrom', image }
      : { kind: 'disk', image, writable: options.writable ?? false, device: options.diskDevice };
  return await run(folder, boot, options, image);
}

/** As bootPayload(), from what the test made itself, which stays. */
export async function bootFrom(boot: BootSource, options: RunOptions = {}): Promise<ScenarioResult> {
  return await run(await runFolder(), boot, options);
}

/** `made`: the medium that goes away when the test has passed. */
async function run(
  folder: string,
  boot: BootSource,
  options: RunOptions,
  made?: string,
): Promise<ScenarioResult> {
  const result = await atShortName(folder, (short) =>
    runScenario({
      machine: {
        boot,
        ...(options.memory !== undefined && { memory: options.memory }),
        ...(options.cpus !== undefined && { cpus: options.cpus }),
        ...(options.extra !== undefined && { extra: options.extra }),
        ...(options.firmware !== undefined && { firmware: options.firmware }),
        ...(options.board !== undefined && { board: options.board }),
        ...(options.serialPort === false && { serial: 'absent' as const }),
      },
      folder: short,
      timeout: options.timeout ?? 180,
      endAt: options.endAt ?? captureEnds,
      ...(options.debug !== undefined && { debug: options.debug }),
      ...(options.meanwhile !== undefined && { meanwhile: options.meanwhile }),
    }),
  );
  const told = { ...result, serialLog: join(folder, 'serial.log') };
  if (made !== undefined) media.set(told.serialLog, made);
  const { end } = told;
  if (end.kind === 'timeout') throw withEvidence('lost', `no end within ${end.seconds} seconds`, told);
  if (end.kind === 'trouble') throw withEvidence('lost', end.message, told);
  if (end.kind === 'exit' && (end.signal !== undefined || end.code !== 0)) {
    throw withEvidence('lost', `QEMU ended with ${end.signal ?? `status ${end.code ?? '?'}`}`, told);
  }
  return told;
}

/** The image of a run's boot disk; it goes when the file's tests are through. */
export function bootDisk({ serialLog }: ScenarioResult): string {
  return join(dirname(serialLog), 'boot.img');
}

/** Runs the claims of a test; the error of the first that does not hold gets the evidence. */
export function check<T>(result: ScenarioResult, claims: () => T): T {
  try {
    return claims();
  } catch (error) {
    const failure = withEvidence('failed', error instanceof Error ? error.message : String(error), result);
    // Where the claim stands, which Jest shows.
    const trace = error instanceof Error ? /^ +at [^]*$/m.exec(error.stack ?? '')?.[0] : undefined;
    if (trace !== undefined) failure.stack = `Error: ${failure.message}\n${trace}`;
    throw failure;
  }
}

/** The recovered log, when it is complete and contains `message`. Throws an Error with the evidence otherwise. */
export function captured(result: ScenarioResult, message: string): string {
  const outcome = judgeCapture(result, message);
  if (outcome.outcome === 'passed' && outcome.recovered !== undefined) return outcome.recovered.text;
  throw withEvidence(outcome.outcome === 'passed' ? 'failed' : outcome.outcome, outcome.reason, result);
}

/** What the guest printed as the block `name` (printBlock()). Throws an Error with the evidence when it is not whole. */
export function guestBlock(result: ScenarioResult, name: string): readonly string[] {
  const [block] = markedBlocks(result.serial, blockBegins(name), blockEnds(name));
  if (block?.complete === true) return block.lines;
  const found = block === undefined ? 'did not begin to print' : 'did not print the end of';
  throw withEvidence('failed', `the guest ${found} its block "${name}"`, result);
}

function withEvidence(outcome: string, reason: string, result: ScenarioResult): Error {
  media.delete(result.serialLog);
  const tail = serialLines(result.serial).slice(-20);
  const text = [
    `${outcome}: ${reason}`,
    '',
    `The run ended after ${result.seconds.toFixed(1)} s with ${JSON.stringify(result.end)}`,
    'Last lines on the serial port:',
    ...tail.map((line) => `  ${line}`),
    `Serial log: ${result.serialLog}`,
    'The same machine again:',
    `  ${result.reproduce}`,
  ];
  return new Error(text.join('\n'));
}

/** A new folder for one run, named after the test file and the test (which is not known in beforeAll). */
async function runFolder(): Promise<string> {
  const { currentTestName = '', testPath = '' } = expect.getState();
  const test = `${basename(testPath, '.test.js')} ${currentTestName}`.trim();
  const readable = test
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 60);
  const name = `${readable}-${digestOf(test).slice(0, 6)}`;
  const count = (runs.get(name) ?? 0) + 1;
  runs.set(name, count);
  const folder = join(cache, 'runs', name, String(count));
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  return folder;
}

async function imageFiles(dir: string, folder: string, options: BootOptions): Promise<readonly ImageFile[]> {
  const { files, config, configText } = await readPayloadFolder(dir);
  const label = options.label ?? 'saveoops';
  if (!config.entries.some((entry) => entry.label === label))
    throw new Error(`syslinux.cfg has no label ${label}`);
  const unattended = unattendedConfig(configText, label, options.extraAppend ?? serialConsole);
  if (options.edit === undefined) {
    return await withConfig(files, unattended, folder);
  }
  const copy = join(folder, 'files');
  await mkdir(copy);
  for (const { name, source } of files) await copyFile(source, join(copy, name));
  await withConfig(files, unattended, copy);
  await options.edit(copy);
  return (await readdir(copy)).sort().map((name) => ({ name, source: join(copy, name) }));
}

/** Unix sockets have short names only, and repositories may lie anywhere: a link in the temporary folder helps. */
async function atShortName<T>(folder: string, use: (short: string) => Promise<T>): Promise<T> {
  const holder = mkdtempSync(join(tmpdir(), 'svo-'));
  try {
    const short = join(holder, 'run');
    await symlink(folder, short);
    return await use(short);
  } finally {
    await rm(holder, { recursive: true, force: true });
  }
}
