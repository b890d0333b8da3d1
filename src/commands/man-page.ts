/** saveoops(8) and saveoops.yaml(5), from the table of options and the exit codes, so that they say what the program does. */
import type { OptionSpec } from '../config/option-spec.js';
import { exitCodeOf } from '../errors.js';
import { commandSpecs, configKeys, standardConfigFile, type CommandSpec } from './options.js';

/** What a page says of itself: `date` as YYYY-MM-DD. */
export interface PageInfo {
  readonly version: string;
  readonly date: string;
}

/** Source: man-pages(7) for the sections, groff_man(7) for the macros. */
export function renderCommandPage(info: PageInfo): string {
  const commands: readonly CommandSpec[] = Object.values(commandSpecs);
  return page('SAVEOOPS', 8, info, [
    heading('NAME'),
    text('saveoops - capture of Linux kernel panics by the boot loader'),
    heading('SYNOPSIS'),
    ...commands.flatMap(({ name, positional }) => [
      '.br',
      `${bold(`saveoops ${name}`)} [options]${positional === undefined ? '' : ` ${italic(positional.name)}`}`,
    ]),
    heading('DESCRIPTION'),
    text(
      'The boot loader, Syslinux or EXTLINUX, loads two kernels at once. When the first one panics, from its first C ' +
        "function on, the second starts and finds the dead kernel's memory in /proc/vmcore.",
    ),
    '.PP',
    text('build makes one payload, update keeps those of a machine in step with its kernels.'),
    ...commands.flatMap(commandSection),
    heading('FILES'),
    ...item(bold(standardConfigFile), 'options of build and update: saveoops.yaml(5)'),
    ...item(bold('/etc/kernel/cmdline'), 'command line of the kernels, when the configuration has no append'),
    ...item(
      bold('/boot/saveoops'),
      'payloads, one folder for each kernel version; the boot menu; captures saved there',
    ),
    heading('EXIT STATUS'),
    ...item('0', 'success; for test: passed, for status: armed'),
    ...item('1, 2', 'for test: failed, lost; for status: not armed, not started by the entry stub'),
    ...exitCodes().flatMap(([code, kinds]) => item(String(code), kinds)),
    heading('SEE ALSO'),
    text('saveoops.yaml(5), extlinux(1), vmcore-dmesg(8), makedumpfile(8)'),
  ]);
}

/** The configuration file's page. */
export function renderConfigPage(info: PageInfo): string {
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
    text('saveoops(8)'),
  ]);
}

function page(title: string, section: number, { version, date }: PageInfo, lines: readonly string[]): string {
  return `${[`.TH ${title} ${section} ${date} "saveoops ${version}"`, ...lines].join('\n')}\n`;
}

function commandSection({ name, positional, describe, options }: CommandSpec): string[] {
  const shared = Object.keys(options).filter((option) => name !== 'build' && isOfBuild(option, options));
  return [
    heading(`SAVEOOPS ${name.toUpperCase()}`),
    text(`${describe}.`),
    ...(positional === undefined ? [] : item(italic(positional.name), `${positional.describe}.`)),
    ...Object.entries(options)
      .filter(([option]) => !shared.includes(option))
      .flatMap(([option, spec]) => {
        const value =
          spec.type === 'boolean' ? '' : ` ${italic(spec.type === 'number' ? 'number' : 'value')}`;
        return optionItem(`${bold(`--${option}`)}${value}`, spec);
      }),
    ...(shared.length === 0
      ? []
      : ['.PP', text(`As for build: ${shared.map((option) => `--${option}`).join(', ')}.`)]),
  ];
}

/** --json is every command's own. */
function isOfBuild(option: string, options: CommandSpec['options']): boolean {
  const ofBuild: CommandSpec['options'] = commandSpecs.build.options;
  return option !== 'json' && ofBuild[option]?.describe === options[option]?.describe;
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
