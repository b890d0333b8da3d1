import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { deathLogs, fixtures, type DeathLog } from '../testkit/death-logs.js';
import { parseCpuLine } from './cpu-line.js';
import type { DeathKind } from './kinds-of-death.js';
import { renderHtml } from './render-html.js';
import { renderText } from './render-text.js';
import { makeReport, type MadeReport, type Report } from './report.js';

const logs = deathLogs();
const named = logs.map((log) => [`${log.release} ${log.name}`, log] as const);

function reportOf(text: string, where = 'dmesg.txt'): MadeReport {
  return makeReport({ where, log: text, cut: false, capture: undefined });
}

/** How each was killed: qemu-tests/death-logs.lane.ts. */
const kinds: Readonly<Record<string, DeathKind>> = {
  panic: 'panic',
  bug: 'usercopy',
  'null-dereference-tainted': 'null-dereference',
  'null-dereference-in-interrupt': 'null-dereference',
  'general-protection-fault': 'general-protection-fault',
  'stack-overflow': 'stack-overflow',
  'double-fault': 'double-fault',
  'double-fault-in-module': 'double-fault',
  'panic-in-module': 'panic',
  sysrq: 'sysrq',
  'init-ends': 'init-died',
  'no-root': 'no-root',
  nmi: 'nmi',
  'hung-task': 'hung-task',
  'soft-lockup': 'soft-lockup',
  'oops-then-sysrq': 'null-dereference',
  'early-exception': 'early-exception',
  'no-working-init': 'no-init',
  'initramfs-damaged': 'initramfs-damaged',
  'panic-on-oom': 'out-of-memory',
  'no-timer': 'no-timer',
  'stack-protector': 'stack-protector',
  refcount: 'refcount',
  'split-lock': 'split-lock',
  'machine-check': 'machine-check',
};

test('there are logs of kernels from 5.10 to 7.x', () => {
  const releases = [...new Set(logs.map(({ release }) => release.split('.').slice(0, 2).join('.')))];
  expect(releases).toEqual(expect.arrayContaining(['5.10', '6.1', '6.12', '7.2']));
  expect(logs.length).toBeGreaterThan(50);
});

describe.each(named)('%s', (_, { name, text, facts }: DeathLog) => {
  const { report, memory } = reportOf(text);
  const { cause, end, kernel } = report;

  test('tells the same when what panic() was given is a record of its own, as 5.10 with PREEMPT_RT has it', () => {
    const split = text.replace(
      /^(.*\] )(Kernel panic - not syncing:) (.*)$/gm,
      (_line, time: string, says: string, message: string) => `${time}${says}\n${time}${message}`,
    );
    const other = reportOf(split).report;
    const told = (each: typeof cause): unknown => [
      each?.kind,
      each?.message,
      each?.cpu,
      each?.taint,
      each?.trace,
    ];
    expect([told(other.cause), told(other.end)]).toEqual([told(cause), told(end)]);
  });

  test('is of the kind by which the kernel was killed', () => {
    expect(cause?.kind).toBe(kinds[name]);
  });

  test('tells the place, the message and the address of the injection', () => {
    if (facts.atRip !== undefined) expect(cause?.at?.function).toBe(facts.atRip);
    if (facts.module !== undefined) expect(cause?.at?.module).toBe(facts.module);
    if (facts.message !== undefined) expect((end ?? cause)?.message).toBe(facts.message);
    if (facts.address !== undefined)
      expect(cause?.address ?? cause?.at?.address).toMatch(new RegExp(`^${facts.address}`));
    const sure = cause?.trace.filter((entry) => entry.sure) ?? [];
    if (facts.inTrace !== undefined) expect(sure.map((entry) => entry.function)).toContain(facts.inTrace);
    if (facts.moduleInTrace !== undefined)
      expect(sure.map((entry) => entry.module)).toContain(facts.moduleInTrace);
  });

  test('tells the process, the CPU and the taint that the guest knew', () => {
    if (facts.pid !== undefined) expect(cause?.pid).toBe(facts.pid);
    if (facts.cpu !== undefined) expect(cause?.cpu).toBe(facts.cpu);
    // kernel/panic.c, by bit.
    const letters = [...'PFSRMBUDAWCIOELKXTNJ'].filter((_, bit) => ((facts.tainted ?? 0) >> bit) & 1);
    if (facts.tainted !== undefined && cause !== null && cause.taint !== null)
      expect(cause.taint.explained.map(({ letter }) => letter)).toEqual(letters);
  });

  test('tells the kernel and the machine that the guest ran on', () => {
    expect(kernel.release).toBe(facts.release);
    if (facts.commandLine !== undefined) expect(kernel.commandLine).toBe(facts.commandLine);
    if (facts.product !== undefined) expect(kernel.hardware).toContain(facts.product);
    if (facts.firmware !== undefined) expect(kernel.hardware).toContain(facts.firmware);
    if (facts.uptime !== undefined) expect(report.uptime).toBeGreaterThanOrEqual(facts.uptime - 0.1);
  });

  test('tells the memory map that the kernel got, and finds the crash region in it', () => {
    if (facts.memory === undefined) return;
    const ours = report.memory.ranges.map(({ start, end }) => `${start} ${end}`);
    expect(ours.sort()).toEqual(facts.memory.map((range) => range.split(' ', 2).join(' ')).sort());
    const usable = memory.ranges
      .filter((range) => range.usable)
      .map(({ start }) => `0x${start.toString(16)}`);
    const ram = facts.memory.filter((range) => range.endsWith(' System RAM'));
    expect(usable.sort()).toEqual(ram.map((range) => range.split(' ', 1)[0]).sort());
    const region = memory.crashRegion?.range;
    expect(region === undefined ? 0 : Number(region.end - region.start) + 1).toBe(facts.regionSize);
  });

  test('the end is the only panic, and comes after the cause', () => {
    const panics = text.split('\n').filter((line) => line.includes('Kernel panic - not syncing'));
    const told = [cause, end].filter((death) => death?.message !== null && death !== null);
    expect(told.length).toBe(panics.length);
    if (end !== null) expect(end.line).toBeGreaterThan(cause?.line ?? Infinity);
  });

  test('can be seen as text and as HTML', () => {
    const shown = renderText(report);
    expect(shown).toContain(facts.release);
    expect(shown).toContain(cause?.at?.text ?? cause?.headline);
    expect(renderHtml(reportOf(text), 'saveoops')).toContain('</html>');
  });
});

