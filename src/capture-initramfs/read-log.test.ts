/**
 * read-log on rings that this test writes as printk() would. The oracle is the installed vmcore-dmesg, which copies what
 * read-log reads piece by piece. qemu-tests/large-log.test.ts has the log of a real kernel.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { mutate } from '../testkit/mutate.js';
import { compiledProgram } from './scripts.js';

const readLogFile = compiledProgram('read-log');

const folder = mkdtempSync(join(tmpdir(), 'saveoops-log-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** As Linux 6.1 has them on x86-64: kernel/printk/printk_ringbuffer.h. Offsets and sizes in bytes. */
const vmcoreinfo = `OSRELEASE=6.1.0
SYMBOL(prb)=ffffffff82000000
SIZE(printk_ringbuffer)=80
OFFSET(printk_ringbuffer.desc_ring)=0
OFFSET(printk_ringbuffer.text_data_ring)=40
OFFSET(printk_ringbuffer.fail)=72
SIZE(prb_desc_ring)=40
OFFSET(prb_desc_ring.count_bits)=0
OFFSET(prb_desc_ring.descs)=8
OFFSET(prb_desc_ring.infos)=16
OFFSET(prb_desc_ring.head_id)=24
OFFSET(prb_desc_ring.tail_id)=32
SIZE(prb_desc)=24
OFFSET(prb_desc.state_var)=0
OFFSET(prb_desc.text_blk_lpos)=8
SIZE(prb_data_blk_lpos)=16
OFFSET(prb_data_blk_lpos.begin)=0
OFFSET(prb_data_blk_lpos.next)=8
SIZE(printk_info)=88
OFFSET(printk_info.seq)=0
OFFSET(printk_info.ts_nsec)=8
OFFSET(printk_info.text_len)=16
SIZE(prb_data_ring)=32
OFFSET(prb_data_ring.size_bits)=0
OFFSET(prb_data_ring.data)=8
OFFSET(atomic_long_t.counter)=0
`;

interface Ring {
  readonly descBits: number;
  readonly textBits: number;
  /** Texts of the records, in order; undefined: one whose text is lost. */
  readonly texts: readonly (string | undefined)[];
}

const idMask = (1n << 62n) - 1n;

/** A core file whose one segment, at 0xffffffff82000000, holds `prb`, the rings' description, and the three rings. */
function coreOf({ descBits, textBits, texts }: Ring): Buffer {
  const [count, size] = [1 << descBits, 1 << textBits];
  const base = 0xffffffff82000000n;
  const descs = 4096;
  const infos = descs + 24 * count;
  const data = infos + 88 * count;
  const memory = Buffer.alloc(data + size);
  const put = (at: number, value: bigint): unknown => memory.writeBigUInt64LE(BigInt.asUintN(64, value), at);
  // The kernel begins shortly before both counters overflow (BLK0_LPOS, DESC0_ID), so that an error shows early.
  let lpos = BigInt.asUintN(64, -BigInt(size));
  let id = idMask & -BigInt(count + 1);
  const first = BigInt(Math.max(0, texts.length - count));
  const begins: bigint[] = [];
  const wraps = (at: bigint): bigint => at >> BigInt(textBits);
  texts.forEach((text, index) => {
    id = (id + 1n) & idMask;
    const slot = Number(id % BigInt(count));
    const bytes = Buffer.from(text ?? '', 'latin1');
    const needed = BigInt((8 + bytes.length + 7) & ~7);
    let begin = lpos;
    let next = BigInt.asUintN(64, lpos + needed);
    let at = begin;
    if (text === undefined) {
      begin = 1n;
      next = 1n;
    } else {
      if (wraps(begin) !== wraps(next)) {
        at = wraps(next) << BigInt(textBits);
        next = BigInt.asUintN(64, at + needed);
      }
      const offset = Number(at % BigInt(size));
      put(data + offset, id);
      bytes.copy(memory, data + offset + 8);
      lpos = next;
    }
    begins[index] = begin;
    put(descs + 24 * slot, id | (2n << 62n));
    put(descs + 24 * slot + 8, begin);
    put(descs + 24 * slot + 16, next);
    put(infos + 88 * slot + 8, BigInt(index) * 1_234_567_891n);
    memory.writeUInt16LE(bytes.length, infos + 88 * slot + 16);
  });
  // What has been written over is reusable.
  texts.forEach((text, index) => {
    const begin = begins[index] ?? 0n;
    if (text === undefined || BigInt(index) < first) return;
    if (BigInt.asUintN(64, lpos - begin) <= BigInt(size)) return;
    const old = (id - BigInt(texts.length - 1 - index)) & idMask;
    put(descs + 24 * Number(old % BigInt(count)), old | (3n << 62n));
  });
  put(0, base + 64n);
  memory.writeUInt32LE(descBits, 64);
  put(72, base + BigInt(descs));
  put(80, base + BigInt(infos));
  put(88, id);
  put(96, (id - BigInt(Math.min(count, texts.length) - 1)) & idMask);
  memory.writeUInt32LE(textBits, 104);
  put(112, base + BigInt(data));
  return core(vmcoreinfo, base, memory);
}

