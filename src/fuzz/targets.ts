/** What is fuzzed: every parser that reads bytes which Saveoops did not make itself. */
import { decompressPayload } from '../formats/bzimage/payload.js';
import { parseBzImage } from '../formats/bzimage/parse-bzimage.js';
import { parseBtf } from '../formats/btf/parse-btf.js';
import { parseElf } from '../formats/elf/parse-elf.js';
import { parseNotes } from '../formats/elf/notes.js';
import { parseKallsyms } from '../formats/kallsyms/kallsyms.js';
import { ByteView } from '../bytes/byte-reader.js';
import { ByteWriter } from '../bytes/byte-writer.js';
import { parseBootConfig, unattendedConfig } from '../image/boot-config.js';
import { flattenKernel } from '../kernel/flat-image.js';
import { parseRelocations } from '../kernel/relocations.js';
import { encodePacket, PacketReader } from '../machine/gdb-packet.js';
import { recoveredLog } from '../machine/recovered-log.js';
import { readManifest } from '../payload/com32-file.js';
import { parseStatusNode } from '../system/status-node.js';
import { BtfWriter } from '../testkit/btf-writer.js';
import { writeBzImage } from '../testkit/bzimage-writer.js';
import { writeElf } from '../testkit/elf-writer.js';
import { writeKallsyms } from '../testkit/kallsyms-writer.js';
import { sha256 } from '../bytes/digests.js';
import { gzipSync } from 'node:zlib';

export interface FuzzTarget {
  readonly name: string;
  /** Good inputs to start from. */
  readonly seeds: readonly Uint8Array[];
  /** Reads an input. May throw SaveoopsError, nothing else; must come to an end soon. */
  readonly run: (input: Uint8Array) => unknown;
}

const text = (value: string): Uint8Array => Buffer.from(value, 'latin1');
const string = (input: Uint8Array): string => Buffer.from(input).toString('latin1');
const kallsymsAddress = 0xffffffff82000000n;

const kallsymsSeeds = (
  [
    ['base-relative', false, 8],
    ['base-relative-absolute-percpu', true, 8],
    ['absolute', false, 8],
    ['place-relative', true, 4],
  ] as const
).map(([encoding, addressesLast, alignment]) => {
  const symbols = Array.from({ length: 300 }, (_, i) => ({
    name: `sys_symbol_${i}`,
    type: 'T',
    address: kallsymsAddress + BigInt(i * 16),
  }));
  return writeKallsyms(
    symbols,
    { encoding, addressesLast, alignment, bigNames: true },
    kallsymsAddress,
    0x4000,
  ).bytes;
});

function btfSeed(): Uint8Array {
  const btf = new BtfWriter();
  const int = btf.int('unsigned int', 4);
  const pointer = btf.pointer(int);
  const inner = btf.union('', 8, [
    { name: 'low', type: int, bits: 0 },
    { name: 'next', type: pointer, bits: 0 },
  ]);
  btf.struct('page', 64, [
    { name: 'flags', type: int, bits: 0 },
    { name: '', type: inner, bits: 64 },
  ]);
  btf.enum('zone_type', { ZONE_DMA: 0, __MAX_NR_ZONES: 5 });
  btf.typedef('atomic_t', btf.array(int, 3));
  return btf.finish();
}

const elfSeed = writeElf([
  { name: '.text', bytes: new Uint8Array(64).fill(0xcc), address: 0xffffffff81000000n },
  { name: '.data', bytes: new Uint8Array(64), address: 0xffffffff81001000n },
  { name: '.note', bytes: new Uint8Array(20) },
]);

new ByteWriter(elfSeed).u64(24, 0x01000000n); // e_entry, physical

function relocationSeed(lists: readonly (readonly number[])[]): Uint8Array {
  const words = lists.flatMap((list) => [0, ...list]);
  const writer = ByteWriter.ofSize(4 * words.length);
  words.forEach((word, index) => {
    writer.u32(4 * index, word);
  });
  return writer.bytes;
}

