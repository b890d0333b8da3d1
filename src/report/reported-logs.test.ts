/** Logs made up after reports of all kinds of kernels (fixtures/reported), where each has something that others have not. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { fixtures } from '../testkit/death-logs.js';
import { makeReport, type Report } from './report.js';

function reportOf(name: string): Report {
  const log = readFileSync(join(fixtures, 'reported', `${name}.txt`), 'utf8');
  return makeReport({ where: name, log, cut: false, capture: undefined }).report;
}

/** Kind, place, process, first of the trace that counts, message of the end. */
const expected: Readonly<Record<string, readonly (string | undefined)[]>> = {
  'i386-oops': [
    'null-dereference',
    'gfx_init+0x2a/0x80 [gfxdrv]',
    'modprobe',
    'do_one_initcall+0x49/0x1e0',
    'Fatal exception',
  ],
  'addresses-in-front': [
    'page-fault',
    'kmove+0x20/0x60 [stor]',
    'stord',
    'stor_io+0x40/0x90 [stor]',
    'Fatal exception',
  ],
  'kdump-loaded': [
    'general-protection-fault',
    '__list_del_entry_valid+0x2c/0x90',
    'kworker/5:2',
    'drain_work+0x55/0x140 [stor]',
    'Fatal exception',
  ],
  kasan: [
    'complaint',
    'ss_skb_split+0x5a3/0x900 [webfw]',
    'ksoftirqd/1',
    'dump_stack_lvl+0x4b/0x70',
    'KASAN: panic_on_warn set ...',
  ],
  ubsan: [
    'complaint',
    'netdrv_open+0x1f4/0x210 [netdrv]',
    'ip',
    'dump_stack_lvl+0x48/0x70',
    'UBSAN: panic_on_warn set ...',
  ],
  'rcu-stall': ['rcu-stall', 'busy_fn+0x10/0x20 [busy]', 'looper', undefined, 'RCU Stall'],
  'two-boots': [
    'null-dereference',
    'netdrv_probe+0x1c/0x90 [netdrv]',
    'insmod',
    'local_pci_probe+0x42/0xa0',
    'Fatal exception',
  ],
  'two-cpus': ['null-dereference', 'alloc_node+0xd0/0x260', 'gettygen', 'foo+0x1/0x2', undefined],
  'two-cpus-with-caller': [
    'null-dereference',
    'netdrv_probe+0x1c/0x90 [netdrv]',
    'insmod',
    'local_pci_probe+0x42/0xa0',
    'Fatal exception',
  ],
  'hardware-error': ['machine-check', undefined, 'swapper/0', undefined, undefined],
  typed: [
    'null-dereference',
    'netdrv_probe+0x1c/0x90 [netdrv]',
    'insmod',
    'local_pci_probe+0x42/0xa0',
    'fatal exception',
  ],
  'arm64-oops': [
    'null-dereference',
    'board_init+0x24/0x80 [boarddrv]',
    'modprobe',
    'board_init+0x24/0x80 [boarddrv]',
    'Oops: Fatal exception',
  ],
};

test.each(Object.entries(expected))('%s', (name, wanted) => {
  const { cause, end, source } = reportOf(name);
  const sure = cause?.trace.find((entry) => entry.sure);
  expect(source.understood).toBe(true);
  expect([
    cause?.kind,
    cause?.at?.text,
    cause?.comm ?? undefined,
    sure?.text,
    end?.message ?? undefined,
  ]).toEqual(wanted);
});

test('of two CPUs that die at a time, the second has its own process, place and trace', () => {
  const { others } = reportOf('two-cpus-with-caller');
  expect(others.map(({ kind }) => kind)).toEqual(['null-dereference', 'consequence']);
  const log = readFileSync(join(fixtures, 'reported', 'two-cpus-with-caller.txt'), 'utf8');
  const { deaths } = makeReport({ where: '', log, cut: false, capture: undefined });
  expect(
    deaths.map(({ comm, at, trace }) => [comm, at?.function, trace.map((entry) => entry.function).at(-1)]),
  ).toEqual([
    ['insmod', 'netdrv_probe', 'really_probe'],
    ['udevd', 'usbdrv_probe', 'really_probe'],
    ...[undefined, undefined].map((nothing) => [nothing, nothing, nothing]),
  ]);
});

test.each([
  ['i386-oops', 'i386', /^The kernel is one for i386/],
  ['arm64-oops', 'arm64', /^The kernel is one for arm64/],
  ['addresses-in-front', 'x86-64', /^The kernel is older than 5\.10/],
])('%s is named as such', (name, architecture, remark) => {
  const { kernel, remarks } = reportOf(name);
  expect(kernel.architecture).toBe(architecture);
  expect(remarks).toEqual([expect.stringMatching(remark)]);
});

test("a stalled CPU's answer is its story, in whatever order and however many are asked", () => {
  const log = readFileSync(join(fixtures, 'reported', 'rcu-stall.txt'), 'utf8').replace(
    /^.*Kernel panic/m,
    '[    1.007500] NMI backtrace for cpu 2\n[    1.007600] CPU: 2 PID: 3 Comm: other Not tainted 6.8.0 #1\n$&',
  );
  const { cause } = makeReport({ where: '', log, cut: false, capture: undefined }).report;
  expect([cause?.cpu, cause?.comm]).toEqual([1, 'looper']);
});
