/**
 * What the entry stub decides about memory, run on the host (stubs/host/memory.c) and compared with a naive model
 * (src/testkit/memory-model.ts): random maps, command lines and MTRRs, the same for the same seed.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { oracle } from '../testkit/command-line.js';
import { SeededRandom } from '../testkit/mutate.js';
import {
  PageMap,
  page,
  types,
  writeBackMegabytes,
  type Mtrr,
  type Operation,
  type Range,
} from '../testkit/memory-model.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const program = join(root, 'dist', 'stubs', 'memory');
const MiB = 1 << 20;

interface Entry {
  readonly range: Range;
  readonly type: number;
}

interface Machine {
  readonly entries: readonly Entry[];
  /** Words of the command line, and what each does. */
  readonly line: string;
  readonly operations: readonly Operation[];
  readonly mtrrs: readonly Mtrr[];
  readonly defaultType: number;
  readonly mtrrsOn: boolean;
  readonly image: Range;
  readonly initrd: Range;
  /** The EFI memory map; none: started by a BIOS. */
  readonly efi: readonly { readonly range: Range; readonly type: number; readonly attribute: number }[];
}

/** What the program prints. */
interface Decision {
  readonly reason: number;
  readonly why: string;
  readonly region: string;
  readonly output: string;
  readonly entries: number;
  readonly crashFits: number;
  /** Ranges that the program itself takes: boot_params, command line, nodes. */
  readonly own: readonly (readonly [string, string])[];
  readonly memory: readonly (readonly [string, string, number])[];
  readonly crash: readonly (readonly [string, string, number])[];
  /** The identity map by which the kernel is entered: from, to behind, where it leads. */
  readonly mapped: readonly (readonly [string, string, string])[];
}

const sizes = { region: 8 * MiB, kernel: 8 * MiB, align: 2 * MiB, load: 16 * MiB, kaslr: 1 } as const;
/** What the entry stub leaves to the primary beside kernel and initrd. */
const workingRoom = 32 * MiB;
const largePage = 2 * MiB;
const efiConventional = 7;
const efiSpecialPurpose = 0x40000;
const hex = (value: number | bigint): string => value.toString(16);

function commands(machine: Machine): string[] {
  const { image, initrd, entries, mtrrs, line } = machine;
  return [
    `plan ${[sizes.region, sizes.kernel, sizes.align, sizes.load, sizes.kaslr].map(hex).join(' ')}`,
    `image ${hex(image[0])} ${hex(image[1] - image[0])}`,
    `initrd ${hex(initrd[0])} ${hex(initrd[1] - initrd[0])}`,
    ...entries.map(({ range: [start, end], type }) => `e820 ${hex(start)} ${hex(end - start)} ${hex(type)}`),
    ...machine.efi.map(
      ({ range: [start, end], type, attribute }) =>
        `efi ${hex(type)} ${hex(start)} ${hex((end - start) / page)} ${hex(attribute)}`,
    ),
    `line ${line}`,
    `msr fe ${hex(mtrrs.length)}`,
    `msr 2ff ${hex(machine.defaultType | (machine.mtrrsOn ? 1 << 11 : 0))}`,
    ...mtrrs.flatMap(({ base, mask, type, valid }, i) => [
      `msr ${hex(0x200 + 2 * i)} ${hex(base | BigInt(type))}`,
      `msr ${hex(0x201 + 2 * i)} ${hex(mask | (valid ? 1n << 11n : 0n))}`,
    ]),
    'run',
  ];
}

/** Runs the program on cases, each a list of commands. Throws an Error when it fails, by a sanitizer for example. */
function decide(cases: readonly (readonly string[])[]): Decision[] {
  const output = oracle(program, [], Buffer.from(`${cases.flat().join('\n')}\n`));
  return output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Decision);
}

beforeAll(() => {
  oracle('make', ['-s', '-C', join(root, 'stubs'), `OUT=${join(root, 'dist', 'stubs')}`, program]);
}, 120_000);

// ---- the model ----

const pages = (128 * MiB) / page;

