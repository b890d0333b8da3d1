/** saveoops(8), the commands' pages and saveoops.yaml(5), from the table of options and the exit codes, so that they say what the program does. */
import type { OptionSpec } from '../config/option-spec.js';
import { exitCodeOf } from '../errors.js';
import { commandSpecs, commonOptions, configKeys, standardConfigFile, type CommandSpec } from './options.js';

/** What a page says of itself: `date` as YYYY-MM-DD. */
export interface PageInfo {
  readonly version: string;
  readonly date: string;
}

export interface ManPage {
  readonly name: string;
  readonly section: number;
  readonly text: string;
}

const commands: readonly CommandSpec[] = Object.values(commandSpecs);
const pageOf = ({ name }: CommandSpec): string => `saveoops-${name}`;

/** All pages: saveoops(8), one for each command, and saveoops.yaml(5). Sources: man-pages(7) for the sections, groff_man(7) for the macros. */
export function renderPages(info: PageInfo): readonly ManPage[] {
  return [
    { name: 'saveoops', section: 8, text: renderOverview(info) },
    ...commands.map((spec) => ({ name: pageOf(spec), section: 8, text: renderCommandPage(spec, info) })),
    { name: 'saveoops.yaml', section: 5, text: renderConfigPage(info) },
  ];
}

function renderOverview(info: PageInfo): string {
  return page('SAVEOOPS', 8, info, [
    heading('NAME'),
    text('saveoops - capture of Linux kernel panics by the boot loader'),
    heading('SYNOPSIS'),
    `${bold('saveoops')} ${italic('command')} [options]`,
    heading('DESCRIPTION'),
    text(
      'The boot loader, Syslinux or EXTLINUX, loads two kernels at once. When the first one panics, from its first C ' +
        "function on, the second starts and finds the dead kernel's memory in /proc/vmcore.",
    ),
    '.PP',
    text('build makes one payload, update keeps those of a machine in step with its kernels.'),
    heading('COMMANDS'),
    ...commands.flatMap((spec) => item(bold(`${pageOf(spec)}(8)`), `${spec.describe}.`)),
    heading('OPTIONS OF EVERY COMMAND'),
    ...optionItems(commonOptions),
    heading('FILES'),
    ...item(bold(standardConfigFile), 'options of build and update: saveoops.yaml(5)'),
    ...item(bold('/etc/kernel/cmdline'), 'command line of the kernels, when the configuration has no append'),
    ...item(
      bold('/boot/saveoops'),
      'payloads, one folder for each kernel version; the boot menu; captures saved there',
    ),
    heading('ENVIRONMENT'),
    ...item('NO_COLOR', 'when it is set, nothing is printed in colour'),
    ...item('TMPDIR', 'folder for temporary files'),
    heading('EXIT STATUS'),
    ...item('0', 'success; for test: passed, for status: armed, for doctor: nothing is missing'),
    ...item(
      '1, 2, 3',
      'for test: failed, lost; for status: not armed, not started by the entry stub, stale; for doctor: something is missing; for captures: none; for report: no death, not understood',
    ),
    ...exitCodes().flatMap(([code, kinds]) => item(String(code), kinds)),
    heading('SEE ALSO'),
    text('saveoops.yaml(5), extlinux(1), vmcore-dmesg(8), makedumpfile(8)'),
  ]);
}

