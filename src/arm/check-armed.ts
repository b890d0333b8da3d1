/**
 * The independent check of an armed image: reads it back, trusting nothing that arming remembers but what it declared
 * and the hook object as it was assembled. Arming a kernel wrongly is the worst thing that Saveoops can do.
 */
import { ByteView } from '../bytes/byte-reader.js';
import { SaveoopsError } from '../errors.js';
import { offsetInImage } from '../kernel/flat-image.js';
import type { Kernel } from '../kernel/load-kernel.js';
import { readHookObject } from './hook-object.js';

/** One stretch of bytes that arming changed. */
export interface EditedBytes {
  readonly what: string;
  /** In the flat image, bytes. */
  readonly offset: number;
  readonly before: Uint8Array;
  readonly after: Uint8Array;
}

/** A function pointer of the kernel and the hook's entry that it must lead to now. */
export interface HookPointer {
  /** Link-time virtual address of the pointer. */
  readonly address: bigint;
  readonly entry: string;
}

/** What arming says of the hook. */
export interface InstalledHook {
  /** hook.o, as assembled. */
  readonly object: Uint8Array;
  /** Link-time virtual address of its first byte. */
  readonly address: bigint;
  readonly pointers: readonly HookPointer[];
  /** Kernel symbols of an entry that no pointer leads to, or that this kernel lacks: they may lead anywhere. */
  readonly unused: ReadonlySet<string>;
}

/** Every entry begins with it, since CPUs with CET/IBT demand it where an indirect call lands. */
const endbr64 = Buffer.from('f30f1efa', 'hex');

/** Throws `invariant`: only declared bytes differ, the hook is what was assembled, and all that it names is there. */
export function checkArmed(
  kernel: Kernel,
  armed: Uint8Array,
  edits: readonly EditedBytes[],
  hook: InstalledHook,
): void {
  checkDifferences(kernel.image.bytes, armed, edits);
  checkHook(kernel, armed, hook);
  const { symbols } = readHookObject(hook.object);
  const view = new ByteView(armed, 'armed image');
  for (const { address, entry } of hook.pointers) {
    const target = view.u64(offsetInImage(kernel.image, address, 8, entry), entry);
    const wanted = hook.address + (symbols.get(entry) ?? -1n);
    if (target !== wanted) throw wrong(`the pointer to ${entry}`, hex(target), hex(wanted));
    const at = offsetInImage(kernel.image, target, endbr64.length, entry);
    const landing = armed.subarray(at, at + endbr64.length);
    if (Buffer.compare(landing, endbr64) !== 0) {
      throw wrong(`the first instruction of ${entry}`, Buffer.from(landing).toString('hex'), 'endbr64');
    }
  }
}

/** Byte by byte: outside the edits the original, inside what was declared. */
function checkDifferences(original: Uint8Array, armed: Uint8Array, edits: readonly EditedBytes[]): void {
  const sorted = [...edits].sort((a, b) => a.offset - b.offset);
  let from = 0;
  for (const each of [...sorted, { offset: original.length, after: new Uint8Array() }]) {
    const same =
      Buffer.compare(original.subarray(from, each.offset), armed.subarray(from, each.offset)) === 0;
    const end = each.offset + each.after.length;
    const declared = Buffer.compare(armed.subarray(each.offset, end), each.after) === 0;
    if (!same || !declared || armed.length !== original.length) {
      throw wrong(
        `image offsets ${from} to ${end}`,
        'an undeclared difference',
        'only the declared bytes changed',
      );
    }
    from = end;
  }
}

/**
 * The hook in the image is the assembled one, but for the distances that linking filled in, and each of these leads to
 * an address at which kallsyms has the name that the source has. Throws `invariant`.
 */
export function checkHook({ image, kallsyms }: Kernel, armed: Uint8Array, hook: InstalledHook): void {
  const { object, address, unused } = hook;
  const { text, symbols, references } = readHookObject(object);
  const offset = offsetInImage(image, address, text.length, 'hook');
  const bytes = Uint8Array.from(armed.subarray(offset, offset + text.length));
  const assembled = Uint8Array.from(text);
  const view = new ByteView(bytes, 'hook in the armed image');
  for (const { place, name, addend } of references) {
    const distance = BigInt.asIntN(32, BigInt(view.u32(place, name)));
    const target = address + BigInt(place) + distance - addend;
    const own = symbols.get(name);
    const names = kallsyms.symbolsAt(target).map((symbol) => symbol.name);
    // Until 5.14 the function itself was called printk. The end of a function has no name of its own.
    const known =
      own === undefined
        ? names.includes(name) ||
          (name === '_printk' && names.includes('printk')) ||
          (name === 'early_fixup_exception_end' && names.length > 0)
        : target === address + own;
    if (!known && !unused.has(name))
      throw wrong(`${name} in the hook`, `${hex(target)} (${names.join(', ') || 'no symbol'})`, name);
    bytes.fill(0, place, place + 4);
    assembled.fill(0, place, place + 4);
  }
  if (Buffer.compare(bytes, assembled) !== 0)
    throw wrong('the hook', 'other instructions', 'those of hook.o');
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

function wrong(where: string, found: string, wanted: string): SaveoopsError {
  return new SaveoopsError('invariant', 'the armed kernel is not what arming intended', {
    where,
    found,
    wanted,
    hint: 'this is a bug in Saveoops: please report it',
  });
}