function primaryMap(machine: Machine, more: readonly Entry[] = []): PageMap {
  const map = new PageMap(pages);
  for (const { range, type } of [...machine.entries, ...more]) map.apply({ kind: 'add', range, type });
  map.settle();
  for (const operation of machine.operations) map.apply(operation);
  map.apply({ kind: 'change', range: [0xa0000, MiB], from: types.ram, to: undefined });
  map.settle();
  return map;
}

const overlap = (a: Range, b: Range): boolean => a[0] < b[1] && b[0] < a[1];
const covers = (all: ArrayLike<number | boolean>, [start, end]: Range, value: number | boolean): boolean => {
  for (let at = start / page; at < end / page; at++) if (all[at] !== value) return false;
  return true;
};

interface Expected {
  readonly reason: number;
  readonly region: number;
  readonly memory: Uint8Array;
  /** Whether the primary may run there. */
  readonly mayRunAt: (place: number) => boolean;
}

function expectedOf(machine: Machine, own: readonly Range[]): Expected {
  const before = primaryMap(machine).types();
  const cached = writeBackMegabytes(
    (pages * page) / MiB,
    machine.mtrrs,
    machine.defaultType,
    machine.mtrrsOn,
  );
  const free = new Uint8Array(pages);
  before.forEach((type, at) => {
    if (type === types.ram && cached[(at * page) >>> 20] === true) free[at] = 1;
  });
  if (machine.efi.length > 0) {
    const conventional = new Uint8Array(pages);
    const isFree_ = ({ type, attribute }: Machine['efi'][number]): boolean =>
      type === efiConventional && attribute !== efiSpecialPurpose;
    for (const usable of [true, false])
      for (const each of machine.efi.filter((one) => isFree_(one) === usable))
        conventional.fill(usable ? 1 : 0, each.range[0] / page, each.range[1] / page);
    conventional.forEach((yes, at) => {
      if (yes === 0) free[at] = 0;
    });
  }
  const loaded = [...own, machine.initrd].filter(([start, end]) => start < end);
  const isFree = (range: Range, taken: readonly Range[]): boolean =>
    !taken.some((each) => overlap(each, range)) && covers(free, range, 1);
  const end = pages * page;
  let region = end - sizes.region;
  while (region > MiB && !isFree([region - page, region + sizes.region], [...loaded, machine.image]))
    region -= largePage;
  const reserved: Entry = { range: [region, region + sizes.region], type: types.reserved };
  const memory = primaryMap(machine, [reserved]).types();
  const taken: Range[] = [...loaded, [region - page, region + sizes.region]];
  const mayRunAt = (place: number): boolean =>
    place >= sizes.load && place % sizes.align === 0 && isFree([place, place + sizes.kernel], taken);
  const ram = memory.filter((type) => type === types.ram).length * page;
  const initrd = machine.initrd[1] - machine.initrd[0];
  const places = Array.from({ length: (end - sizes.kernel) / sizes.align }, (_, i) => i * sizes.align);
  const reason =
    region <= MiB
      ? 5
      : machine.entries.length >= 128
        ? 4
        : !covers(memory, reserved.range, types.reserved)
          ? 12
          : !places.some(mayRunAt) || ram < sizes.kernel + 4 * initrd + workingRoom
            ? 6
            : 0;
  return { reason, region, memory, mayRunAt };
}

function toPages(map: Decision['memory']): Uint8Array {
  const all = new Uint8Array(pages);
  let last = 0;
  for (const [start, end, type] of map) {
    if (Number(start) < last || type === 0) throw new Error(`not sorted and disjoint at ${start}`);
    last = Number(end);
    all.fill(type, Number(start) / page, last / page);
  }
  return all;
}

/** Where two arrays differ first, for messages that can be read. */
function firstDifference(found: ArrayLike<number>, wanted: ArrayLike<number>): string {
  for (let at = 0; at < wanted.length; at++) {
    if (found[at] === wanted[at]) continue;
    return `page 0x${hex(at * page)}: ${String(found[at])} for ${String(wanted[at])}`;
  }
  return '';
}

