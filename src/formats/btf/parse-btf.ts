/**
 * BTF, the kernel's compact type information: sizes, member offsets and enumerators of the very build at hand, so
 * that no offset is hard-coded anywhere in Saveoops.
 *
 * Source: Documentation/bpf/btf.rst and include/uapi/linux/btf.h. Base BTF only (vmlinux), no split BTF (modules).
 */
import { ByteView } from '../../bytes/byte-reader.js';
import { SaveoopsError } from '../../errors.js';
import type { Elf } from '../elf/parse-elf.js';
import {
  BTF_HEADER_SIZE,
  BTF_KIND_ARRAY,
  BTF_KIND_CONST,
  BTF_KIND_DECL_TAG,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FLOAT,
  BTF_KIND_INT,
  BTF_KIND_PTR,
  BTF_KIND_RESTRICT,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPEDEF,
  BTF_KIND_TYPE_TAG,
  BTF_KIND_UNION,
  BTF_KIND_VOLATILE,
  BTF_LAYOUT_HEADER_SIZE,
  BTF_MAGIC,
  BTF_TYPE_SIZE,
  BTF_VERSION,
  infoKind,
  infoKindFlag,
  infoVlen,
  knownLayouts,
  type KindLayout,
} from './btf-tables.js';

/** Longest chain of typedefs, qualifiers or array dimensions that is followed. */
const DEEPEST = 64;
const POINTER_SIZE = 8;

const aliasKinds: ReadonlySet<number> = new Set([
  BTF_KIND_TYPEDEF,
  BTF_KIND_VOLATILE,
  BTF_KIND_CONST,
  BTF_KIND_RESTRICT,
  BTF_KIND_TYPE_TAG,
  BTF_KIND_DECL_TAG,
]);

/** Kinds that a type can be asked for by name. */
const namedKinds: ReadonlySet<number> = new Set([
  BTF_KIND_INT,
  BTF_KIND_STRUCT,
  BTF_KIND_UNION,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FLOAT,
  BTF_KIND_TYPEDEF,
]);

const kindsOfKeyword: Readonly<Record<string, readonly number[]>> = {
  struct: [BTF_KIND_STRUCT],
  union: [BTF_KIND_UNION],
  enum: [BTF_KIND_ENUM, BTF_KIND_ENUM64],
};

interface Member {
  /** Type id. */
  readonly type: number;
  /** From the start of the outermost type. */
  readonly bitOffset: number;
  readonly isBitField: boolean;
}

/**
 * The types of one kernel. A type name is a struct, union, enum, typedef or basic type: "zone", "atomic_long_t",
 * "long unsigned int"; "struct zone" asks for that kind only. All sizes and offsets are in bytes. Every method
 * throws `missing-fact` when the type or member does not exist, or when several types share the name and differ in
 * the answer.
 */
export class Btf {
  /** Names the kernel in errors. */
  readonly source: string;
  /** Number of types, the implicit void (id 0) included. */
  readonly count: number;
  private readonly types: ByteView;
  private readonly strings: ByteView;
  private readonly typeOffsets: Uint32Array;
  private typeIndex: Map<string, number[]> | undefined;
  private enumIndex: Map<string, bigint | 'ambiguous'> | undefined;

  constructor(source: string, types: ByteView, strings: ByteView, typeOffsets: Uint32Array) {
    this.source = source;
    this.types = types;
    this.strings = strings;
    this.typeOffsets = typeOffsets;
    this.count = typeOffsets.length;
  }

  /** Whether a type of this name is defined (a forward declaration is not). */
  hasType(typeName: string): boolean {
    return this.findTypes(typeName).length > 0;
  }

  /** Whether the type exists and has the member. */
  hasMember(typeName: string, path: string): boolean {
    return this.findTypes(typeName).some((id) => this.findPath(id, path) !== undefined);
  }

  /** sizeof(type). */
  sizeOf(typeName: string): number {
    return this.agree(typeName, `the size of ${typeName}`, (id) => this.sizeOfType(id));
  }

  /**
   * offsetof(type, path).
   * @param path member names joined by dots; members of anonymous structs and unions count as the outer type's own
   */
  memberOffset(typeName: string, path: string): number {
    const what = `${typeName}.${path}`;
    const bits = this.agree(typeName, `the offset of ${what}`, (id) => {
      const member = this.findPath(id, path);
      return member?.isBitField ? -1 : member?.bitOffset;
    });
    if (bits >= 0 && bits % 8 === 0) return bits / 8;
    throw this.missing(
      `${what} is a bit-field`,
      'a bit-field has no byte offset',
      `an ordinary member ${what}`,
    );
  }