const manifest = text(
  JSON.stringify({
    format: 1,
    generator: 'saveoops',
    primary: {},
    crash: {},
    memory: { size: 1, parts: [] },
    regions: [],
    edits: [],
    facts: [],
  }),
);
const payloadSeed = writeElf([
  { name: '.saveoops.manifest', bytes: manifest },
  { name: '.saveoops.digest', bytes: sha256(manifest) },
]);

const statusSeed = ByteWriter.ofSize(16);
statusSeed.u32(0, 1);

export const targets: readonly FuzzTarget[] = [
  {
    name: 'bzimage',
    seeds: [writeBzImage(), writeBzImage({ payload: gzipSync(elfSeed), trailing: 100 })],
    run: (input) => parseBzImage(input, 'input'),
  },
  {
    name: 'compressed-kernel',
    seeds: [gzipSync(elfSeed)],
    // Only what needs no process of its own: the other decompressors are programs.
    run: async (input) => (input[0] === 0x1f ? await decompressPayload(input, 'input') : undefined),
  },
  {
    name: 'elf',
    seeds: [elfSeed],
    run: (input) => {
      const elf = parseElf(input, 'input');
      for (const section of elf.sections.slice(0, 100)) elf.sectionBytes(section);
      return flattenKernel(elf);
    },
  },
  {
    name: 'elf-notes',
    seeds: [Buffer.concat([Buffer.from([5, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0]), text('CORE\0\0\0\0abcd')])],
    run: (input) => parseNotes(new ByteView(input, 'input')),
  },
  {
    name: 'kallsyms',
    seeds: kallsymsSeeds,
    run: (input) => {
      const kallsyms = parseKallsyms({ address: kallsymsAddress, bytes: input, source: 'input' });
      kallsyms.address('sys_symbol_7');
      kallsyms.symbolBefore(kallsymsAddress + 0x800n);
      let shown = 0;
      for (const symbol of kallsyms) if (symbol.name !== '' && ++shown > 1000) break;
    },
  },
  {
    name: 'btf',
    seeds: [btfSeed()],
    run: (input) => {
      const btf = parseBtf(input, 'input');
      if (btf.hasMember('struct page', 'low')) btf.memberOffset('struct page', 'low');
    },
  },
  {
    name: 'relocations',
    seeds: [relocationSeed([[0x81000000, 0x81000008], [0x81000010]]), relocationSeed([[1], [2], [3]])],
    run: (input) => parseRelocations(input, 'input'),
  },
  { name: 'payload', seeds: [payloadSeed], run: (input) => readManifest(input, 'input') },
  {
    name: 'syslinux-config',
    seeds: [
      text(
        'DEFAULT a\nPROMPT 0\nLABEL a\n  COM32 saveoops.c32\n  APPEND root=/dev/sda\nTEXT HELP\nx\nENDTEXT\n',
      ),
    ],
    run: (input) => {
      parseBootConfig(string(input));
      return unattendedConfig(string(input), 'a', 'x');
    },
  },
  {
    name: 'gdb-remote',
    seeds: [encodePacket('T05thread:01;'), text('+$O48*"#00-$m1#9e')],
    run: (input) => {
      const reader = new PacketReader();
      const half = input.length >> 1;
      reader.push(Buffer.from(input.subarray(0, half)));
      return reader.push(Buffer.from(input.subarray(half)));
    },
  },
  {
    name: 'serial-log',
    seeds: [
      text(
        '---- saveoops: log of the dead kernel begins ----\n[ 0.0] x\n---- saveoops: log of the dead kernel ends ----\n',
      ),
    ],
    run: (input) => recoveredLog(string(input)),
  },
  { name: 'status-node', seeds: [statusSeed.bytes], run: (input) => parseStatusNode(input, 'input') },
];