describe('a serial log', () => {
  const read = (name: string): Report =>
    reportOf(readFileSync(join(fixtures, 'serial', name), 'utf8'), name).report;

  test('of a capture: the log that the crash kernel recovered, not what was printed before and after', () => {
    const { cause, source } = read('captured.log');
    expect(source.kind).toBe('recovered');
    expect(cause?.message).toMatch(/^Injected early /);
    expect(cause?.trace.some((entry) => entry.function === 'panic')).toBe(true);
  });

  test('without a capture: the boot that died, without the boot loader', () => {
    const { cause, source, kernel } = read('not-captured.log');
    expect(source.kind).toBe('serial');
    expect(cause?.message).toMatch(/^Injected into a damaged region /);
    expect(cause?.trace.filter((entry) => entry.sure).map((entry) => entry.function)).toContain(
      'kernel_init_freeable',
    );
    expect(kernel.release).toBe('6.1.0-56-cloud-amd64');
  });

  test('whose last boot is a healthy one: the boot that died', () => {
    const text = readFileSync(join(fixtures, 'serial', 'not-captured.log'), 'utf8');
    const healthy = '[    0.000000] Linux version 9.9.9-later (a@b)\r\n[    1.000000] all is well\r\n';
    expect(reportOf(text + healthy).report.kernel.release).toBe('6.1.0-56-cloud-amd64');
  });
});

describe('several things that went wrong', () => {
  const oops = logs.find(({ name }) => name === 'oops-then-sysrq')?.text ?? '';

  test('the first oops is the cause, the last panic the end', () => {
    const { cause, end } = reportOf(oops).report;
    expect([cause?.kind, end?.kind]).toEqual(['null-dereference', 'sysrq']);
  });

  test('a hung task that the kernel survived is no cause', () => {
    const complaint = '[    1.000000] INFO: task sh:77 blocked for more than 120 seconds.\n';
    const { cause, others } = reportOf(oops.replace('\n', `\n${complaint}`)).report;
    expect(cause?.kind).toBe('null-dereference');
    expect(others.map(({ kind }) => kind)).toEqual(['hung-task']);
  });

  test('a warning is the cause when the kernel was told to panic on it', () => {
    const text = [
      '[    5.000000] WARNING: CPU: 1 PID: 42 at fs/inode.c:1 iput+0x1/0x2',
      '[    5.000001] CPU: 1 PID: 42 Comm: my prog Tainted: x Not tainted 6.1.0 #1',
      '[    5.000002] RIP: 0010:iput+0x1/0x2',
      '[    5.100000] Kernel panic - not syncing: kernel: panic_on_warn set ...',
    ].join('\n');
    const { cause, end } = reportOf(text).report;
    expect([cause?.kind, cause?.pid, cause?.comm]).toEqual(['warning', 42, 'my prog Tainted: x']);
    expect(end?.kind).toBe('consequence');
  });

  test('registers that somebody asked for are no death', () => {
    const early = logs.find(({ name }) => name === 'early-exception')?.text ?? '';
    expect(reportOf(early).report.cause).not.toBeNull();
    expect(reportOf(`${early}[    9.000000] the system runs on\n`).report.cause).toBeNull();
  });

  test('a log without a death has no cause', () => {
    const { report } = reportOf('[    0.000000] Linux version 6.1.0 (a@b)\n[    1.000000] hello\n');
    expect(report.cause).toBeNull();
    expect(report.before.map(({ text }) => text)).toEqual(['Linux version 6.1.0 (a@b)', 'hello']);
  });
});

