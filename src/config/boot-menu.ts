/**
 * What an installed system's Syslinux or EXTLINUX reads: the menu that Saveoops writes, and the one INCLUDE line for it
 * in the configuration that belongs to the user.
 *
 * Source: Syslinux doc/syslinux.txt and doc/menu.txt; com32/elflink/ldlinux/readconfig.c: of several DEFAULT the last
 * counts, names are relative to the folder of the first configuration, not to that of an included one.
 */
import { plainEntry as plainLabel } from '../capture-initramfs/in-a-row.js';
import { SaveoopsError } from '../errors.js';
import { parseBootConfig } from '../image/boot-config.js';
import {
  checkAppend,
  resetTestAppend,
  resetTestLabel,
  resetTestTitle,
  testAppend,
} from './syslinux-config.js';

/** One installed kernel. All files are named as Syslinux will look for them: relative to the configuration's folder. */
export interface MenuKernel {
  readonly version: string;
  readonly kernelFile: string;
  readonly initrdFile: string | undefined;
  /** Of the plain entry. */
  readonly append: string;
  /** Of the armed entries. */
  readonly armedAppend: string;
  /** Whether its payloads capture after a reset. */
  readonly afterReset: boolean;
  /** The payload that holds this very kernel and initramfs. */
  readonly armed: string | undefined;
  /** A payload that holds this very kernel and an older initramfs, or older settings. */
  readonly previous: string | undefined;
}

/** What boots instead of a kernel that panics again and again: the kernel before it, plain, when there is one. */
export const fallbackLabel = 'saveoops-fallback';
const testLabel = 'saveoops-test';

/**
 * The menu, newest kernel first. The default is the newest kernel: armed when its payload is fresh, else plain.
 * Throws `usage` for command lines that Syslinux cannot carry.
 */
export function renderBootMenu(kernels: readonly MenuKernel[]): string {
  const newest = kernels[0];
  const lines = [
    '# Written by saveoops update, which writes it anew at every change: edit /etc/saveoops.yaml instead.',
    '# A DEFAULT line of yours that follows the INCLUDE of this file wins over the one here.',
  ];
  if (newest === undefined) return `${lines.join('\n')}\n`;
  const preferred = newest.armed === undefined ? plainEntryLabel(newest) : armedLabel(newest);
  lines.push(`DEFAULT ${preferred}`);
  const entry = (label: string, body: readonly string[]): void => {
    lines.push('', `LABEL ${label}`, ...body.map((line) => `\t${line}`));
    if (label === preferred) lines.push('\tMENU DEFAULT');
  };
  for (const kernel of kernels) {
    const { version, armed, previous, armedAppend } = kernel;
    if (armed !== undefined) {
      entry(armedLabel(kernel), payloadEntry(`Linux ${version}, armed`, armed, armedAppend));
    }
    entry(plainEntryLabel(kernel), plainEntry(kernel, `MENU LABEL Linux ${version}, plain`));
    if (previous !== undefined) {
      const title = `Linux ${version}, armed, previous payload`;
      entry(`saveoops-old-${version}`, payloadEntry(title, previous, armedAppend));
    }
  }
  const tested = kernels.find((kernel) => kernel.armed !== undefined);
  if (tested?.armed !== undefined) {
    const title = 'Test crash capture on this machine now';
    entry(testLabel, payloadEntry(title, tested.armed, testAppend(tested.armedAppend)));
    if (tested.afterReset) {
      entry(resetTestLabel, payloadEntry(resetTestTitle, tested.armed, resetTestAppend(tested.armedAppend)));
    }
  }
  entry(fallbackLabel, plainEntry(kernels[1] ?? newest, 'MENU HIDE'));
  // What the COM32 module starts when a payload is damaged: stubs/com32/saveoops.c.
  entry(plainLabel, plainEntry(newest, 'MENU HIDE'));
  return `${lines.join('\n')}\n`;
}

const armedLabel = ({ version }: MenuKernel): string => `saveoops-${version}`;
const plainEntryLabel = ({ version }: MenuKernel): string => `${plainLabel}-${version}`;

function payloadEntry(title: string, file: string, append: string): string[] {
  return [`MENU LABEL ${title}`, `COM32 ${file}`, appendLine(append)];
}

function plainEntry({ kernelFile, initrdFile, append }: MenuKernel, menuLine: string): string[] {
  const initrd = initrdFile === undefined ? [] : [`INITRD ${initrdFile}`];
  return [menuLine, `LINUX ${kernelFile}`, ...initrd, appendLine(append)];
}

/** "-" says that no APPEND of the user's file, before its first label, is meant. */
function appendLine(append: string): string {
  checkAppend('append', append);
  return `APPEND ${append === '' ? '-' : append}`;
}

const includes = (line: string, file: string): boolean => {
  const [keyword = '', name = ''] = line.trim().split(/\s+/);
  return keyword.toUpperCase() === 'INCLUDE' && name === file;
};

/**
 * The user's configuration with one INCLUDE of `file` as its last line, so that the DEFAULT there wins. Every byte
 * of the user's stays; a text that has the line, wherever, is given back as it is. Throws `unsupported` when the
 * user's DEFAULT names a module, mostly a menu: it would no longer be started.
 */
export function withInclude(text: string, file: string, where: string): string {
  if (text.split('\n').some((line) => includes(line, file))) return text;
  const { defaultLabel = '' } = parseBootConfig(text);
  const module = defaultLabel.split(/\s+/)[0] ?? '';
  if (/\.c32$/i.test(module)) {
    throw new SaveoopsError('unsupported', 'the boot configuration starts its menu by DEFAULT', {
      where,
      found: `DEFAULT ${defaultLabel}`,
      wanted: 'UI for the menu, and DEFAULT for the entry that it preselects',
      hint: `write "UI ${defaultLabel}" in place of "DEFAULT ${defaultLabel}"`,
    });
  }
  const ended = text === '' || text.endsWith('\n') ? text : `${text}\n`;
  return `${ended}INCLUDE ${file}\n`;
}

/** The user's configuration without any INCLUDE of `file`; every other byte stays. */
export function withoutInclude(text: string, file: string): string {
  return text
    .split(/(?<=\n)/)
    .filter((line) => !includes(line, file))
    .join('');
}