function crashMap(machine: Machine, { region, memory }: Expected): Uint8Array {
  const firmware = new PageMap(pages);
  for (const { range, type } of machine.entries) firmware.apply({ kind: 'add', range, type });
  return firmware.types().map((type, at) => {
    const address = at * page;
    const primary = memory[at] ?? 0;
    if (address >= region + largePage && address < region + sizes.region) return types.ram;
    if (primary === types.ram && address < 0xa0000) return types.ram;
    const highest = Math.max(type === types.ram ? types.reserved : type, primary === types.ram ? 0 : primary);
    return highest === types.acpi || highest === types.nvs ? highest : Math.min(highest, types.reserved);
  });
}

/** Complaints about a decision, by the model. */
function complaints(machine: Machine, decision: Decision): string[] {
  const own = decision.own.map(([start, end]): Range => [Number(start), Number(end)]);
  const expected = expectedOf(machine, own);
  if (decision.reason !== expected.reason)
    return [`E${decision.reason} (${decision.why}) for E${expected.reason}`];
  if (decision.reason !== 0) return [];
  const memory = firstDifference(toPages(decision.memory), expected.memory);
  const crash = firstDifference(toPages(decision.crash), crashMap(machine, expected));
  return [
    ...(Number(decision.region) === expected.region
      ? []
      : [`region ${decision.region} for 0x${hex(expected.region)}`]),
    ...(expected.mayRunAt(Number(decision.output)) ? [] : [`the kernel at ${decision.output}`]),
    ...(memory === '' ? [] : [`memory: ${memory}`]),
    ...(crash === '' || decision.crashFits === 0 ? [] : [`crash map: ${crash}`]),
    ...(decision.entries === machine.entries.length + 1 ? [] : ['E820 has other entries']),
  ];
}

// ---- random machines ----

class Dice extends SeededRandom {
  of<T>(list: readonly T[]): T {
    const one = list[this.below(list.length)];
    if (one === undefined) throw new RangeError('an empty list');
    return one;
  }

  many<T>(most: number, make: () => T): T[] {
    return Array.from({ length: this.below(most + 1) }, make);
  }

  /** Mostly short, sometimes long. */
  range(longest = 4000): Range {
    const start = this.below(pages) * page;
    const size = (1 + this.below(Math.min(this.of([4, 300, 4000]), longest))) * page;
    return [start, Math.min(start + size, pages * page)];
  }

  /** As memparse() reads it. */
  number(value: number): string {
    const units = [
      `${value}`,
      `0x${hex(value)}`,
      `0X${hex(value).toUpperCase()}`,
      `0${value.toString(8)}`,
      ...(value % 1024 === 0 ? [`${value / 1024}K`, `0x${hex(value / 1024)}k`] : []),
      ...(value % MiB === 0 ? [`${value / MiB}M`] : []),
    ];
    return this.of(units);
  }

  shuffled<T>(list: readonly T[]): T[] {
    return list
      .map((each) => ({ each, at: this.below(1 << 30) }))
      .sort((a, b) => a.at - b.at)
      .map(({ each }) => each);
  }
}

const allTypes = Object.values(types);

function randomWord(dice: Dice): { readonly text: string; readonly operation: Operation } {
  const range = dice.range();
  const size = dice.number(range[1] - range[0]);
  const start = dice.number(range[0]);
  const kind = dice.below(12);
  const [from, to] = dice.shuffled(allTypes);
  const change = (text: string, old: number | undefined, new_: number | undefined) => ({
    text: `memmap=${size}%${start}${text}`,
    operation: { kind: 'change', range, from: old, to: new_ } as const,
  });
  const add = (sign: string, type: number) => ({
    text: `memmap=${size}${sign}${start}`,
    operation: { kind: 'add', range, type } as const,
  });
  if (kind === 0) return { text: 'memmap=exactmap', operation: { kind: 'clear' } };
  if (kind < 3) return add('@', types.ram);
  if (kind === 3) return add('#', types.acpi);
  if (kind < 6) return add('$', types.reserved);
  if (kind === 6) return add('!', types.pram);
  if (kind === 7) return change(`-${from}+${to}`, from, to);
  if (kind === 8) return change(`-${from}`, from, undefined);
  if (kind === 9) return change('', undefined, undefined);
  if (kind === 10)
    return { text: `memmap=${size}%${start}+${to}`, operation: { kind: 'add', range, type: to ?? 2 } };
  const limit = Math.max(range[0], 60 * MiB);
  return {
    text: `${dice.of(['mem', 'memmap'])}=${dice.number(limit)}`,
    operation: { kind: 'change', range: [limit, pages * page], from: types.ram, to: undefined },
  };
}

