/**
 * `saveoops status`: whether the running system is armed, and why not, from what its kernel shows in /sys; and whether the
 * payloads in /boot are older than the kernels and initramfs there.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { configuredValue } from '../config/configured-value.js';
import { fileError } from '../host/files.js';
import { findReserved, type PhysicalRange } from '../system/crash-region.js';
import { findFallback, type Fallback } from '../system/fallback.js';
import {
  comparePayloads,
  findPayloads,
  type FoundPayload,
  type InstalledPayload,
} from '../system/installed-payloads.js';
import { isResumed } from '../system/resumed.js';
import { storeIn } from '../boot/payload-store.js';
import { waitingFile } from '../boot/trust.js';
import { readOverwriteRequest } from '../system/overwrite-request.js';
import { findResetTest, type ResetTest } from '../system/reset-test.js';
import { readStatusNode } from '../system/read-status-node.js';
import { resumedAdvice, resumedReason, unarmedReasons, type StatusNode } from '../system/status-node.js';
import { forJson, forTerminal } from '../safe-text.js';
import type { Output } from '../host/output.js';

export interface StatusOptions {
  /** Where boot/, etc/, proc/ and sys/ are: "/" of the running system. */
  readonly root: string;
  /** Folder of the payload; undefined: those in boot/. */
  readonly payload: string | undefined;
  readonly motd: boolean;
  readonly json: boolean;
}

/** What `saveoops status --json` prints. */
export interface SystemStatus {
  readonly version: 1;
  readonly armed: boolean;
  /** Of the entry stub's message or of the hook's (docs/messages.md); undefined: armed, or not started by the entry stub. */
  readonly reason: number | undefined;
  readonly why: string | undefined;
  readonly advice: string | undefined;
  /** Of the crash region, bytes. */
  readonly regionSize: number;
  /** The reserved range that holds the crash region, as root sees it. */
  readonly region: PhysicalRange | undefined;
  /** Seconds of the boot watchdog that the entry stub has started; 0: none. */
  readonly bootWatchdog: number;
  readonly payloads: readonly InstalledPayload[];
  /** kdump of userspace: a loaded crash kernel goes first. */
  readonly kdump: { readonly loaded: boolean; readonly reserved: number };
  /** Why payloads that are built are not offered: a signature or its key is missing (`saveoops update`), and what to do. */
  readonly waiting: string | undefined;
  /** Whether memory comes through a reset of this machine, from the last test; undefined: not known, and with --motd. */
  readonly resetTest: ResetTest | undefined;
  /**
   * Whether UEFI has been asked to clear RAM at the next reset (MemoryOverwriteRequest), which leaves `--after-reset` nothing to capture;
   * undefined: neither a payload nor /etc/saveoops.yaml has that option, or there is no such variable.
   */
  readonly clearsMemory: boolean | undefined;
  /** Set when this boot is one instead of a kernel that panicked again and again. */
  readonly fallback: Fallback | undefined;
}

/** Exit codes, for monitoring. */
export const statusExitCodes = { armed: 0, unarmed: 1, notStarted: 2, stale: 3 } as const;

const MiB = 1 << 20;

/**
 * Gives the exit code. Throws `file` when the kernel shows no boot_params or --payload names no payload, `truncated`,
 * `unsupported`, `format`.
 */
export async function runStatus(options: StatusOptions, io: Pick<Output, 'out'>): Promise<number> {
  const { root } = options;
  const node = await readStatusNode(root);
  const regionSize = node?.reason === 0 ? node.regionSize : 0;
  const boot = join(root, 'boot');
  const found = await findPayloads(boot, options.payload);
  const payloads = await comparePayloads(boot, found);
  const resumed =
    node?.reason === 0 &&
    (await isResumed(
      root,
      found.flatMap(({ manifest }) => (manifest === undefined ? [] : [manifest])),
    ));
  const waiting = await readFile(join(storeIn(boot), waitingFile), 'latin1').then(
    (text) => text.trimEnd(),
    () => undefined,
  );
  const fallback = await findFallback(root);
  // What the armed entry waits for, or why this is another entry, says what to do.
  const isExplained = waiting !== undefined || fallback !== undefined;
  const status: SystemStatus = {
    version: 1,
    ...(resumed
      ? { armed: false, reason: resumedReason, ...resumedAdvice }
      : describe(node, payloads.length > 0, isExplained)),
    regionSize,
    region: findReserved(await readFile(join(root, 'proc/iomem'), 'latin1').catch(() => ''), regionSize),
    bootWatchdog: node?.bootWatchdog ?? 0,
    payloads,
    kdump: await readKdump(root),
    waiting,
    resetTest: options.motd ? undefined : await findResetTest(root),
    clearsMemory: (await wantsAfterReset(root, found)) ? await readOverwriteRequest(root) : undefined,
    fallback,
  };
  if (options.json) io.out(`${forJson(status)}\n`);
  else if (options.motd) io.out(motd(status));
  else io.out(render(status));
  if (!status.armed) return node === undefined ? statusExitCodes.notStarted : statusExitCodes.unarmed;
  return isStale(status) ? statusExitCodes.stale : statusExitCodes.armed;
}

/** Whether what comes through a reset matters here: to a payload, or to those that the configuration will make. */
async function wantsAfterReset(root: string, payloads: readonly FoundPayload[]): Promise<boolean> {
  return (
    payloads.some(({ manifest }) => manifest?.afterReset === true) ||
    (await configuredValue(root, 'after-reset')) === true
  );
}

function isStale({ payloads }: SystemStatus): boolean {
  return payloads.some(({ stale }) => stale.length > 0);
}

