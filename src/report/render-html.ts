/**
 * A report as one HTML file that needs nothing else: no script, no font, no picture from elsewhere. Its Content Security
 * Policy forbids all of them, so that text of the log that got past forHtml() could still not act.
 */
import { createHash } from 'node:crypto';
import { bytes, duration } from './duration.js';
import { headline, moduleOf, resetWords } from './render-text.js';
import type { MadeReport, Report, ReportedDeath, ReportedEntry } from './report.js';
import { forHtml } from '../safe-text.js';
import { svgMemory } from './svg-memory.js';
import { svgTimeline } from './svg-timeline.js';

/** Lines of the log, from its end, that the file holds. */
const mostLines = 5000;

const style = `
:root { --back: #fff; --text: #1a1a1a; --faint: #666; --box: #f4f4f2; --edge: #d8d8d4; --death: #b3151d;
  --warn: #c77700; --line: #4a7ab5; --ram: #7fae7a; --region: #8e4ec6; --gap: #ececea; }
@media (prefers-color-scheme: dark) { :root { --back: #17181a; --text: #e4e4e2; --faint: #9a9a98; --box: #222427;
  --edge: #3a3c40; --death: #ff7b72; --warn: #e3a341; --line: #6ea2dd; --ram: #5d8a59; --region: #b98cf0; --gap: #26282b; } }
body { background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--edge); }
pre, code, .address { font: 13px/1.45 ui-monospace, monospace; }
pre { background: var(--box); border: 1px solid var(--edge); border-radius: 4px; padding: .6rem; overflow-x: auto; margin: .4rem 0; }
.what { border-left: 4px solid var(--death); padding: .2rem 0 .2rem .8rem; margin: .8rem 0; }
.what pre { background: none; border: 0; padding: 0; white-space: pre-wrap; overflow-wrap: anywhere; font-weight: bold; }
table { border-collapse: collapse; } th { text-align: left; font-weight: normal; color: var(--faint); vertical-align: top; padding-right: 1.2rem; white-space: nowrap; }
td { overflow-wrap: anywhere; } .unsure { color: var(--faint); } .failed { color: var(--death); }
mark { background: none; color: var(--death); font-weight: bold; }
svg { width: 100%; height: auto; background: var(--box); border: 1px solid var(--edge); border-radius: 4px; }
svg text { fill: var(--text); font: 13px system-ui, sans-serif; } svg text.small { font-size: 11px; fill: var(--faint); }
svg text.address { font-size: 12px; } svg .axis { stroke: var(--faint); } svg .gap { fill: var(--gap); }
svg .line { fill: var(--line); } svg .warning { fill: var(--warn); } svg .error { fill: var(--death); }
svg .mark { stroke: var(--warn); stroke-width: 1; } svg .mark.cause, svg .mark.end { stroke: var(--death); stroke-width: 2; }
svg .mark.end { stroke-dasharray: 4 3; } svg text.label { fill: var(--death); font-size: 12px; }
svg .usable { fill: var(--ram); } svg .reserved, svg .firmware { fill: var(--edge); stroke: var(--faint); stroke-width: .5; } svg .crash-region { fill: var(--region); }
`;

export function renderHtml({ report, lines, deaths, memory }: MadeReport, generator: string): string {
  const policy = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; base-uri 'none'; form-action 'none'`;
  const { cause, end } = report;
  const of = (death: ReportedDeath | null): (typeof deaths)[number] | undefined =>
    deaths.find(({ headline }) => headline.number === death?.line);
  const timeline = svgTimeline(lines, deaths, of(cause), of(end) ?? of(cause));
  const map = svgMemory(memory);
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="${forHtml(generator)}">
<title>${forHtml(title(report))}</title>
<style>${style}</style>
</head>
<body>
<h1>${forHtml(headline(report))}</h1>
${report.source.cut ? '<p>The log is longer than what is read of it: its beginning is left out.</p>' : ''}
${report.remarks.map((remark) => `<p>${forHtml(remark)}.</p>`).join('\n')}
${resetSection(report)}${cause === null ? '' : deathSection(cause)}
${section(
  'The machine',
  table([
    ['kernel', report.kernel.banner],
    ['command line', report.kernel.commandLine],
    ['hardware', report.kernel.hardware],
    ['running for', report.uptime === null ? null : duration(report.uptime)],
    ['log', report.source.where],
  ]),
)}
${end === null ? '' : section('How it ended', deathSection(end))}
${cause === null ? '' : section('Call trace, innermost first', trace(cause.trace))}
${end === null || end.trace.length === 0 ? '' : section('Call trace of the end', trace(end.trace))}
${section('Timeline', timeline === '' ? '' : `${timeline}<p class="unsure">Height: lines of the log. Shaded: silence, cut short in the picture.</p>`)}
${report.before.length === 0 ? '' : section(cause === null ? 'The last lines' : `The ${report.before.length} lines before it`, pre(report.before.map(({ time, text }) => logLine(time, text))))}
${section('Also in this log', report.others.length === 0 ? '' : pre(report.others.map(({ time, text }) => logLine(time, text))))}
${savedSection(report)}
${report.next.length === 0 ? '' : section('What to do next', `<ol>${report.next.map(({ why, command }) => `<li>${forHtml(why)}.${command === null ? '' : pre([forHtml(command)])}</li>`).join('')}</ol>`)}
${section('Memory map', map === '' ? '' : map + regionText(report))}
${section('Registers', cause === null || Object.keys(cause.registers).length === 0 ? '' : registers(cause))}
${fullLog(report, lines)}
<p class="unsure">Made by ${forHtml(generator)}.</p>
</body>
</html>
`;
}