/** What makes RAM of everything, the crash region too. */
function wholeRam(dice: Dice, top: number): ReturnType<typeof randomWord>[] {
  const range: Range = [MiB, top];
  if (dice.below(2) === 0) {
    const operation = { kind: 'change', range, from: types.reserved, to: types.ram } as const;
    return [{ text: `memmap=${dice.number(top - MiB)}%${dice.number(MiB)}-2+1`, operation }];
  }
  return [
    { text: 'memmap=exactmap', operation: { kind: 'clear' } },
    {
      text: `memmap=${dice.number(top - MiB)}@1M`,
      operation: { kind: 'add', range, type: types.ram },
    },
  ];
}

/** Words with what surrounds them on real lines: other words, lists, quotes. */
function joinWords(dice: Dice, words: readonly string[]): string {
  const line: string[] = [];
  for (const word of words) {
    const last = line.at(-1) ?? '';
    if (dice.below(3) === 0)
      line.push(dice.of(['quiet', 'memmapx=1M@0', 'xmem=1M', 'mem', 'memmap', 'a="b c"']));
    else if (dice.below(3) === 0 && last.startsWith('memmap=') && word.startsWith('memmap=')) {
      line.splice(-1, 1, `${last},${word.slice('memmap='.length)}`);
      continue;
    }
    line.push(word);
  }
  const quoted = line.map((word) => {
    if (!/^mem(map)?=/.test(word) || dice.below(4) > 0) return word;
    return dice.below(2) === 0 ? `"${word}"` : word.replace(/=(.*)$/, '="$1"');
  });
  return [...quoted, ...(dice.below(3) === 0 ? ['-- memmap=exactmap mem=1M'] : [])].join(' ');
}

function randomMtrr(dice: Dice): Mtrr {
  const size = BigInt(dice.of([1, 8, 16, 32, 64, 128]) * MiB);
  const width = BigInt(dice.of([36, 39, 46]));
  return {
    base: (BigInt(dice.below(128)) * BigInt(MiB)) & -size,
    mask: -size & ((1n << width) - 1n),
    type: dice.of([0, 1, 4, 5, 6, 6, 6, 6]),
    valid: dice.below(5) > 0,
  };
}

/** Mostly conventional memory, in any order, with what firmware and loader have taken; sometimes overlapping. */
function randomEfiMap(dice: Dice, top: number): Machine['efi'] {
  const cuts = [0, MiB, ...dice.many(10, () => dice.below(top / page) * page), top].sort((a, b) => a - b);
  const pieces = cuts.slice(1).map((end, i) => ({
    range: [cuts[i] ?? 0, end] as const,
    type: dice.of([7, 7, 7, 7, 1, 2, 4, 6, 0]),
    attribute: dice.of([0xf, 0xf, 0xf, 0xf, efiSpecialPurpose]),
  }));
  const more = dice.many(2, () => ({ range: dice.range(300), type: dice.of([2, 4, 7]), attribute: 0xf }));
  return dice.shuffled([...pieces, ...more]).filter(({ range: [start, end] }) => start < end);
}

function randomMachine(seed: number): Machine {
  const dice = new Dice(seed);
  const top = (64 + dice.below(65)) * MiB;
  const usual: Entry[] = [
    { range: [0, 0x9f000], type: types.ram },
    { range: [dice.of([0x9f000, MiB]), top], type: types.ram },
  ];
  const most = dice.of([0, 3, 6, 12, 12, 40, 140]);
  const more = dice.many(most, () => ({ range: dice.range(most > 100 ? 4 : 4000), type: dice.of(allTypes) }));
  const words = dice.below(2) === 0 ? [] : dice.many(5, () => randomWord(dice));
  if (dice.below(6) === 0) words.unshift(...wholeRam(dice, top));
  const image = (1 + dice.below(32)) * MiB;
  const initrd = (40 + dice.below(50)) * MiB;
  return {
    entries: dice.shuffled([...usual, ...more]),
    line: joinWords(
      dice,
      words.map(({ text }) => text),
    ),
    operations: words.map(({ operation }) => operation),
    mtrrs: dice.below(2) === 0 ? [] : dice.many(6, () => randomMtrr(dice)),
    defaultType: dice.of([6, 6, 0]),
    mtrrsOn: dice.below(6) > 0,
    image: [image, image + (1 + dice.below(16)) * MiB],
    initrd: [initrd, initrd + dice.below(8) * MiB],
    efi: dice.below(3) > 0 ? [] : randomEfiMap(dice, top),
  };
}

