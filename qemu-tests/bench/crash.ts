/**
 * Guest instructions from panic()'s first to the crash kernel's first: Saveoops against kexec_file_load() and kexec_load() of the same
 * crash kernel and capture initramfs in the same guest, where purgatory checks the SHA-256 of what was loaded, too.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseBzImage } from '../../src/formats/bzimage/parse-bzimage.js';
import { captureFile } from '../../src/compose/payload-files.js';
import { readKernelSymbols, requireFunction } from '../../src/machine/kernel-functions.js';
import { build } from '../../src/library/build.js';
import { guestInitramfs } from '../harness/guest.js';
import { unattendedDisk } from '../harness/unattended-disk.js';
import type { Figure } from './figures.js';
import { countInstructions, type Place, type Places } from './count-instructions.js';

/** Byte offsets in a bzImage's protected-mode code: the 32-bit entry, by which Saveoops starts it, and the 64-bit one (boot.rst). */
const entries = [0, 0x200];
/** Bytes that lie in one block of QEMU's: it ends one behind a load of a segment register. cld, cli, and half of lea or all of xor and mov. */
const codeSize = 6;
const kexec = { path: 'bin/kexec', source: '/usr/sbin/kexec' };
const ways = [
  { name: 'Saveoops', label: 'saveoops', words: 'nokaslr' },
  { name: 'kexec -p -s', label: 'saveoops-plain', words: 'nokaslr crashkernel=192M guest.load=-s' },
  { name: 'kexec -c -p', label: 'saveoops-plain', words: 'nokaslr crashkernel=192M guest.load=-c' },
];

export async function benchCrash(kernel: string, folder: string): Promise<readonly Figure[]> {
  // Twice: for its capture initramfs, then with a guest that gives kexec the same one.
  const first = join(folder, 'first');
  await build({ kernel, out: first });
  const initrd = await guestInitramfs(
    `read -r words </proc/cmdline
case $words in
  *guest.load=*)
    way=\${words##*guest.load=}
    kexec \${way%% *} -p /vmlinuz --initrd=/capture.img --command-line="console=ttyS0 nr_cpus=1 irqpoll reset_devices" || echo "guest: not loaded" ;;
esac
echo c >/proc/sysrq-trigger
`,
    [kexec, { path: 'vmlinuz', source: kernel }, { path: 'capture.img', source: join(first, captureFile) }],
  );
  const dir = join(folder, 'payload');
  await build({ kernel, initrd: [initrd], append: 'sysrq_always_enabled', out: dir });
  const kernelEntries = kernelEntryPlaces(kernel);
  const places: Places = {
    places: [
      { name: 'panic', at: requireFunction(await readKernelSymbols(kernel), 'panic') },
      ...kernelEntries,
    ],
    after: 'panic',
    stop: kernelEntries.map(({ name }) => name),
  };
  const counts: number[] = [];
  for (const { label, words } of ways) {
    const run = join(folder, String(counts.length));
    mkdirSync(run);
    const image = await unattendedDisk(dir, label, words, run);
    const { visits } = await countInstructions({ boot: { kind: 'disk', image } }, run, places);
    counts.push(Number((visits.at(-1)?.count ?? 0n) - (visits[0]?.count ?? 0n)));
  }
  const [own = NaN, ...others] = counts.map((count) => count / 1e6);
  return others.map((anchored, index) => ({
    what: "instructions from panic() to the crash kernel's first, no SHA extensions",
    own,
    anchor: ways[index + 1]?.name ?? '',
    anchored,
    unit: 'M',
    goal: 0.1,
  }));
}

/** Where a kernel begins, wherever a bzImage of it lies; the first is the one of Saveoops. */
export function kernelEntryPlaces(kernel: string): readonly Place[] {
  const { protectedMode } = parseBzImage(readFileSync(kernel), kernel);
  return entries.map((at) => ({ name: `entry-${at}`, code: protectedMode.subarray(at, at + codeSize) }));
}
