/**
 * Two guests that know each other: a primary that says what it is and panics, and, as the crash kernel's userspace, one
 * that prints what /proc/vmcore is made of, so that the host can compare the two.
 */
import { gunzipSync } from 'node:zlib';
import { PT_LOAD } from '../src/formats/elf/elf-tables.js';
import { parseElf } from '../src/formats/elf/parse-elf.js';
import { wrongEnds } from '../src/machine/outcome.js';
import { readKernelSymbols } from '../src/machine/kernel-functions.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { guestBlock } from './harness/boot.js';
import { guestInitramfs, printBlock } from './harness/guest.js';
import { payload, stockKernel, type Flavour } from './harness/payloads.js';

/** What sysrq-c says; the guest does it on the CPU that `guest.cpu=` on its command line names, by default 0. */
export const guestPanic = 'Kernel panic - not syncing: sysrq triggered crash';

/** The line after which the crash kernel's guest only powers off. */
export const vmcoreTold = 'guest: that was /proc/vmcore';

/** Lines that end a run of these guests. */
export const vmcoreEnds = [new RegExp(vmcoreTold), ...wrongEnds.map(({ pattern }) => pattern)];

/**
 * A payload of both guests.
 * @param before shell lines that the primary's guest runs before it panics
 */
export async function vmcorePayload(
  flavour: Flavour,
  before = '',
  files: Parameters<typeof guestInitramfs>[1] = [],
): Promise<string> {
  const dying = await guestInitramfs(
    `
${printBlock('symbols', "grep -E ' (_text|_stext|_etext|_end)$' /proc/kallsyms")}
${printBlock('iomem', 'cat /proc/iomem')}
${printBlock('e820', 'dmesg | grep -o "BIOS-e820: .*"')}
cpu=$(sed -n 's/.*guest.cpu=\\([0-9]*\\).*/\\1/p' /proc/cmdline)
${before}
# Waits until all is on the line: the panic would keep it in the driver.
stty -echo
taskset -c \${cpu:-0} sh -c 'echo c >/proc/sysrq-trigger'
`,
    files,
  );
  return await payload({
    flavour,
    initrds: [dying],
    append: 'sysrq_always_enabled',
    crashInitrd: await tellingGuest(flavour),
    name: `vmcore-${flavour}`,
  });
}

/** /proc/vmcore has the program headers in the order in which it got them: PT_NOTE, text, RAM upwards. */
const textOffsetField = 64 + 56 + 8;
const lowOffsetField = 64 + 2 * 56 + 8;

async function tellingGuest(flavour: Flavour): Promise<string> {
  const kallsyms = await readKernelSymbols(stockKernel(flavour).vmlinuz);
  const [text = 0n] = kallsyms.addresses('_text');
  const [banner = 0n] = kallsyms.addresses('linux_banner');
  const field = (at: number): string => `$(od -An -t u8 -j ${at} -N 8 /proc/vmcore)`;
  return await guestInitramfs(
    `
pages() { dd if=/proc/vmcore bs=4096 skip=$(($1 / 4096)) count=$2 2>/dev/null | gzip | base64; }
${printBlock('size', 'stat -c %s /proc/vmcore')}
${printBlock('head', 'pages 0 64')}
${printBlock('low', `pages ${field(lowOffsetField)} 160`)}
${printBlock('banner', `dd if=/proc/vmcore bs=1 skip=$((${field(textOffsetField)} + ${banner - text})) count=40 2>/dev/null; echo`)}
${printBlock('dead log', 'vmcore-dmesg /proc/vmcore | tail -n 60')}
${printBlock('dead e820', 'vmcore-dmesg /proc/vmcore | grep -o "BIOS-e820: .*"')}
${printBlock('log', 'dmesg | sed "s/^\\[ *[0-9.]*\\] //"')}
echo "${vmcoreTold}"
poweroff -f
`,
    [{ path: 'bin/vmcore-dmesg', source: '/usr/sbin/vmcore-dmesg' }],
  );
}

/** The first 256 KiB of /proc/vmcore: ELF header, program headers and notes. */
export function vmcoreHead(result: ScenarioResult): Buffer {
  return unpacked(result, 'head');
}

/** What /proc/vmcore has of RAM, upwards. */
export function ptLoads(result: ScenarioResult): readonly MemoryRange[] {
  const [, ...loads] = parseElf(vmcoreHead(result), '/proc/vmcore').segments.filter(
    ({ p_type }) => p_type === PT_LOAD,
  );
  const shown = loads.map(({ p_paddr, p_memsz }) => ({ start: p_paddr, end: p_paddr + BigInt(p_memsz) }));
  return shown.sort((a, b) => (a.start < b.start ? -1 : 1));
}

/** The dead kernel's first 640 KiB as /proc/vmcore has them. */
export function vmcoreLow(result: ScenarioResult): Buffer {
  return unpacked(result, 'low');
}

function unpacked(result: ScenarioResult, block: string): Buffer {
  return gunzipSync(Buffer.from(guestBlock(result, block).join(''), 'base64'));
}

export interface MemoryRange {
  readonly start: bigint;
  /** Behind the last byte. */
  readonly end: bigint;
}

/** Ranges of a kind in lines "BIOS-e820: [mem 0x...-0x...] kind" of a kernel's log. */
export function e820Ranges(lines: readonly string[], kind: 'usable' | 'reserved'): readonly MemoryRange[] {
  return lines
    .map((line) => /BIOS-e820: \[mem (0x[0-9a-f]+)-(0x[0-9a-f]+)\] (.*)$/.exec(line))
    .filter((match) => match?.[3] === kind)
    .map((match) => ({ start: BigInt(match?.[1] ?? 0), end: BigInt(match?.[2] ?? 0) + 1n }));
}

/** Address of one name in the primary's block "symbols". */
export function guestSymbol(result: ScenarioResult, name: string): bigint {
  const line = guestBlock(result, 'symbols').find((each) => each.endsWith(` ${name}`));
  return BigInt(`0x${line?.split(' ')[0] ?? '0'}`);
}