  /** sizeof(((type *)0)->path). */
  memberSize(typeName: string, path: string): number {
    return this.agree(typeName, `the size of ${typeName}.${path}`, (id) => {
      const member = this.findPath(id, path);
      return member === undefined ? undefined : this.sizeOfType(member.type);
    });
  }

  /** Number of elements of an array member; of its first dimension when it has several. */
  arrayLength(typeName: string, path: string): number {
    return this.agree(typeName, `the length of the array ${typeName}.${path}`, (id) => {
      const member = this.findPath(id, path);
      const array = member === undefined ? 0 : this.resolve(member.type);
      return this.kindOf(array) === BTF_KIND_ARRAY ? this.word(array, BTF_TYPE_SIZE + 8) : undefined;
    });
  }

  /** The value of an enumerator, whatever enum it belongs to. */
  enumValue(name: string): number {
    const value = this.findEnumValue(name);
    if (value !== undefined) return value;
    throw this.missing(`the kernel has no enumerator ${name}`, 'no such enumerator', `the value of ${name}`);
  }

  /** As enumValue, but undefined when there is no such enumerator. */
  findEnumValue(name: string): number | undefined {
    this.enumIndex ??= this.buildEnumIndex();
    const value = this.enumIndex.get(name);
    if (value === undefined) return undefined;
    if (value !== 'ambiguous' && Number.isSafeInteger(Number(value))) return Number(value);
    throw this.missing(
      `the enumerator ${name} is of no use`,
      value === 'ambiguous' ? 'several enumerators of that name' : `0x${value.toString(16)}`,
      'one value below 2^53',
    );
  }

  /** The one answer that all types of this name give; those without one (undefined) are left out. */
  private agree(typeName: string, what: string, ask: (id: number) => number | undefined): number {
    const types = this.findTypes(typeName);
    const answers = new Set(types.map(ask));
    answers.delete(undefined);
    const [answer] = answers;
    if (answer !== undefined && answers.size === 1) return answer;
    const found =
      types.length === 0
        ? `no type named ${typeName}`
        : answers.size === 0
          ? `${typeName}, but not that`
          : `${answers.size} types of that name that differ: ${[...answers].join(', ')}`;
    throw this.missing(`the kernel's types lack ${what}`, found, what);
  }

  private missing(summary: string, found: string, wanted: string): SaveoopsError {
    return new SaveoopsError('missing-fact', summary, {
      where: `${this.source}, BTF`,
      found,
      wanted,
      hint: 'the kernel was built without the feature, or is of a version Saveoops does not know',
    });
  }

  private findTypes(typeName: string): readonly number[] {
    this.typeIndex ??= this.buildTypeIndex();
    const space = typeName.indexOf(' ');
    const kinds = space < 0 ? undefined : kindsOfKeyword[typeName.slice(0, space)];
    if (kinds === undefined) return this.typeIndex.get(typeName) ?? [];
    const named = this.typeIndex.get(typeName.slice(space + 1)) ?? [];
    return named.filter((id) => kinds.includes(this.kindOf(id)));
  }

  private buildTypeIndex(): Map<string, number[]> {
    const index = new Map<string, number[]>();
    for (let id = 1; id < this.count; id++) {
      if (!namedKinds.has(this.kindOf(id))) continue;
      const name = this.nameAt(this.word(id, 0));
      if (name === '') continue;
      const known = index.get(name);
      if (known === undefined) index.set(name, [id]);
      else known.push(id);
    }
    return index;
  }