function renderCommandPage(spec: CommandSpec, info: PageInfo): string {
  const { name, positionals = [], describe, options, configurable } = spec;
  const shared = Object.keys(options).filter((option) => name !== 'build' && isOfBuild(option, options));
  const own = Object.fromEntries(Object.entries(options).filter(([option]) => !shared.includes(option)));
  const values = positionals.map(({ name: value, optional }) =>
    optional === true ? `[${italic(value)}]` : italic(value),
  );
  return page(pageOf(spec).toUpperCase(), 8, info, [
    heading('NAME'),
    text(`${pageOf(spec)} - ${describe}`),
    heading('SYNOPSIS'),
    [bold(`saveoops ${name}`), '[options]', ...values].join(' '),
    ...(positionals.length === 0
      ? []
      : [
          heading('ARGUMENTS'),
          ...positionals.flatMap(({ name: value, describe: what, choices }) =>
            item(italic(value), choices === undefined ? `${what}.` : `${what}: ${choices.join(', ')}.`),
          ),
        ]),
    heading('OPTIONS'),
    ...optionItems(own),
    ...(shared.length === 0
      ? []
      : ['.PP', text(`As for saveoops-build(8): ${shared.map((option) => `--${option}`).join(', ')}.`)]),
    '.PP',
    text(
      `As for every command: ${Object.keys(commonOptions)
        .map((option) => `--${option}`)
        .join(', ')}.`,
    ),
    ...(configurable === true
      ? [heading('FILES'), ...item(bold(standardConfigFile), 'options that stay the same: saveoops.yaml(5)')]
      : []),
    heading('EXIT STATUS'),
    text('See saveoops(8).'),
    heading('SEE ALSO'),
    text('saveoops(8)'),
  ]);
}

function optionItems(options: CommandSpec['options']): string[] {
  return Object.entries(options).flatMap(([option, spec]) => {
    const value = spec.type === 'boolean' ? '' : ` ${italic(spec.type === 'number' ? 'number' : 'value')}`;
    return optionItem(`${bold(`--${option}`)}${value}`, spec);
  });
}

/** The configuration file's page. */
function renderConfigPage(info: PageInfo): string {
  return page('SAVEOOPS.YAML', 5, info, [
    heading('NAME'),
    text('saveoops.yaml - options of saveoops build and saveoops update'),
    heading('DESCRIPTION'),
    text(
      `${standardConfigFile} holds lines of the form "key: value" (YAML 1.2). Keys are names of options, without ` +
        'the dashes; switches are true or false; a repeatable option takes one text or a list. An option on the ' +
        'command line wins. A key that no command knows is an error.',
    ),
    heading('KEYS'),
    ...Object.entries(configKeys).flatMap(([name, spec]) => optionItem(bold(name), spec)),
    heading('EXAMPLE'),
    '.nf',
    ...['boot-config: /boot/extlinux/extlinux.conf', 'append: root=/dev/sda1 ro quiet'].map(text),
    '.fi',
    heading('SEE ALSO'),
    text('saveoops(8), saveoops-build(8), saveoops-update(8)'),
  ]);
}

function page(title: string, section: number, { version, date }: PageInfo, lines: readonly string[]): string {
  return `${[`.TH ${title} ${section} ${date} "saveoops ${version}"`, ...lines].join('\n')}\n`;
}

/** --json and --dry-run are every command's own. */
function isOfBuild(option: string, options: CommandSpec['options']): boolean {
  const ofBuild: CommandSpec['options'] = commandSpecs.build.options;
  return option !== 'json' && option !== 'dry-run' && ofBuild[option]?.describe === options[option]?.describe;
}

function optionItem(head: string, { describe, required, choices, default: standard }: OptionSpec): string[] {
  const facts = [
    ...(required === true ? ['required'] : []),
    ...(choices === undefined ? [] : [`one of ${choices.join(', ')}`]),
    ...(standard === undefined || standard === '' || standard === false ? [] : [`default ${standard}`]),
  ];
  return item(head, facts.length === 0 ? `${describe}.` : `${describe} (${facts.join('; ')}).`);
}

function exitCodes(): [number, string][] {
  const kinds = new Map<number, string[]>();
  for (const [kind, code] of Object.entries(exitCodeOf)) kinds.set(code, [...(kinds.get(code) ?? []), kind]);
  return [...kinds].sort(([a], [b]) => a - b).map(([code, names]) => [code, names.join(', ')]);
}

const heading = (title: string): string => `.SH ${text(title)}`;
const item = (head: string, body: string): string[] => ['.TP', head, text(body)];
const bold = (word: string): string => `\\fB${text(word)}\\fR`;
const italic = (word: string): string => `\\fI${text(word)}\\fR`;

/** A backslash would begin an escape, a dot or apostrophe at a line's begin a macro, a plain "-" is a hyphen. */
function text(line: string): string {
  return line.replace(/\\/g, '\\e').replace(/-/g, '\\-').replace(/^[.']/, '\\&$&');
}