function resetSection(report: Report): string {
  if (report.reset === null) return '';
  const { last } = report.reset;
  return `<div class="what">${last === null ? '' : pre([logLine(last.time, last.text)])}${resetWords(report)
    .map((line) => `<p>${line}</p>`)
    .join('')}</div>\n`;
}

function title({ kernel, cause, reset }: Report): string {
  return `${reset !== null ? 'Hung or reset' : cause === null ? 'No death' : cause.kind}: Linux ${kernel.release ?? 'unknown'}`;
}

function section(name: string, content: string): string {
  return content === '' ? '' : `<section>\n<h2>${name}</h2>\n${content}\n</section>`;
}

/** Rows whose value is null are left out. */
function table(rows: readonly (readonly [name: string, value: string | null])[]): string {
  const written = rows.flatMap(([name, value]) =>
    value === null ? [] : [`<tr><th>${name}</th><td>${forHtml(value)}</td></tr>`],
  );
  return written.length === 0 ? '' : `<table>${written.join('')}</table>`;
}

/** @param lines HTML */
function pre(lines: readonly string[]): string {
  return `<pre>${lines.join('\n')}</pre>`;
}

function deathSection(death: ReportedDeath): string {
  const { at, taint } = death;
  const said = [
    death.headline,
    ...(death.oops === null || death.oops === death.headline ? [] : [death.oops]),
  ];
  const explained =
    taint === null
      ? null
      : taint.explained.map(({ letter, meaning }) => `${letter}: ${meaning}`).join('; ') || 'none';
  return `<div class="what">${pre(said.map(forHtml))}<p>${death.meaning}</p>${death.advice === null ? '' : `<p>What to try: ${forHtml(death.advice)}</p>`}</div>
${table([
  ['where', at?.text ?? null],
  ['module', moduleOf(at)],
  ['address', death.address],
  ['CPU', death.cpu === null ? null : String(death.cpu)],
  ['process', death.comm === null ? null : `${death.comm}, PID ${death.pid ?? '?'}`],
  ['taint', explained],
  ...death.details.map((detail) => ['', detail] as const),
])}`;
}

function trace(entries: readonly ReportedEntry[]): string {
  if (entries.length === 0) return '<p>The kernel printed none.</p>';
  const line = ({ text, stack, interrupted }: ReportedEntry): string =>
    forHtml(`${text}${stack === 'task' ? '' : ` (${stack})`}${interrupted ? ' <- interrupted here' : ''}`);
  const sure = entries.filter((entry) => entry.sure);
  const unsure = entries.filter((entry) => !entry.sure);
  return [
    sure.length === 0 ? '<p>Nothing that the unwinder vouches for.</p>' : pre(sure.map(line)),
    unsure.length === 0
      ? ''
      : `<details><summary>Also on the stack, maybe left over from earlier calls: ${unsure.length}</summary>${pre(unsure.map(line))}</details>`,
  ].join('\n');
}

function savedSection({ capture }: Report): string {
  if (capture === null) return '';
  const failures = capture.failures.map((failure) => `<li class="failed">${forHtml(failure)}</li>`);
  const notes =
    capture.notes.length === 0
      ? ''
      : `<details><summary>What the capture did</summary>${pre(capture.notes.map(forHtml))}</details>`;
  const files = capture.files.map(({ name, size }) => `<li>${forHtml(name)} (${bytes(size)})</li>`);
  return section(
    'Saved',
    `${table([
      ['capture', capture.name],
      ['time', capture.time],
    ])}<ul>${files.join('') || '<li>nothing</li>'}</ul>${failures.length === 0 ? '' : `<p>Failed:</p><ul>${failures.join('')}</ul>`}${notes}`,
  );
}

function regionText({ memory }: Report): string {
  const { crashRegion } = memory;
  if (crashRegion === null) return '';
  const how =
    crashRegion.how === 'elfcorehdr'
      ? 'the ELF headers of the crash kernel lie in it'
      : 'a guess: it lies where the entry stub puts it, right above usable RAM';
  return `<p class="unsure">Crash region: ${how}. The length of a bar is the logarithm of the size.</p>`;
}

function registers({ registers, code }: ReportedDeath): string {
  const rows = Object.entries(registers).map(([name, value]) => forHtml(`${name.padEnd(8)} ${value}`));
  return pre([...rows, ...(code === null ? [] : [forHtml(`Code: ${code}`)])]);
}

function fullLog({ cause, end }: Report, lines: MadeReport['lines']): string {
  if (lines.length === 0) return '';
  const shown = lines.slice(-mostLines);
  const marked = new Set([cause?.line, end?.line]);
  const written = shown.map(({ number, time, text }) => {
    const line = logLine(time ?? null, text);
    return marked.has(number) ? `<mark>${line}</mark>` : line;
  });
  const left = lines.length - shown.length;
  return `<section><h2>The log</h2><details><summary>${shown.length} lines${left === 0 ? '' : ` (${left} before them are left out)`}</summary>${pre(written)}</details></section>`;
}

function logLine(time: number | null, text: string): string {
  return `${time === null ? '' : `[${time.toFixed(6).padStart(12)}] `}${forHtml(text)}`;
}
