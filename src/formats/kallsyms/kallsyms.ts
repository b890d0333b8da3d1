/**
 * The kernel's own symbol table, read from an uncompressed kernel (vmlinux) without help from the running one.
 *
 * See locate.ts (where), names.ts (names) and addresses.ts (addresses); docs/formats.md has the overview.
 */
import { SaveoopsError } from '../../errors.js';
import { PT_LOAD, SHF_ALLOC, SHF_EXECINSTR, SHT_PROGBITS } from '../elf/elf-tables.js';
import type { Elf } from '../elf/parse-elf.js';
import {
  decodeAddresses,
  lowerBound,
  type AddressEncoding,
  type AddressRange,
  type DecodedAddresses,
} from './addresses.js';
import { locateTables, type LocatedTables, type Region } from './locate.js';
import { SymbolNames } from './names.js';

/** A kernel as it lies in memory: `bytes[0]` is at virtual address `address`. */
export interface FlatKernel {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** Names the image in errors. */
  readonly source: string;
}

/** Virtual addresses of the kallsyms tables themselves; VMCOREINFO publishes them. */
export interface KallsymsTables {
  readonly kallsyms_names: bigint;
  readonly kallsyms_num_syms: bigint;
  readonly kallsyms_markers: bigint;
  readonly kallsyms_token_table: bigint;
  readonly kallsyms_token_index: bigint;
  /** All encodings but 'absolute'. */
  readonly kallsyms_offsets: bigint | undefined;
  /** Only the 'base-relative' encodings. */
  readonly kallsyms_relative_base: bigint | undefined;
  /** Only 'absolute'. */
  readonly kallsyms_addresses: bigint | undefined;
}

export interface KernelSymbol {
  readonly name: string;
  /** As nm prints it: "T" global text, "t" local text, "D" data, ... */
  readonly type: string;
  /** Link-time virtual address, or offset into the percpu section. */
  readonly address: bigint;
}

/** A parsed table. Addresses are those of the unrelocated kernel (no KASLR). */
export class Kallsyms {
  /** Names the kernel in errors. */
  readonly source: string;
  /** Number of symbols. */
  readonly count: number;
  readonly encoding: AddressEncoding;
  readonly tables: KallsymsTables;
  private readonly names: SymbolNames;
  private readonly words: Uint32Array;

  constructor(located: LocatedTables, decoded: DecodedAddresses, source: string) {
    const at = (offset: number): bigint => located.region.address + BigInt(offset);
    const absolute = decoded.encoding === 'absolute';
    this.source = source;
    this.count = located.count;
    this.encoding = decoded.encoding;
    this.tables = {
      kallsyms_names: at(located.names),
      kallsyms_num_syms: at(located.numSyms),
      kallsyms_markers: at(located.markers),
      kallsyms_token_table: at(located.tokenTable),
      kallsyms_token_index: at(located.tokenIndex),
      kallsyms_offsets: absolute ? undefined : at(decoded.table),
      kallsyms_relative_base: decoded.relativeBase === undefined ? undefined : at(decoded.relativeBase),
      kallsyms_addresses: absolute ? at(decoded.table) : undefined,
    };
    this.names = new SymbolNames(located);
    this.words = decoded.words;
  }

  /** Addresses of all symbols of this name, ascending: static symbols share names. */
  addresses(name: string): bigint[] {
    return this.names.find(name).map((symbol) => this.addressOf(symbol));
  }

  /** The address of a name, or undefined; throws `missing-fact` when the name stands for several addresses. */
  address(name: string): bigint | undefined {
    const found = [...new Set(this.addresses(name))];
    if (found.length <= 1) return found[0];
    throw new SaveoopsError('missing-fact', `the kernel symbol ${name} is ambiguous`, {
      where: `${this.source}, kallsyms`,
      found: found.map((each) => `0x${each.toString(16)}`).join(', '),
      wanted: 'one address',
    });
  }

  /** The address of a name; throws `missing-fact` when there is none or more than one. */
  requireAddress(name: string): bigint {
    const address = this.address(name);
    if (address !== undefined) return address;
    throw new SaveoopsError('missing-fact', `the kernel has no symbol ${name}`, {
      where: `${this.source}, kallsyms`,
      found: `${this.count} symbols, none of that name`,
      wanted: `the address of ${name}`,
      hint: 'the kernel was built without the feature, or is of a version Saveoops does not know',
    });
  }

  /** Symbols at exactly this address. */
  symbolsAt(address: bigint): KernelSymbol[] {
    const found: KernelSymbol[] = [];
    for (let i = lowerBound(this.words, address); i < this.count && this.addressOf(i) === address; i++) {
      found.push(this.symbol(i));
    }
    return found;
  }