/** elf(5): a header, a PT_NOTE with one note, a PT_LOAD. */
function core(text: string, address: bigint, memory: Buffer): Buffer {
  const note = Buffer.alloc(24 + ((text.length + 3) & ~3));
  note.writeUInt32LE(11, 0);
  note.writeUInt32LE(text.length, 4);
  note.write('VMCOREINFO\0', 12, 'latin1');
  note.write(text, 24, 'latin1');
  const header = Buffer.alloc(64 + 2 * 56);
  header.write('\x7fELF\x02\x01\x01', 0, 'latin1');
  header.writeUInt16LE(4, 16);
  header.writeUInt16LE(62, 18);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(64n, 32);
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(2, 56);
  const segment = (at: number, type: number, offset: number, virtual: bigint, size: number): void => {
    header.writeUInt32LE(type, at);
    header.writeBigUInt64LE(BigInt(offset), at + 8);
    header.writeBigUInt64LE(virtual, at + 16);
    header.writeBigUInt64LE(BigInt(size), at + 32);
    header.writeBigUInt64LE(BigInt(size), at + 40);
  };
  segment(64, 4, header.length, 0n, note.length);
  segment(120, 1, header.length + note.length, address, memory.length);
  return Buffer.concat([header, note, memory]);
}

/** A reader on a core file, which it gets as its first argument. */
function run(reader: string, bytes: Uint8Array, ...args: readonly string[]) {
  const path = join(folder, 'core');
  writeFileSync(path, bytes);
  return start(reader, [path, ...args]);
}

function start(program: string, args: readonly string[]) {
  const { status, signal, stdout, stderr } = spawnSync(program, args, {
    maxBuffer: 1 << 28,
    timeout: 20_000,
    env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' },
  });
  return { status, signal, said: stderr.toString(), log: stdout.toString('latin1') };
}

const lines = (count: number, length: (index: number) => number): string[] =>
  Array.from({ length: count }, (_, index) => `${index} `.padEnd(length(index), 'x'));

describe('read-log', () => {
  test.each<[string, Ring]>([
    ['a short log', { descBits: 6, textBits: 12, texts: lines(20, () => 40) }],
    ['one record', { descBits: 4, textBits: 8, texts: ['only'] }],
    ['descriptors that have wrapped', { descBits: 4, textBits: 12, texts: lines(100, () => 30) }],
    ['texts that have wrapped', { descBits: 8, textBits: 10, texts: lines(200, (i) => 3 + ((i * 37) % 90)) }],
    ['records without a text', { descBits: 5, textBits: 10, texts: ['a', undefined, '', 'b'] }],
    [
      'control characters and lines',
      { descBits: 5, textBits: 10, texts: ['a\x1b[2J\x07\x80\xff', 'two\n\tlines\r'] },
    ],
    ['long records', { descBits: 10, textBits: 20, texts: lines(900, (i) => 900 + (i % 100)) }],
    ['many records', { descBits: 15, textBits: 20, texts: lines(40_000, (i) => i % 23) }],
  ])('prints %s as vmcore-dmesg does', (_, ring) => {
    const bytes = coreOf(ring);
    const wanted = run('vmcore-dmesg', bytes);
    expect([wanted.status, wanted.log === '']).toEqual([0, false]);
    expect(run(readLogFile, bytes)).toEqual({ status: 0, signal: null, said: '', log: wanted.log });
  });

  test('prints the last records only, of about so many bytes', () => {
    const bytes = coreOf({ descBits: 12, textBits: 18, texts: lines(3000, (i) => i % 80) });
    const whole = run(readLogFile, bytes).log;
    for (const wanted of [1, 100, 5000, 60_000]) {
      const { log, status } = run(readLogFile, bytes, String(wanted));
      expect([status, whole.endsWith(log)]).toEqual([0, true]);
      expect(log.length).toBeGreaterThanOrEqual(wanted);
      expect(log.length).toBeLessThan(wanted + 200);
    }
    expect(run(readLogFile, bytes, '100000000').log).toBe(whole);
  });

  test.each(['0', '-1', 'x', ''])('with the size %j: usage', (size) => {
    expect(run(readLogFile, Buffer.alloc(0), size).status).toBe(2);
  });

  test('needs a megabyte, however large the log is', () => {
    const bytes = coreOf({ descBits: 15, textBits: 20, texts: lines(40_000, (i) => i % 23) });
    const { log } = run(readLogFile, bytes);
    const limited = start('sh', ['-c', 'ulimit -v 1024; exec "$0" "$1"', readLogFile, join(folder, 'core')]);
    expect(limited).toEqual({ status: 0, signal: null, said: '', log });
  });

  test('a damaged core ends with a reason or a log, never by a signal or not at all', () => {
    const bytes = coreOf({ descBits: 6, textBits: 11, texts: lines(90, (i) => i % 50) });
    let refused = 0;
    for (let seed = 1; seed <= 300; seed++) {
      const { status, signal, said } = run(readLogFile, mutate(bytes, seed, 1200));
      expect([seed, signal, status, said === '']).toEqual([seed, null, status === 0 ? 0 : 1, status === 0]);
      if (status !== 0) refused++;
    }
    expect(refused).toBeGreaterThan(30);
  });

  test.each([
    ['no ELF file', Buffer.from('text'.repeat(40)), 'not an ELF64 core file'],
    ['an empty file', Buffer.alloc(0), 'cannot read the core file'],
    ['a core without a note', core('', 0n, Buffer.alloc(8)), 'VMCOREINFO'],
    ['a kernel before 5.10', core('SYMBOL(log_buf)=ffffffff82000000\n', 0n, Buffer.alloc(8)), 'before 5.10'],
  ])('%s: says so', (_, bytes, reason) => {
    const { status, said } = run(readLogFile, bytes);
    expect([status, said]).toEqual([1, expect.stringContaining(reason)]);
  });
});