  private buildEnumIndex(): Map<string, bigint | 'ambiguous'> {
    const index = new Map<string, bigint | 'ambiguous'>();
    const enums: number[] = [];
    // Since Linux 6.0 (commit 6089fb325cf7, "bpf: Add btf enum64 support") kind_flag marks an enum as signed. Older
    // producers never set it and kept signed values: so, where no enum is marked, all are taken as signed.
    let marksSigned = false;
    for (let id = 1; id < this.count; id++) {
      const info = this.word(id, 4);
      const kind = infoKind(info);
      if (kind !== BTF_KIND_ENUM && kind !== BTF_KIND_ENUM64) continue;
      enums.push(id);
      marksSigned ||= infoKindFlag(info);
    }
    for (const id of enums) {
      const info = this.word(id, 4);
      const wide = infoKind(info) === BTF_KIND_ENUM64;
      const signed = infoKindFlag(info) || !marksSigned;
      const step = wide ? 12 : 8;
      for (let i = 0, at = BTF_TYPE_SIZE; i < infoVlen(info); i++, at += step) {
        const name = this.nameAt(this.word(id, at));
        const low = BigInt(this.word(id, at + 4));
        const raw = wide ? (BigInt(this.word(id, at + 8)) << 32n) | low : low;
        const value = signed ? BigInt.asIntN(wide ? 64 : 32, raw) : raw;
        const known = index.get(name);
        index.set(name, known === undefined || known === value ? value : 'ambiguous');
      }
    }
    return index;
  }

  private findPath(id: number, path: string): Member | undefined {
    let bitOffset = 0;
    let type = id;
    let isBitField = false;
    for (const name of path.split('.')) {
      const member = this.findMember(type, name, new Set());
      if (member === undefined) return undefined;
      bitOffset += member.bitOffset;
      isBitField = member.isBitField;
      type = member.type;
    }
    return { type, bitOffset, isBitField };
  }

  /** @param searched types that are known not to have the member: damaged BTF may contain itself, twice over */
  private findMember(id: number, name: string, searched: Set<number>): Member | undefined {
    const type = this.resolve(id);
    const info = this.word(type, 4);
    const kind = infoKind(info);
    if ((kind !== BTF_KIND_STRUCT && kind !== BTF_KIND_UNION) || searched.has(type)) return undefined;
    searched.add(type);
    const hasBitFields = infoKindFlag(info);
    for (let i = 0, at = BTF_TYPE_SIZE; i < infoVlen(info); i++, at += 12) {
      const memberName = this.nameAt(this.word(type, at));
      if (memberName !== '' && memberName !== name) continue;
      const memberType = this.word(type, at + 4);
      const offset = this.word(type, at + 8);
      // With kind_flag the offset is BTF_MEMBER_BITFIELD_SIZE (8 bits) and BTF_MEMBER_BIT_OFFSET (24 bits).
      const bitOffset = hasBitFields ? offset & 0xffffff : offset;
      const isBitField = hasBitFields && offset >>> 24 !== 0;
      if (memberName !== '') return { type: memberType, bitOffset, isBitField };
      const inner = this.findMember(memberType, name, searched);
      if (inner !== undefined) return { ...inner, bitOffset: bitOffset + inner.bitOffset };
    }
    return undefined;
  }

  /** Follows typedefs and qualifiers to the type they stand for. */
  private resolve(id: number): number {
    let type = id;
    for (let depth = 0; depth < DEEPEST; depth++) {
      if (!aliasKinds.has(this.kindOf(type))) return type;
      type = this.word(type, 8);
    }
    throw this.damaged('a chain of typedefs has no end', `type ${id}`, `at most ${DEEPEST} links`);
  }

  /** undefined: void, functions and other things without a size. */
  private sizeOfType(id: number): number | undefined {
    let elements = 1;
    let type = id;
    for (let depth = 0; depth < DEEPEST; depth++) {
      type = this.resolve(type);
      switch (this.kindOf(type)) {
        case BTF_KIND_INT:
        case BTF_KIND_STRUCT:
        case BTF_KIND_UNION:
        case BTF_KIND_ENUM:
        case BTF_KIND_ENUM64:
        case BTF_KIND_FLOAT:
          return elements * this.word(type, 8);
        case BTF_KIND_PTR:
          return elements * POINTER_SIZE;
        case BTF_KIND_ARRAY:
          elements *= this.word(type, BTF_TYPE_SIZE + 8);
          type = this.word(type, BTF_TYPE_SIZE);
          break;
        default:
          return undefined;
      }
    }
    throw this.damaged('an array has too many dimensions', `type ${id}`, `at most ${DEEPEST}`);
  }

  private kindOf(id: number): number {
    return id === 0 ? 0 : infoKind(this.word(id, 4));
  }

  /** A u32 of a type's record; void (id 0) reads as zeros. */
  private word(id: number, at: number): number {
    if (id === 0) return 0;
    const start = this.typeOffsets[id];
    if (start !== undefined) return this.types.u32(start + at, `BTF type ${id}`);
    throw this.damaged('a type refers to one that does not exist', `type id ${id}`, `below ${this.count}`);
  }

