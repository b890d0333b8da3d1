/**
 * Reads as much of a syslinux.cfg as Saveoops needs: which files it names, and the APPEND of a label. Syntax:
 * Syslinux's doc/syslinux.txt. Keywords have no case, `#` starts a comment at a line's begin only.
 */

export interface BootEntry {
  readonly label: string;
  /** The directive that names what to boot, in capitals: COM32, LINUX, KERNEL, ... */
  readonly kind: string | undefined;
  readonly file: string | undefined;
  readonly append: string;
  readonly initrds: readonly string[];
}

export interface BootConfig {
  readonly entries: readonly BootEntry[];
  /** DEFAULT's value. */
  readonly defaultLabel: string | undefined;
  /** Every file that an entry or a directive names, without doubles, in order. */
  readonly files: readonly string[];
}

const bootDirectives = new Set(['COM32', 'LINUX', 'KERNEL', 'BOOT', 'BSS', 'PXE', 'FDIMAGE', 'CONFIG']);
const fileDirectives = new Set(['INCLUDE', 'DISPLAY', 'FONT', 'FDT', 'F1', 'F2', 'F3', 'UI']);

/** Never throws: lines that it does not know it passes over, as Syslinux does. */
export function parseBootConfig(text: string): BootConfig {
  const entries: { -readonly [K in keyof BootEntry]: BootEntry[K] }[] = [];
  const files: string[] = [];
  let defaultLabel: string | undefined;
  for (const { keyword, value } of directives(text)) {
    const entry = entries.at(-1);
    if (keyword === 'LABEL') {
      entries.push({ label: value, kind: undefined, file: undefined, append: '', initrds: [] });
    } else if (keyword === 'DEFAULT') {
      defaultLabel = value;
    } else if (fileDirectives.has(keyword)) {
      const file = value.split(/\s+/)[0];
      if (file !== undefined && file !== '') files.push(file);
    } else if (entry !== undefined && bootDirectives.has(keyword)) {
      entry.kind = keyword;
      entry.file = value;
      files.push(value);
    } else if (entry !== undefined && keyword === 'INITRD') {
      entry.initrds = value.split(',');
      files.push(...entry.initrds);
    } else if (entry !== undefined && keyword === 'APPEND') {
      entry.append = value === '-' ? '' : value;
      // Syslinux takes initrd= from the command line as well, the last one, comma-separated.
      const initrd = /(?:^|\s)initrd=(\S+)/.exec(value)?.[1];
      if (initrd !== undefined) files.push(...initrd.split(','));
    }
  }
  return { entries, defaultLabel, files: [...new Set(files.filter((file) => file !== ''))] };
}

/**
 * A configuration for an unattended boot: the labels of `text` as they are, `label` started at once, the
 * boot loader's own output on the first serial port too, and `extra` added to `label`'s APPEND. Directives before
 * the first label and those that would show a menu or start something else go away.
 */
export function unattendedConfig(text: string, label: string, extra: string): string {
  const lines = ['SERIAL 0 115200', 'PROMPT 0', `DEFAULT ${label}`];
  let inside: string | undefined;
  let appended = false;
  const finish = (): void => {
    if (inside === label && !appended && extra !== '') lines.push(`  APPEND ${extra}`);
  };
  for (const { keyword, value, line } of directives(text)) {
    if (keyword === 'LABEL') {
      finish();
      inside = value;
      appended = false;
      lines.push(`LABEL ${value}`);
    } else if (inside === undefined || unattendedDrops.has(keyword)) {
      continue;
    } else if (keyword === 'APPEND' && inside === label) {
      appended = true;
      lines.push(`  APPEND ${[value === '-' ? '' : value, extra].filter((part) => part !== '').join(' ')}`);
    } else {
      lines.push(`  ${line}`);
    }
  }
  finish();
  return lines.join('\n') + '\n';
}

/** The same configuration for Syslinux under UEFI: it takes modules of another kind. */
export function efiConfig(text: string): string {
  return text.replace(/^(\s*COM32\s+\S*saveoops)\.c32\s*$/gim, '$1-efi.c32');
}

const unattendedDrops = new Set([
  'DEFAULT',
  'SERIAL',
  'PROMPT',
  'TIMEOUT',
  'ONTIMEOUT',
  'ONERROR',
  'TOTALTIMEOUT',
  'UI',
  'MENU',
  'TEXT',
  'ENDTEXT',
  'DISPLAY',
  'NOESCAPE',
  'CONSOLE',
]);

/**
 * The text with `word` added to the APPEND of each entry that `wanted` says, all else as it was. An entry without APPEND
 * gets none.
 */
export function addToAppend(text: string, word: string, wanted: (entry: BootEntry) => boolean): string {
  const labels = new Set(
    parseBootConfig(text)
      .entries.filter(wanted)
      .map((entry) => entry.label),
  );
  const lines = text.split('\n');
  let inside: string | undefined;
  for (const { keyword, value, index } of directives(text)) {
    if (keyword === 'LABEL') inside = value;
    if (keyword !== 'APPEND' || inside === undefined || !labels.has(inside)) continue;
    const bare = value === '-' ? (lines[index] ?? '').replace(/-\s*$/, '') : (lines[index] ?? '');
    lines[index] = `${bare.trimEnd()} ${word}`;
  }
  return lines.join('\n');
}

function* directives(
  text: string,
): Generator<{ keyword: string; value: string; line: string; index: number }> {
  let insideText = false;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    const [, word = '', rest = ''] = /^(\S+)\s*(.*)$/.exec(line) ?? [];
    const keyword = word.toUpperCase();
    // TEXT HELP ... ENDTEXT is prose for a menu; a word in it is no directive.
    if (insideText) insideText = keyword !== 'ENDTEXT';
    else if (keyword === 'TEXT') insideText = true;
    else if (keyword !== '' && !keyword.startsWith('#')) yield { keyword, value: rest, line, index };
  }
}