describe('the text for a person', () => {
  const accept =
    'SAVEOOPS_ACCEPT=1 node --experimental-vm-modules node_modules/jest/bin/jest.js dist/src/report/report';

  test.each(['null-dereference-tainted', 'double-fault-in-module', 'oops-then-sysrq'])(
    'of %s is the golden file',
    (name) => {
      const log = logs.find((each) => each.name === name && each.release.startsWith('6.1.'));
      const rendered = renderText(reportOf(log?.text ?? '').report);
      const path = join(fixtures, '..', 'golden', `${name}.txt`);
      if (process.env['SAVEOOPS_ACCEPT'] === '1') writeFileSync(path, rendered);
      const golden = existsSync(path) ? readFileSync(path, 'utf8') : 'missing';
      if (golden !== rendered) console.error(`If the new text is right, accept it: ${accept}`);
      expect(rendered).toBe(golden);
    },
  );
});

test.each([
  ['a Not tainted b Tainted: G        W  OE      6.1.0-56 #1', 'a Not tainted b', 'G        W  OE'],
  ['a Not tainted x Not tainted 6.1.0-56 #1', 'a Not tainted x', ''],
  ['a Tainted: P b Not tainted 6.1.0-56 #1', 'a Tainted: P b', ''],
  [
    'kworker/0:1 Tainted: [x] Tainted: P           O       6.1.0',
    'kworker/0:1 Tainted: [x]',
    'P           O',
  ],
])('a process may be called what it likes: %s', (line, comm, taint) => {
  expect(parseCpuLine(`CPU: 3 UID: 0 PID: 42 Comm: ${line}`)).toEqual({ cpu: 3, pid: 42, comm, taint });
});

test('without the crash kernel the region is guessed: the largest that is right above usable RAM', () => {
  const map = ['0000000000100000-0000000037ffffff] usable', '0000000038000000-000000003fffffff] reserved'];
  const below = ['0000000000001000-00000000001fffff] usable', '0000000000200000-00000000041fffff] reserved'];
  const far = '0000000080000000-00000000ffffffff] reserved';
  const text = [...below, ...map, far]
    .map((range) => `BIOS-e820: [mem 0x${range.replace('-', '-0x')}`)
    .join('\n');
  expect(reportOf(text).report.memory.crashRegion).toEqual({
    start: '0x38000000',
    end: '0x3fffffff',
    how: 'guess',
  });
});

test('the HTML allows its own style sheet and nothing else', () => {
  const html = renderHtml(reportOf(logs[0]?.text ?? ''), 'saveoops');
  const style = /<style>([^]*)<\/style>/.exec(html)?.[1] ?? '';
  const digest = createHash('sha256').update(style).digest('base64');
  expect(html).toContain(
    `content="default-src 'none'; style-src 'sha256-${digest}'; base-uri 'none'; form-action 'none'"`,
  );
  // Before anything that a policy could stop.
  expect(html.indexOf('Content-Security-Policy')).toBeLessThan(html.indexOf('<style>'));
});

test.each([
  ['of an unknown kernel without a place', '', false],
  ['of an unknown kernel with one', '\n[    0.420001] RIP: 0010:timer_init+0x10/0x20', true],
])('symbols are asked for where there is something to use them for: %s', (_, more, asked) => {
  const made = reportOf(
    `[    0.420000] BUG: unable to handle page fault for address: 0000000000000048${more}\n`,
  );
  expect(made.report.next.length > 0).toBe(asked);
  expect(renderText(made.report).includes('What to do next')).toBe(asked);
  expect(renderHtml(made, 'saveoops').includes('What to do next')).toBe(asked);
});