// ---- tests ----

describe('random machines', () => {
  test('map, region and kernel are what the model says', () => {
    const machines = Array.from({ length: 160 }, (_, seed) => randomMachine(seed));
    const decisions = decide(machines.map(commands));
    expect(decisions.length).toBe(machines.length);
    const wrong = decisions.flatMap((decision, seed) => {
      const machine = machines[seed];
      const found = machine === undefined ? ['lost'] : complaints(machine, decision);
      return found.map((each) => `seed ${seed}: ${each}; ${machine?.line ?? ''}`);
    });
    expect(wrong).toEqual([]);
    // All ends occur, and most machines are armed.
    const ends = decisions.map(({ reason }) => reason);
    expect(new Set(ends)).toEqual(new Set([0, 4, 5, 6, 12]));
    expect(ends.filter((reason) => reason === 0).length).toBeGreaterThan(40);
  }, 240_000);
});

describe('firmware', () => {
  const plain = (...more: string[]): string[] => [
    'plan 800000 800000 200000 1000000 1',
    'image 100000 200000',
    'e820 0 9fc00 1',
    'e820 100000 7f00000 1',
    ...more,
    'run',
  ];
  const one = (...more: string[]): Decision => {
    const [decision] = decide([plain(...more)]);
    if (decision === undefined) throw new Error('no decision');
    return decision;
  };
  const reasonOf = (...more: string[]): number => one(...more).reason;

  test('entries behind the 128th count: they are in a setup_data node', () => {
    // 126 that say nothing new, then ACPI tables where the region would be.
    const same = Array.from({ length: 126 }, () => 'e820 0 1000 1');
    expect(one(...same).region).toBe('0x7800000');
    expect(one(...same, 'e820 7e00000 1000 3')).toMatchObject({ reason: 4, region: '0x7600000' });
    expect(one(...same.slice(1), 'e820 7e00000 1000 3')).toMatchObject({ reason: 4 });
    expect(one(...same.slice(2), 'e820 7e00000 1000 3')).toMatchObject({ reason: 0, entries: 128 });
  });

  test('and where UEFI has given the region, no entry of E820 is needed for it', () => {
    const same = Array.from({ length: 124 }, () => 'e820 0 1000 1');
    const given = ['e820 6000000 a00000 2', 'region 6200000', 'above', 'efi 7 100000 3f00 f'];
    const more = ['e820 7e00000 1000 3', 'e820 80000000 100000 1'];
    const decision = one(...same, ...given, ...more);
    expect(decision).toMatchObject({ reason: 0, region: '0x6200000', entries: 128 });
    // By the EFI map, above 4 GiB, half of the RAM is firmware's.
    expect(Number(decision.output)).toBeLessThan(64 * MiB);
    // What lies behind the 128th is known: ACPI tables to the crash kernel, RAM to both.
    expect(decision.crash).toContainEqual(['0x7e00000', '0x7e01000', 3]);
    expect(decision.memory).toContainEqual(['0x80000000', '0x80100000', 1]);
  });

  test('a map that the kernel itself would not take, or that is too long, is refused', () => {
    expect(reasonOf('e820 ffffffffffff0000 20000 2')).toBe(4);
    const [lonely] = decide([['plan 800000 800000 200000 1000000 1', 'e820 0 8000000 1', 'run']]);
    expect(lonely?.reason).toBe(4);
    const pieces = Array.from({ length: 560 }, (_, i) => `e820 ${hex(0x100000000 + i * 0x2000)} 1000 2`);
    expect(reasonOf(...pieces)).toBe(4);
    expect(reasonOf(...pieces.slice(0, 100))).toBe(0);
  });

  test('of low memory with holes only the RAM is RAM', () => {
    const { crash } = one('e820 30000 20000 2', 'e820 60000 1000 4');
    expect(crash.slice(0, 5)).toEqual([
      ['0x0', '0x30000', 1],
      ['0x30000', '0x50000', 2],
      ['0x50000', '0x60000', 1],
      ['0x60000', '0x61000', 4],
      ['0x61000', '0x9fc00', 1],
    ]);
    const [holes] = decide([
      [
        ...['plan 800000 800000 200000 1000000 1', 'e820 50000 4f000 1', 'e820 100000 7f00000 1'],
        ...['e820 0 30000 1', 'run'],
      ],
    ]);
    expect(holes?.crash.slice(0, 2)).toEqual([
      ['0x0', '0x30000', 1],
      ['0x50000', '0x9f000', 1],
    ]);
  });

  test('words are read as the kernel reads them', () => {
    expect(reasonOf('line memmap=exactmap memmap=127M@1M')).toBe(12);
    expect(reasonOf('line -- memmap=exactmap memmap=127M@1M')).toBe(0);
    expect(reasonOf('line "memmap=exactmap"')).toBe(5);
    expect(reasonOf('line a="b memmap=exactmap"')).toBe(0);
    expect(reasonOf('line memmap=nothing')).toBe(0);
    // To memparse() this is no number and a suffix: all RAM above 0 exabytes goes.
    expect(reasonOf('line memmap=exact')).toBe(5);
    expect(reasonOf('line memmap=127M@1M')).toBe(0);
    expect(reasonOf('line memmap=127M%1M-2+1')).toBe(12);
    expect(reasonOf('line memmap=127M%1M-2+1x')).toBe(0);
    // As the kernel, which panics with "Invalid user supplied memory map".
    expect(reasonOf('line memmap=0xffffffffffffffff@4096')).toBe(12);
    expect(one('line memmap=010M$126M').region).toBe('0x7600000');
    expect(one('line memmap=010M$126M', 'initrd 7000000 400000').region).toBe('0x7600000');
    expect(one('line mem=100M').region).toBe('0x5c00000');
    expect(one('line mem=nopentium').region).toBe('0x7800000');
  });

  test('what a careless loader leaves in boot_params is not believed', () => {
    expect(one('dirty', 'initrd 7000000 400000')).toMatchObject({ reason: 0, region: '0x7800000' });
    expect(one('dirty')).toMatchObject({ reason: 0, rsdp: '0x0' });
  });

  test('a region that firmware has given is used, and stays reserved', () => {
    const given = ['e820 6000000 a00000 2', 'region 6200000'];
    expect(one(...given)).toMatchObject({ reason: 0, region: '0x6200000', entries: 3 });
    expect(one(...given).crash).toContainEqual(['0x6400000', '0x6a00000', 1]);
    // Firmware says that it is RAM.
    expect(reasonOf('region 6200000')).toBe(12);
  });

  test('nokaslr: another place where firmware has taken the usual one', () => {
    expect(one('line nokaslr').output).toBe('0x1000000');
    expect(one('line nokaslr', 'e820 1100000 1000 4').output).toBe('0x1200000');
  });

  test('a chain of setup_data that cannot be followed is refused', () => {
    expect(reasonOf('nodes 60')).toBe(0);
    expect(reasonOf('nodes 90')).toBe(13);
    expect(reasonOf('loop')).toBe(13);
    expect(one('indirect 7fff000 1000').region).toBe('0x7600000');
  });
});