/** @param isExplained something else that is said tells what to do about a system that no entry stub has started */
function describe(
  node: StatusNode | undefined,
  hasPayload: boolean,
  isExplained: boolean,
): Pick<SystemStatus, 'armed' | 'reason' | 'why' | 'advice'> {
  if (node?.reason === 0) return { armed: true, reason: undefined, why: undefined, advice: undefined };
  const known =
    node === undefined
      ? {
          why: 'this system was not started by the entry stub',
          advice: isExplained ? undefined : howToArm(hasPayload),
        }
      : (unarmedReasons.get(node.reason) ?? {
          why: 'for a reason that this version does not know',
          advice: '',
        });
  return { armed: false, reason: node?.reason, ...known };
}

function howToArm(hasPayload: boolean): string {
  return hasPayload
    ? 'boot the armed entry; with Syslinux a message E2x at boot says why the plain one was taken'
    : 'make a payload: saveoops build, or name the boot loader in /etc/saveoops.yaml and run saveoops update';
}

/** What a person who logs in should know; nothing when all is well. */
function motd(status: SystemStatus): string {
  const old = status.payloads.filter(({ stale }) => stale.length > 0);
  const lines = [
    ...(status.fallback !== undefined ? explain(status.fallback) : status.armed ? [] : [headline(status)]),
    ...(status.waiting === undefined ? [] : waitingLines(status.waiting)),
    ...old.map(({ folder, stale }) => `saveoops: the payload in ${folder} is stale: ${stale.join('; ')}`),
  ];
  return lines.map((line) => `${forTerminal(line)}\n`).join('');
}

/** What it says is ours, and a person's file names: a line each. */
function waitingLines(waiting: string): string[] {
  return `saveoops: ${waiting}`.split('\n');
}

/** Why this boot is not the usual one. */
function explain({ capture, folder, release, message, inARow }: Fallback): string[] {
  const kernel = release === undefined ? 'the usual kernel' : `Linux ${release}`;
  const times = inARow === undefined ? 'again and again' : `${inARow} times in a row`;
  return [
    `saveoops: ${kernel} panicked ${times}, so this entry was started instead, once`,
    ...(message === undefined ? [] : [`  ${message}`]),
    `  the last capture: ${folder ?? `${capture}, on a file system that is not mounted`}`,
  ];
}

function headline({ armed, reason, why, regionSize }: SystemStatus): string {
  if (armed) return `saveoops: armed, ${Math.round(regionSize / MiB)} MiB of RAM reserved`;
  const number = reason === undefined ? '' : `E${String(reason).padStart(2, '0')} `;
  return `saveoops: ${number}not armed: ${why ?? ''}`;
}

function render(status: SystemStatus): string {
  const { region } = status;
  const { loaded, reserved } = status.kdump;
  const lines = [headline(status)];
  if (status.fallback !== undefined) lines.unshift(...explain(status.fallback));
  if (status.advice !== undefined && status.advice !== '') lines.push(`  do: ${status.advice}`);
  if (status.waiting !== undefined) lines.push(...waitingLines(status.waiting));
  if (region !== undefined)
    lines.push(`crash region: in the reserved RAM from ${region.start} to ${region.end}`);
  if (status.resetTest !== undefined) lines.push(describeReset(status.resetTest));
  if (status.clearsMemory !== undefined) lines.push(describeRequest(status.clearsMemory));
  if (status.bootWatchdog > 0) lines.push(`boot watchdog: started, ${status.bootWatchdog} s`);
  for (const payload of status.payloads) lines.push(...renderPayload(payload));
  if (status.payloads.length === 0) lines.push('payload: none found in /boot');
  if (loaded) lines.push('kdump: a crash kernel is loaded; it goes first');
  else if (reserved > 0)
    lines.push(`kdump: ${Math.round(reserved / MiB)} MiB reserved by crashkernel=, nothing loaded`);
  else lines.push('kdump: not set up');
  return lines.map((line) => `${forTerminal(line)}\n`).join('');
}

function describeReset({ time, image, tables }: ResetTest): string {
  const lost = (image?.lost ?? 0) + (tables?.lost ?? 0);
  const checked = (image?.checked ?? 0) + (tables?.checked ?? 0);
  return `after a reset: memory comes through, ${checked - lost} of ${checked} checked pages (test of ${time})`;
}

function describeRequest(clearsMemory: boolean): string {
  return clearsMemory
    ? 'after a reset: firmware will have cleared memory, as MemoryOverwriteRequest is set: nothing to capture'
    : 'after a reset: firmware has not been asked to clear memory (MemoryOverwriteRequest)';
}

function renderPayload({ folder, release, stale, unchecked }: InstalledPayload): string[] {
  const name = `payload: ${folder}${release === null ? '' : `, Linux ${release}`}`;
  return [
    `${name}: ${stale.length > 0 ? 'stale' : unchecked.length > 0 ? 'not compared' : 'up to date'}`,
    ...stale.map((each) => `  ${each}`),
    ...unchecked.map((each) => `  not compared: ${each}`),
    ...(stale.length > 0 ? ['  do: build the payload again'] : []),
  ];
}

async function readKdump(root: string): Promise<SystemStatus['kdump']> {
  // Absent without CONFIG_KEXEC_CORE.
  const value = async (name: string): Promise<number> =>
    Number(await read(join(root, 'sys/kernel', name)).catch(() => '0'));
  return { loaded: (await value('kexec_crash_loaded')) !== 0, reserved: await value('kexec_crash_size') };
}

async function read(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw fileError(path, 'a file of sysfs', error);
  }
}
