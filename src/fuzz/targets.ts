/** What is fuzzed: every parser that reads bytes which Saveoops did not make itself. */
import { join } from 'node:path';
import { readElfNeeds } from '../capture-initramfs/elf-needs.js';
import { parseCaptureRecord, type CaptureRecord } from '../saved-captures/capture-record.js';
import { renderPayloadTable } from '../commands/inspect.js';
import { changedEntry, entryValue, parseEntryName } from '../config/loader-entry.js';
import { configKeys } from '../commands/options.js';
import { withInclude, withoutInclude } from '../config/boot-menu.js';
import { parseConfig } from '../config/config-file.js';
import { parseModulesDep } from '../formats/modules/modules-dep.js';
import { readModuleInfo } from '../formats/modules/module-info.js';
import { parseManifest } from '../payload/parse-manifest.js';
import { makeBundle } from '../report/bundle.js';
import { decodeLog, encodingOf } from '../report/decode-log.js';
import { makeReport } from '../report/report.js';
import { renderHtml } from '../report/render-html.js';
import { renderText } from '../report/render-text.js';
import { forJson } from '../safe-text.js';
import { sampleManifest } from '../testkit/sample-manifest.js';
import { decompressPayload } from '../formats/bzimage/payload.js';
import { parseBzImage } from '../formats/bzimage/parse-bzimage.js';
import { parseBtf } from '../formats/btf/parse-btf.js';
import { ELF64_EHDR_SIZE, ELF64_PHDR_SIZE } from '../formats/elf/elf-tables.js';
import { parseElf } from '../formats/elf/parse-elf.js';
import { certificatesOf } from '../formats/efi/signature-lists.js';
import { parsePe } from '../formats/pe/parse-pe.js';
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
import { writePe } from '../testkit/pe-writer.js';
import { signatureLists } from '../testkit/signature-list.js';
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
/** As the program reads texts. */
const utf8 = (input: Uint8Array): string => Buffer.from(input).toString();
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

/** A program with a loader and a library: writeElf() makes segments of all sections, and their types are set here. */
function programSeed(): Uint8Array {
  const dynamic = ByteWriter.ofSize(48);
  dynamic.u64(0, 1n); // DT_NEEDED
  dynamic.u64(8, 1n);
  dynamic.u64(16, 5n); // DT_STRTAB
  dynamic.u64(24, 0x402000n);
  const elf = writeElf([
    { name: '.interp', bytes: text('/lib64/ld-linux-x86-64.so.2\0'), address: 0x400000n },
    { name: '.dynamic', bytes: dynamic.bytes, address: 0x401000n },
    { name: '.dynstr', bytes: text('\0libc.so.6\0'), address: 0x402000n },
  ]);
  [3, 2].forEach((type, index) => new ByteWriter(elf).u32(ELF64_EHDR_SIZE + index * ELF64_PHDR_SIZE, type));
  return elf;
}

function relocationSeed(lists: readonly (readonly number[])[]): Uint8Array {
  const words = lists.flatMap((list) => [0, ...list]);
  const writer = ByteWriter.ofSize(4 * words.length);
  words.forEach((word, index) => {
    writer.u32(4 * index, word);
  });
  return writer.bytes;
}

const manifest = text(JSON.stringify(sampleManifest));
const payloadSeed = writeElf([
  { name: '.saveoops.manifest', bytes: manifest },
  { name: '.saveoops.digest', bytes: sha256(manifest) },
]);

const statusSeed = ByteWriter.ofSize(24);
statusSeed.u32(0, 2);

/** What may stand before the lines of a log. */
const prefixes = [
  'Mar  4 14:08:00 node1 kernel: ',
  '> > 6.1.0,6,400,1000000,-,caller=T1;',
  'kern  :info  : \x1b[32m[Mon Mar  4 14:08:00 2024] \x1b[0m',
];

