/** Whoever can write to a log can write anything: nothing of it may act in a terminal or a browser, or take for ever. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from '@jest/globals';
import { spread } from '../testkit/lanes.js';
import { deathLogs } from '../testkit/death-logs.js';
import { surviveMutations } from '../testkit/mutate.js';
import { renderHtml } from './render-html.js';
import { renderText } from './render-text.js';
import { makeReport, type MadeReport } from './report.js';
import { forHtml, forJson, forTerminal } from '../safe-text.js';

function reportOf(log: string): MadeReport {
  return makeReport({ where: 'dmesg.txt', log, cut: false, capture: undefined });
}

/** Everything that a terminal acts upon: Cc but tab and line feed, Cf, Zl, Zp, by Unicode's own properties. */
const acting = /(?![\t\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

const attack =
  '\x1b[2J\x1b]0;title\x07\x9b31m\u202egnp.\u2066\u200f\u{e0041}\0\x7f<img src=x onerror=alert(1)>"\'&';
const hostileLog = [
  `[    0.000000] Linux version 6.1.0${attack} (a@b)`,
  `[    0.000000] Command line: quiet ${attack}`,
  `[    0.000000] DMI: ${attack}`,
  `[    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] ${attack}`,
  `[    1.000000] BUG: unable to handle page fault for address: ${attack}`,
  `[    1.000000] #PF: ${attack}`,
  '[    1.000000] Oops: 0000 [#1] SMP',
  `[    1.000000] CPU: 0 PID: 1 Comm: ${attack} Tainted: G  W ${attack}`,
  `[    1.000000] Hardware name: ${attack}`,
  '[    1.000000] RIP: 0010:evil+0x1/0x2 [mod]',
  `[    1.000000] Code: ${attack}`,
  '[    1.000000] Call Trace:',
  `[    1.000000]  <${attack}>`,
  `[    1.000000] Kernel panic - not syncing: ${attack}`,
].join('\n');

describe('what a hostile log becomes', () => {
  test('no control character reaches the terminal, and none is lost', () => {
    const text = renderText(reportOf(hostileLog).report);
    expect(text).not.toMatch(acting);
    expect(text).toContain('\\x1b[2J');
    expect(text).toContain('\\u{202e}gnp.');
  });

  test('JSON gives the original text to a program, and nothing to a terminal', () => {
    const { report } = reportOf(hostileLog);
    const json = forJson(report);
    expect(json).not.toMatch(acting);
    expect(JSON.parse(json)).toEqual(JSON.parse(JSON.stringify(report)));
  });

  test('HTML has our elements and attributes only', () => {
    const html = renderHtml(reportOf(hostileLog), 'saveoops');
    expect(html).not.toMatch(acting);
    expect(html).toContain('&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;');
    const tags = [...html.matchAll(/<\/?([^\s>/]+)([^>]*)>/g)];
    const ours =
      'html head meta title style body h1 h2 p div pre table tr th td section svg line rect text ol ul li';
    const known = new Set(`${ours} details summary mark !DOCTYPE`.split(' '));
    expect(tags.map(([, name]) => name).filter((name) => !known.has(name ?? ''))).toEqual([]);
    const attributes = tags.flatMap(([, , rest = '']) =>
      [...rest.matchAll(/([\w-]+)="/g)].map(([, name]) => name),
    );
    expect(attributes.filter((name) => /^(?:on|src$|href$|style$)/.test(name ?? ''))).toEqual([]);
    expect(html).not.toMatch(/https?:|url\(|@import/);
  });

  test('every code point is either shown or escaped', () => {
    for (let code = 0; code <= 0x10ffff; code++) {
      const character = String.fromCodePoint(code);
      if (code === 9 || !acting.test(character) || code === 10) continue;
      expect([code, acting.test(forTerminal(`a${character}b`)), acting.test(forHtml(character))]).toEqual([
        code,
        false,
        false,
      ]);
    }
    expect(forTerminal('a\nb\r')).toBe('a\\x0ab\\x0d');
  });
});

describe('limits', () => {
  const cli = fileURLToPath(new URL('../cli.js', import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), 'saveoops-hostile-'));
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const megabytes = 8;
  const fill = (line: string): string => line.repeat(Math.ceil((megabytes << 20) / line.length));

  test.each(
    spread(6, [
      ['blanks', ' '],
      ['empty lines', '\n'],
      ['brackets', '[    0.000000][ [#'],
      ['escapes without an end', '\x1b]'],
      ['escape sequences', '\x1b[0;0;0'],
      ['taints', 'CPU: 0 PID: 1 Comm: a Tainted: Not tainted '],
      ['e820', '\nBIOS-e820: [mem 0x0000000000000000-0x0000000000000fff]         '],
      [
        'oopses',
        '\n[    1.000000] BUG: unable to handle x\n[    1.000000] Oops: 0000 [#1] SMP\nCall Trace:\n f+0x1/0x2',
      ],
      ['panics', '\n[    1.000000] Kernel panic - not syncing: x'],
      ['trace', '\nCall Trace:\n? f+0x1/0x2'],
      ['registers', '\nRAX: 0000000000000000 RBX: 0000000000000000'],
      ['banners', '\nLinux version 6.1.0'],
      ['markers', '\n---- saveoops: log of the dead kernel begins ----'],
      ['prefixes of many shapes', '\n[1] a:1 <2> b(3) [4]{5} c-d.e/6 [7] CPU: 0 PID: 1 Comm: x'],
      ['marks', '\n!"#$%&/()=?*+~-_.:,;<>|^`!"#$%&/()=?*+~-_.:,;<>|^`!"#$%&/()=?Code: '],
      [
        'brackets without an end',
        '\n[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1[[[[[[[[[[[[[[[[Code: ',
      ],
      ['threads', `\n${Array.from({ length: 2000 }, (_, id) => `[    1.000000][T${id}] BUG: x`).join('\n')}`],
      ['marks of stacks', '\nCall Trace:\n <IRQ> <IRQ> <IRQ> <IRQ> <EOI> <NMI> f+0x1/0x2'],
    ]),
  )(
    `${megabytes} MiB of %s take seconds, and give a small report`,
    (_, pattern) => {
      const [log, html] = [join(folder, 'dmesg.txt'), join(folder, 'report.html')];
      const head = [
        '[    0.000000] Linux version 6.1.0 (a@b)',
        '[    1.000000] BUG: unable to handle x',
        '[    1.000000] CPU: 0 PID: 1 Comm: a Not tainted',
        '[    1.000000] RIP: 0010:f+0x1/0x2',
      ];
      writeFileSync(log, [...head, fill(pattern)].join('\n'));
      // A process of its own: a regular expression that never ends cannot be stopped from within.
      const limit = { encoding: 'utf8', timeout: 20_000, killSignal: 'SIGKILL', maxBuffer: 1 << 28 } as const;
      const run = spawnSync(process.execPath, [cli, 'report', log, '--json', '--html', html], limit);
      expect([run.signal, run.stderr]).toEqual([null, '']);
      expect(Math.max(run.stdout.length, statSync(html).size)).toBeLessThan(8 << 20);
    },
    30_000,
  );

  test.each([
    ['secrets', 'password=abcdefgh1 '],
    ['many secrets', Array.from({ length: 3000 }, (_, id) => `pass${id}=secret${id}\n`).join('')],
    ['addresses', '52:54:00:12:34:56:'],
    ['serial numbers', 'serial number 1 serial: S/N: '],
    ['ip=', 'ip=::::a::'],
  ])(
    `${megabytes} MiB of %s are redacted in seconds`,
    (_, pattern) => {
      const log = join(folder, 'redact.txt');
      writeFileSync(log, `[    0.000000] Linux version 6.1.0 (a@b)\n${fill(pattern)}`);
      const limit = { encoding: 'utf8', timeout: 20_000, killSignal: 'SIGKILL' } as const;
      const out = join(folder, 'bundle.tar');
      const run = spawnSync(process.execPath, [cli, 'report', log, '--bundle', out, '--redact'], limit);
      expect([run.signal, run.stderr]).toEqual([null, '']);
    },
    30_000,
  );

  test('any damaged log gives a report', async () => {
    for (const { text } of deathLogs().filter(({ release }) => release.startsWith('6.1.'))) {
      await surviveMutations(Buffer.from(text), 20, (damaged) => {
        const made = reportOf(Buffer.from(damaged).toString());
        expect(renderText(made.report)).not.toMatch(acting);
        expect(renderHtml(made, 'saveoops')).not.toMatch(acting);
      });
    }
  }, 60_000);
});
