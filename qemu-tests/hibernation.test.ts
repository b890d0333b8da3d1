/** A panic of a system that came back from hibernation: docs/testing.md, "The real test", has the whole way. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect } from '@jest/globals';
import { readManifest } from '../src/image/payload-folder.js';
import { runSaveoops } from '../src/testkit/command-line.js';
import { logEnds } from '../src/capture-initramfs/markers.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { thorough } from '../src/testkit/lanes.js';
import { bootPayload, captured, check, guestBlock, serialConsole } from './harness/boot.js';
import { guestInitramfs, printBlock } from './harness/guest.js';
import { modulesOf } from './harness/kernel-modules.js';
import { payload } from './harness/payloads.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'svo-'));
  writeFileSync(join(folder, 'swap.img'), '');
  truncateSync(join(folder, 'swap.img'), 512 << 20);
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Of /proc/kcore in the copy that `saveoops status` gets, bytes: its own file offsets are beyond any disk. */
const headSize = 65536;
/** Offset of p_offset, and of p_vaddr, in a program header; where these begin; their size (ELF-64 Object File Format). */
const programHeader = { p_offset: 8, p_vaddr: 16, first: 64, size: 56 } as const;

/** Prints what `saveoops status` reads as root: of the kernel's image the pages that hold these addresses. */
function shown(text: bigint, addresses: readonly bigint[]): string {
  const pages = addresses.map((address) => Number((address - text) / 4096n));
  const { p_offset, p_vaddr, first, size } = programHeader;
  return `
mkdir -p /tmp/copy/proc
cd /tmp/copy
for file in /sys/kernel/boot_params/setup_data/*/* /sys/kernel/boot_params/version; do
  mkdir -p .\${file%/*}
  cat $file >.$file
done
grep ' T _text$' /proc/kallsyms >proc/kallsyms
text=$(cut -d ' ' -f 1 proc/kallsyms)
at=${first}
until [ $(od -An -t x8 -j $((at + ${p_vaddr})) -N 8 /proc/kcore) = $text ]; do at=$((at + ${size})); done
echo $at >segment
head -c ${headSize} /proc/kcore >proc/kcore
start=$(($(od -An -t u8 -j $((at + ${p_offset})) -N 8 /proc/kcore) / 4096))
for page in ${pages.join(' ')}; do
  dd if=/proc/kcore of=proc/kcore bs=4096 skip=$((start + page)) seek=$((${headSize / 4096} + page)) count=1 conv=notrunc 2>/dev/null
done
tar c . | gzip | base64`;
}

/** What `saveoops status` says on a system that has shown this. */
function statusOf(run: ScenarioResult, payloadFolder: string): { status: number | null; stdout: string } {
  const root = join(folder, 'root');
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root);
  execFileSync('tar', ['x', '-z', '-C', root], {
    input: Buffer.from(guestBlock(run, 'shown').join(''), 'base64'),
  });
  const kcore = readFileSync(join(root, 'proc/kcore'));
  const at = Number(readFileSync(join(root, 'segment'), 'latin1')) + programHeader.p_offset;
  kcore.writeBigUInt64LE(BigInt(headSize), at);
  writeFileSync(join(root, 'proc/kcore'), kcore);
  return runSaveoops(['status', '--root', root, '--payload', payloadFolder]);
}

/** Goes on from the image on the disk, if there is one; else leaves one there. Dies once it is back. */
async function sleeper(): Promise<string> {
  const { edits, facts } = await readManifest(await payload({ flavour: 'amd64', name: 'bare-amd64' }));
  const fact = (name: string): bigint => BigInt(facts.find((each) => each.name === name)?.value ?? 0);
  const hook = BigInt(edits.find(({ what }) => what.startsWith('hook '))?.address ?? 0);
  const modules = ['virtio_pci', 'virtio_blk'].flatMap((name) => modulesOf('amd64', name));
  const text = printBlock('text', "grep ' _text$' /proc/kallsyms");
  return await guestInitramfs(
    `
for module in ${[...new Set(modules.map(({ path }) => path))].join(' ')}; do insmod /$module 2>/dev/null; done
echo "$(cat /sys/block/vda/dev)" >/sys/power/resume
${text}
mkswap /dev/vda >/dev/null && swapon /dev/vda
echo shutdown >/sys/power/disk
echo disk >/sys/power/state || { echo "guest: no hibernation"; poweroff -f; }
${printBlock('awake', "grep ' _text$' /proc/kallsyms")}
${printBlock('shown', shown(fact('_text'), [hook, fact('hook sum'), fact('nosave word')]))}
echo c >/proc/sysrq-trigger
`,
    modules,
  );
}

/** The folder of the payload, and how its system did after it woke up. */
async function sleepAndWake(append: string): Promise<readonly [string, ScenarioResult]> {
  const dir = await payload({ flavour: 'amd64', initrds: [await sleeper()], name: 'hibernation' });
  const boot = (): Promise<ScenarioResult> =>
    bootPayload(dir, {
      extraAppend: `${serialConsole} ${append}`,
      extra: [
        ...['-drive', `if=none,id=swap,format=raw,cache=unsafe,file=${join(folder, 'swap.img')}`],
        ...['-device', 'virtio-blk-pci,drive=swap'],
      ],
      endAt: [new RegExp(logEnds), /end Kernel panic/, /guest: no hibernation/],
    });
  const asleep = await boot();
  check(asleep, () => {
    expect(asleep.end).toMatchObject({ kind: 'exit', code: 0 });
    expect(asleep.serial).not.toContain('guest: no hibernation');
  });
  const awake = await boot();
  // The same kernel at the same place: what panics is the system that went to sleep.
  check(awake, () => {
    expect(guestBlock(awake, 'awake')).toEqual(guestBlock(asleep, 'text'));
  });
  return [dir, awake];
}

thorough(
  'says that it is not captured and goes on, since the crash region is of another boot',
  async () => {
    const [dir, awake] = await sleepAndWake('');
    check(awake, () => {
      const { status, stdout } = statusOf(awake, dir);
      expect([status, stdout.split('\n')[0]]).toEqual([
        1,
        'saveoops: E33 not armed: this system came back from hibernation, and the crash region is of another boot',
      ]);
      expect(awake.serial).toContain('saveoops: E33 not captured: resumed from disk');
      expect(awake.end).toMatchObject({ kind: 'line' });
      expect(awake.serial).toMatch(/end Kernel panic - not syncing: sysrq triggered crash/);
    });
  },
  240_000,
);

thorough(
  'is captured when the kernel lies where the boot that read the image has prepared for it',
  async () => {
    const [dir, awake] = await sleepAndWake('nokaslr');
    check(awake, () => {
      expect(statusOf(awake, dir).stdout).toMatch(/^saveoops: armed/);
    });
    expect(captured(awake, 'sysrq triggered crash')).toContain('hibernation exit');
  },
  240_000,
);