const deathLogSeeds = [
  [
    '[    0.000000] Linux version 6.1.0-56-amd64 (a@b) #1 SMP Debian 6.1.1-1 (2026-01-01)',
    '[    0.000000] Command line: root=/dev/sda1 elfcorehdr=0x38300000',
    '[    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable',
    '[    1.000000] BUG: kernel NULL pointer dereference, address: 0000000000000000',
    '[    1.000000] Oops: 0002 [#1] PREEMPT SMP PTI',
    '[    1.000000] CPU: 0 PID: 1 Comm: sh Tainted: G        W  OE      6.1.0-56-amd64',
    '[    1.000000] RIP: 0010:f+0x1/0x2 [mod]',
    '[    1.000000] Code: 00 <c6> 00',
    '[    1.000000] RAX: 0000000000000000 RBX: 0000000000000000',
    '[    1.000000] Call Trace:',
    '[    1.000000]  <TASK>',
    '[    1.000000]  ? g+0x1/0x2',
    '[    1.000000]  </TASK>',
    '[    1.000000] Kernel panic - not syncing: Fatal exception',
  ].join('\n'),
  '<4>[    9.000000] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [sh:1]\n[    9.1] INFO: task x:1 blocked\n',
].map(text);

const captureSeed = text(
  JSON.stringify({
    ...{
      version: 1,
      id: '0b0002',
      time: '2026-11-24T18:00:00Z',
      generator: 'x',
      kind: 'panic',
      message: 'y',
      cpu: 0,
    },
    ...{ primary: { release: '6.1.0', banner: null, commandLine: null }, memoryKiB: 100000, inARow: 2 },
    crash: { release: '6.1.0', commandLine: 'quiet elfcorehdr=0x38300000' },
    save: { asked: 'boot', device: '/dev/sda1', uuid: '1234-ABCD', type: 'vfat', directory: '/saveoops/x' },
    dump: { asked: 'filtered', how: 'makedumpfile -l -d 31', encrypted: true },
    files: [{ name: 'dmesg.txt', size: 1, sha256: '00' }],
    failures: ['makedumpfile -l -d 31 (exit status 1: no space)'],
  }),
);

function refuseControl(rendered: string): void {
  if (/(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}]/u.test(rendered)) throw new Error('a control character in a report');
}