  /** The last symbol at or below the address (the function an address is in), or undefined. */
  symbolBefore(address: bigint): KernelSymbol | undefined {
    const above = lowerBound(this.words, address + 1n);
    return above === 0 ? undefined : this.symbol(above - 1);
  }

  /** The lowest address above this one that has a symbol: an upper bound for the size of what lies there. */
  nextAddress(address: bigint): bigint | undefined {
    const above = lowerBound(this.words, address + 1n);
    return above === this.count ? undefined : this.addressOf(above);
  }

  /** All symbols, ascending by address, in the order of /proc/kallsyms. */
  *[Symbol.iterator](): IterableIterator<KernelSymbol> {
    for (let i = 0; i < this.count; i++) yield this.symbol(i);
  }

  private symbol(index: number): KernelSymbol {
    const text = this.names.expand(index);
    return { name: text.slice(1), type: text.slice(0, 1), address: this.addressOf(index) };
  }

  private addressOf(index: number): bigint {
    return (BigInt(this.words[index * 2 + 1] ?? 0) << 32n) | BigInt(this.words[index * 2] ?? 0);
  }
}

/**
 * Finds and decodes kallsyms.
 * @param kernel a vmlinux, or a flat image of one with its virtual address
 * Throws `missing-fact` when there is no table (CONFIG_KALLSYMS=n) or its addresses make no sense.
 */
export function parseKallsyms(kernel: Elf | FlatKernel): Kallsyms {
  const flat = 'address' in kernel;
  const regions = flat ? [alignRegion(kernel)] : elfRegions(kernel);
  const ranges = flat
    ? [{ start: kernel.address, end: kernel.address + BigInt(kernel.bytes.length) }]
    : elfRanges(kernel);
  let unreadable: LocatedTables | undefined;
  for (const region of regions) {
    const located = locateTables(region);
    if (located === undefined) continue;
    const decoded = decodeAddresses(located, ranges);
    if (decoded !== undefined) return new Kallsyms(located, decoded, kernel.source);
    unreadable ??= located;
  }
  throw new SaveoopsError('missing-fact', 'the kernel has no readable symbol table', {
    where: `${kernel.source}, kallsyms`,
    found: unreadable === undefined ? 'no token table' : `${unreadable.count} names without usable addresses`,
    wanted: 'kallsyms tables in an encoding listed in docs/formats.md',
    hint: 'the kernel needs CONFIG_KALLSYMS=y, and CONFIG_KALLSYMS_ALL=y for data symbols',
  });
}

/** Where the tables can be, most likely first: .rodata, other read-only sections, or whole segments. */
function elfRegions(elf: Elf): Region[] {
  const isData = SHF_ALLOC | SHF_EXECINSTR;
  const sections = elf.sections
    .filter(({ sh_type, sh_flags }) => sh_type === SHT_PROGBITS && (Number(sh_flags) & isData) === SHF_ALLOC)
    .sort((a, b) => Number(b.name === '.rodata') - Number(a.name === '.rodata'));
  if (sections.length > 0) {
    return sections.map((each) => alignRegion({ address: each.sh_addr, bytes: elf.sectionBytes(each) }));
  }
  return elf.segments
    .filter(({ p_type }) => p_type === PT_LOAD)
    .map((each) => alignRegion({ address: each.p_vaddr, bytes: elf.segmentBytes(each) }));
}

function elfRanges(elf: Elf): AddressRange[] {
  const loaded = elf.segments.filter(({ p_type, p_vaddr }) => p_type === PT_LOAD && p_vaddr !== 0n);
  return loaded.map(({ p_vaddr, p_memsz }) => ({ start: p_vaddr, end: p_vaddr + BigInt(p_memsz) }));
}

/** Starts the region at a multiple of 8, in address and, by copying if need be, in memory for typed arrays. */
function alignRegion({ address, bytes }: Region): Region {
  const skip = Number(-address & 7n);
  const aligned = bytes.subarray(skip);
  return {
    address: address + BigInt(skip),
    bytes: aligned.byteOffset % 8 === 0 ? aligned : new Uint8Array(aligned),
  };
}

/** The table as /proc/kallsyms shows it to root (without modules): "ffffffff81000000 T _stext" lines. */
export function renderProcKallsyms(kallsyms: Kallsyms): string {
  const lines: string[] = [];
  for (const { address, type, name } of kallsyms) {
    lines.push(`${address.toString(16).padStart(16, '0')} ${type} ${name}\n`);
  }
  return lines.join('');
}