describe('RAM above 512 GiB', () => {
  const GiB = 2 ** 30;
  const TiB = 2 ** 40;
  const ram = (start: number, end: number): string => `e820 ${hex(start)} ${hex(end - start)} 1`;
  /** Below 4 GiB there is room for the region, and for no kernel. */
  const plain = (bits: number, gibPages: number, ...more: string[]): string[] => [
    'plan 800000 800000 200000 1000000 1',
    ...['image 100000 200000', `cpu ${hex(bits)} ${gibPages}`],
    ...['e820 0 9fc00 1', ram(MiB, 24 * MiB)],
    ...more,
    'run',
  ];
  const upTo4GiB = ['0x0', '0x100000000', '0x0'];
  const inGiB = (address: number): string[] =>
    [0, GiB, 0].map((more) => `0x${hex(address - (address % GiB) + more)}`);

  test.each([1, 2, 6, 60])('armed with %d TiB, and each place for the kernel can be had', (size) => {
    const top = size * TiB;
    // The only places: two behind the first hole, one between two holes, four at the end.
    const places = [top, top + 2 * MiB, top + 20 * MiB, ...[0, 2, 4, 6].map((at) => top + (1024 + at) * MiB)];
    const machine = [ram(top, top + 10 * MiB), ram(top + 20 * MiB, top + 29 * MiB)];
    const end = ram(top + GiB, top + GiB + 14 * MiB);
    const cases = Array.from({ length: 300 }, (_, i) => plain(46, i % 2, ...machine, end));
    const decisions = decide(cases);
    expect(new Set(decisions.map(({ reason }) => reason))).toEqual(new Set([0]));
    const outputs = decisions.map(({ output }) => Number(output));
    expect([...new Set(outputs)].sort((a, b) => a - b)).toEqual(places);
    decisions.forEach(({ mapped, output }) => {
      expect(mapped).toEqual([upTo4GiB, inGiB(Number(output))]);
    });
    // The crash kernel keeps off, and what becomes PT_LOAD is all of it.
    expect(decisions[0]?.crash.filter(([start]) => Number(start) >= top).map(([, , type]) => type)).toEqual([
      2, 2, 2,
    ]);
    expect(decisions[0]?.memory.filter(([, , type]) => type === types.ram).slice(-1)).toEqual([
      [`0x${hex(top + GiB)}`, `0x${hex(top + GiB + 14 * MiB)}`, 1],
    ]);
  });

  test('a kernel that crosses from one top-level entry to the next is mapped on both sides', () => {
    const border = 4.5 * TiB;
    const tooSmall = [32, 40, 48].map((at) => ram(at * MiB, (at + 7) * MiB));
    for (const gibPages of [0, 1]) {
      const [decision] = decide([plain(46, gibPages, ...tooSmall, ram(border - 4 * MiB, border + 5 * MiB))]);
      expect(Number(decision?.output)).toBe(border - 4 * MiB);
      expect(decision?.mapped).toEqual([
        upTo4GiB,
        [border - GiB, border + GiB, border - GiB].map((each) => `0x${hex(each)}`),
      ]);
    }
  });

  test('no place that the CPU cannot address, nor one above 64 TiB', () => {
    const room = [ram(32 * MiB, 64 * MiB)];
    const high = (start: number): string => ram(start, start + TiB);
    const outputs = (bits: number, start: number): Set<boolean> =>
      new Set(
        decide(Array.from({ length: 20 }, () => plain(bits, 1, ...room, high(start)))).map(
          ({ output }) => Number(output) >= TiB,
        ),
      );
    expect(outputs(40, TiB)).toEqual(new Set([false]));
    expect(outputs(41, TiB).has(true)).toBe(true);
    expect(outputs(46, 64 * TiB)).toEqual(new Set([false]));
    expect(outputs(46, 63 * TiB).has(true)).toBe(true);
  });

  test('what the loader hands on may lie there, in four GiBs', () => {
    const far = [17, 18, 30, 63].map((at) => at * TiB + 5 * page);
    const nodes = (...at: number[]): string[] => at.map((each) => `node ${hex(each)}`);
    const high = ram(50 * TiB, 50 * TiB + 100 * MiB);
    for (const gibPages of [0, 1]) {
      const [four, same, five, unaddressable] = decide([
        plain(46, gibPages, high, ...nodes(...far)),
        plain(46, gibPages, high, ...nodes(...far, 17 * TiB + 7 * page, 30 * TiB + GiB - page)),
        plain(46, gibPages, high, ...nodes(...far, 40 * TiB)),
        plain(44, gibPages, high, ...nodes(20 * TiB)),
      ]);
      expect([four?.reason, same?.reason, five?.reason, unaddressable?.reason]).toEqual([0, 0, 13, 13]);
      const wanted = [...far, 50 * TiB].sort((a, b) => a - b).map(inGiB);
      expect(four?.mapped).toEqual([upTo4GiB, ...wanted]);
      expect(same?.mapped).toEqual([upTo4GiB, ...wanted]);
    }
  });
});