/** A report in each form: none may hold what acts in a terminal. */
function reportWith(record: CaptureRecord | undefined): void {
  const files = [{ name: 'vmcore.age', size: 1 }];
  const capture = {
    ...{ name: 'x', id: '0a0b0c', time: record?.time ?? '', incomplete: false, files, record },
    ...{ captureLog: undefined, logSha256: undefined, copyCommand: undefined },
  };
  const log = '[    1.000000] Kernel panic - not syncing: x\n';
  const made = makeReport({ where: 'input', log, cut: false, capture });
  refuseControl(renderText(made.report));
  refuseControl(renderHtml(made, 'saveoops'));
  refuseControl(forJson(made.report));
}

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
  {
    name: 'manifest',
    seeds: [manifest],
    run: (input) => {
      const parsed = parseManifest(utf8(input), 'input');
      const line = renderPayloadTable(parsed, new Set());
      if (/(?![\n\t])\p{Cc}/u.test(line)) throw new Error('a control character in the table');
      const { kernelFile, initrdFiles, release, append } = parsed.primary;
      for (const name of [kernelFile, ...initrdFiles, release]) {
        if (join('/root', name) !== `/root/${name}`) throw new Error(`${name} leads elsewhere`);
      }
      if (/[\r\n]/.test(append)) throw new Error('a line end in a command line');
    },
  },
  {
    name: 'config',
    seeds: [
      text(
        'kernel: /boot/vmlinuz\ninitrd:\n  - a\n  - b\nappend: "root=/dev/sda1"\noops-panic: true\nkeep: 3\n',
      ),
      text('{ kernel: a, initrd: [b, c], dump: filtered }'),
    ],
    run: (input) => parseConfig(input, 'input', configKeys),
  },
  {
    name: 'modules-dep',
    seeds: [
      text(
        'kernel/fs/ext4.ko.xz: kernel/fs/jbd2.ko kernel/lib/crc16.ko\nkernel/fs/jbd2.ko:\nkernel/lib/crc16.ko:\n',
      ),
    ],
    run: (input) => {
      for (const path of parseModulesDep(utf8(input), 'input').keys()) {
        if (!join('/root', path).startsWith('/root/')) throw new Error(`${path} leads elsewhere`);
      }
    },
  },
  {
    name: 'pe',
    seeds: [writePe(0x400), writePe(0x400, 0x82, ['.reloc', '.compat'])],
    run: (input) => parsePe(input, 'input'),
  },
  {
    name: 'signature-lists',
    seeds: [signatureLists([]), signatureLists([text('a certificate'), new Uint8Array(700)])],
    run: (input) => {
      const sum = certificatesOf(input, 'input').reduce((all, { length }) => all + length, 0);
      if (sum > input.length) throw new Error('more certificates than bytes');
    },
  },
  {
    name: 'loader-entry',
    seeds: [
      text(
        'title Debian\nversion 6.1\noptions root=/dev/sda1 ro\nlinux /m/6.1/linux\ninitrd /m/6.1/initrd\n',
      ),
      text('# x\n\ttitle\ta\r\nsort-key debian\nlinux /a\nlinux /b\n\noptions a b\noptions c\n'),
    ],
    run: (input) => {
      parseEntryName(string(input));
      const changed = changedEntry(string(input), {
        title: ', armed',
        linux: '/armed',
        words: ['x=y'],
        sortKey: '0',
      });
      if (![undefined, '/armed'].includes(entryValue(changed, 'linux'))) throw new Error('the plain kernel');
      if (!changed.endsWith('\noptions    x=y\n')) throw new Error('no word');
    },
  },
  {
    name: 'module-info',
    seeds: [
      writeElf([
        {
          name: '.modinfo',
          bytes: text('vermagic=6.1.0 SMP\0depends=jbd2,mbcache\0alias=fs-ext4\0alias=pci:v*[0-3]d\0'),
        },
      ]),
    ],
    run: (input) => readModuleInfo(parseElf(input, 'input')),
  },
  {
    name: 'program',
    seeds: [programSeed()],
    run: (input) => readElfNeeds(parseElf(input, 'input')),
  },
  {
    name: 'boot-config',
    seeds: [
      text('DEFAULT linux\nPROMPT 0\nLABEL linux\n\tLINUX vmlinuz\n'),
      text('UI menu.c32\ninclude  a/b.cfg\n'),
    ],
    run: (input) => {
      const had = string(input);
      const joined = withInclude(had, 'a/b.cfg', 'input');
      if (!joined.startsWith(had) || withInclude(joined, 'a/b.cfg', 'input') !== joined)
        throw new Error('not kept');
      if (
        parseBootConfig(withoutInclude(joined, 'a/b.cfg')).files.includes('a/b.cfg') &&
        !had.includes('a/b.cfg')
      )
        throw new Error('not taken back');
    },
  },
  {
    name: 'dead-log',
    seeds: deathLogSeeds,
    run: (input) => {
      // HTML takes longer, and has tests of its own.
      refuseControl(
        renderText(makeReport({ where: 'input', log: utf8(input), cut: false, capture: undefined }).report),
      );
    },
  },
  {
    name: 'log-of-any-form',
    seeds: deathLogSeeds.flatMap((seed) =>
      prefixes
        .map((prefix) => Buffer.from(utf8(seed).replaceAll(/^/gm, prefix), 'utf8'))
        .concat(Buffer.from(`\ufeff${utf8(seed)}`, 'utf16le')),
    ),
    run: (input) => {
      const log = decodeLog(input, encodingOf(input), false);
      const options = { captureJson: log, versions: {}, redactHosts: ['node1'] };
      const { files } = makeBundle({ where: 'input', log, cut: false, capture: undefined }, options);
      refuseControl(files.find(({ name }) => name === 'report.txt')?.text ?? '');
    },
  },
  {
    name: 'capture-json',
    seeds: [captureSeed],
    run: (input) => {
      reportWith(parseCaptureRecord(utf8(input)));
    },
  },
  { name: 'status-node', seeds: [statusSeed.bytes], run: (input) => parseStatusNode(input, 'input') },
];
