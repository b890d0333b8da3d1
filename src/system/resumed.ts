/**
 * Whether the running kernel came back from hibernation beside a crash region that was made for another boot: then its
 * hook refuses (E33, docs/messages.md). Told by the two words that the hook compares, which /proc/kcore shows to root.
 *
 * Source: fs/proc/kcore.c: an ELF core file of the kernel's address space, whose contents are read by file offset.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest } from '../payload/manifest.js';
import { parseElf, type Elf } from '../formats/elf/parse-elf.js';
import { PT_LOAD } from '../formats/elf/elf-tables.js';

/** ELF header and program headers of /proc/kcore: some for each range of RAM. */
const headSize = 64 << 10;
const chunkSize = 64 << 10;

/**
 * False also when it cannot be told: to users other than root, or by a payload that did not start this kernel. Never throws.
 * @param root "/" of the system
 * @param manifests of the payloads that are installed
 */
export async function isResumed(root: string, manifests: readonly Manifest[]): Promise<boolean> {
  try {
    const text = await runningText(root);
    const kcore = await open(join(root, 'proc/kcore'));
    try {
      const bytes = await readAt(kcore, 0, headSize);
      const elf = parseElf(bytes, '/proc/kcore');
      for (const manifest of manifests) {
        if (await differs(manifest, text, kcore, elf)) return true;
      }
    } finally {
      await kcore.close();
    }
  } catch {
    // Not root, no /proc/kcore (CONFIG_PROC_KCORE), or lockdown.
  }
  return false;
}

/** Run-time address of _text; 0 for users other than root. Throws when there is none. */
async function runningText(root: string): Promise<bigint> {
  const file = await open(join(root, 'proc/kallsyms'));
  try {
    let rest = '';
    for (;;) {
      const bytes = await readAt(file, null, chunkSize);
      const found = /^([0-9a-f]+) T _text$/m.exec((rest += bytes.toString('latin1')));
      if (found !== null) return BigInt(`0x${found[1] ?? ''}`);
      if (bytes.length === 0) throw new RangeError('no _text in /proc/kallsyms');
      rest = rest.slice(rest.lastIndexOf('\n') + 1);
    }
  } finally {
    await file.close();
  }
}

/** Whether the kernel runs this payload's hook, and the words differ. */
async function differs(
  { edits, facts }: Manifest,
  text: bigint,
  kcore: FileHandle,
  elf: Elf,
): Promise<boolean> {
  const fact = (name: string): bigint | undefined => {
    const value = facts.find((each) => each.name === name)?.value;
    return value === undefined ? undefined : BigInt(value);
  };
  const [linked, sum, spared] = ['_text', 'hook sum', 'nosave word'].map(fact);
  const hook = edits.find(({ what }) => what.startsWith('hook '));
  if (linked === undefined || sum === undefined || spared === undefined || hook === undefined) return false;
  const read = async (address: bigint, size: number): Promise<Buffer> => {
    const moved = address - linked + text;
    const segment = elf.segments.find(
      ({ p_type, p_vaddr, p_memsz }) =>
        p_type === PT_LOAD && p_vaddr <= moved && moved + BigInt(size) <= p_vaddr + BigInt(p_memsz),
    );
    if (segment === undefined) return Buffer.alloc(0);
    return await readAt(kcore, segment.p_offset + Number(moved - segment.p_vaddr), size);
  };
  // The slots, which the entry stub has filled, are last in the hook.
  const address = BigInt(hook.address);
  const code = Buffer.from(hook.after, 'hex').subarray(0, Number(sum - address) - sumOffset);
  if (!code.equals(await read(address, code.length))) return false;
  return !(await read(sum, 8)).equals(await read(spared, 8));
}

/** SLOT_SUM in stubs/include/hook-slots.h, bytes; a test compares the two. */
export const sumOffset = 24;

/** @param position in bytes; null: where the last read ended */
async function readAt(file: FileHandle, position: number | null, size: number): Promise<Buffer> {
  const buffer = Buffer.alloc(size);
  const { bytesRead } = await file.read(buffer, 0, size, position);
  return buffer.subarray(0, bytesRead);
}