  private nameAt(offset: number): string {
    return offset === 0 ? '' : this.strings.cString(offset, 'BTF string');
  }

  private damaged(summary: string, found: string, wanted: string): SaveoopsError {
    return new SaveoopsError('format', summary, { where: `${this.source}, BTF`, found, wanted });
  }
}

/**
 * Parses BTF. Only record boundaries are read; names are indexed at the first question.
 * @param bytes the .BTF section
 * @param source names the kernel in errors
 * Throws `format`, `truncated` or, for an unknown kind of type, `unsupported`.
 */
export function parseBtf(bytes: Uint8Array, source: string): Btf {
  const view = new ByteView(bytes, `${source}: .BTF`);
  const magic = view.u16(0, 'magic');
  const version = view.u8(2, 'version');
  const headerSize = view.u32(4, 'hdr_len');
  if (magic !== BTF_MAGIC || version !== BTF_VERSION || headerSize < BTF_HEADER_SIZE) {
    throw new SaveoopsError('format', `${source} has no BTF that can be read`, {
      where: `${source}, BTF header`,
      found: `magic 0x${magic.toString(16)}, version ${version}, hdr_len ${headerSize}`,
      wanted: `magic 0xeb9f, version 1, hdr_len ${BTF_HEADER_SIZE} or more`,
    });
  }
  // "All offsets are in bytes relative to the end of this header", wherever hdr_len says that is.
  const types = view.slice(headerSize + view.u32(8, 'type_off'), view.u32(12, 'type_len'), 'type section');
  const strings = view.slice(headerSize + view.u32(16, 'str_off'), view.u32(20, 'str_len'), 'string section');
  const layouts = readLayouts(view, headerSize);
  return new Btf(source, types, strings, findTypeOffsets(types, layouts, source));
}

/** The BTF of a vmlinux. Throws `missing-fact` when it has none (CONFIG_DEBUG_INFO_BTF=n). */
export function parseElfBtf(elf: Elf): Btf {
  const section = elf.findSection('.BTF');
  if (section !== undefined) return parseBtf(elf.sectionBytes(section), elf.source);
  throw new SaveoopsError('missing-fact', 'the kernel has no type information', {
    where: `${elf.source}, section headers`,
    found: 'no section .BTF',
    wanted: 'a kernel with CONFIG_DEBUG_INFO_BTF',
    hint: 'distribution kernels have it',
  });
}

/** Record sizes by kind: those known here, and what the layout section of newer BTF says of kinds that are not. */
function readLayouts(view: ByteView, headerSize: number): (KindLayout | undefined)[] {
  const layouts = [...knownLayouts];
  if (headerSize < BTF_LAYOUT_HEADER_SIZE) return layouts;
  const at = headerSize + view.u32(24, 'layout_off');
  const section = view.slice(at, view.u32(28, 'layout_len'), 'layout section');
  // struct btf_layout { u8 info_sz; u8 elem_sz; u16 flags; }
  for (let kind = layouts.length; kind * 4 + 4 <= section.length; kind++) {
    layouts[kind] = { info: section.u8(kind * 4, 'info_sz'), element: section.u8(kind * 4 + 1, 'elem_sz') };
  }
  return layouts;
}

/** Offset of every type in the type section, by id; checks that each record lies inside. */
function findTypeOffsets(
  types: ByteView,
  layouts: readonly (KindLayout | undefined)[],
  source: string,
): Uint32Array {
  const offsets = new Uint32Array(Math.floor(types.length / BTF_TYPE_SIZE) + 1);
  let id = 1;
  let at = 0;
  while (at < types.length) {
    const info = types.u32(at + 4, `info of type ${id}`);
    const layout = layouts[infoKind(info)];
    if (layout === undefined) {
      throw new SaveoopsError('unsupported', `${source} has BTF of an unknown kind`, {
        where: `${source}, BTF type ${id}`,
        found: `kind ${infoKind(info)}`,
        wanted: `a kind below ${knownLayouts.length}, or one that the BTF's layout section describes`,
      });
    }
    const size = BTF_TYPE_SIZE + layout.info + infoVlen(info) * layout.element;
    types.check(at, size, `BTF type ${id}`);
    offsets[id++] = at;
    at += size;
  }
  return offsets.subarray(0, id);
}
